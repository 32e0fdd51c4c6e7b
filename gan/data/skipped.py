"""What training passed over: files that could not be read when an example was to be made of them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

MOST_NAMED = 10


class Skip(NamedTuple):
    """A file that could not be read, relative to the folder of pairs, and why."""

    file: str
    reason: str


class Skipped:
    """Counts what was skipped, file by file.

    Attributes:
        counts: how often each file was to be an example and could not be, on this process.
        reasons: why, as it was said the last time.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.reasons: dict[str, str] = {}

    def add(self, skips: Iterable[Skip]) -> None:
        """Count."""
        for file, reason in skips:
            self.counts[file] += 1
            self.reasons[file] = reason

    def state(self, process: int) -> dict[str, Any]:
        """What has to be saved of a process's counts, in plain values."""
        return {"process": process, "counts": dict(self.counts), "reasons": dict(self.reasons)}

    def load_state(self, state: Mapping[str, Any], process: int) -> None:
        """Take up what was saved, if it is this process's part."""
        mine = state and state["process"] == process
        self.counts = Counter(state["counts"] if mine else {})
        self.reasons = dict(state["reasons"] if mine else {})

    def over_all(self) -> "Skipped":
        """Give the counts of all processes together; every process has to call this."""
        from accelerate.utils import gather_object  # seconds, which the loader's processes need not spend

        whole = Skipped()
        for counts, reasons in gather_object([(self.counts, self.reasons)]):
            whole.counts += counts
            whole.reasons |= reasons
        return whole

    @staticmethod
    def joined(states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Give the states of several processes as the first one's, for another number of processes to go on with."""
        whole = Skipped()
        for state in states:
            whole.counts += Counter(state["counts"])
            whole.reasons |= state["reasons"]
        return whole.state(0)

    def line(self) -> str:
        """Name the files in one line, the most frequent first; empty where nothing was skipped."""
        if not self.counts:
            return ""
        order = sorted(self.counts, key=lambda file: (-self.counts[file], file))
        named = ", ".join(f"{file} ({self.counts[file]}: {self.reasons[file]})" for file in order[:MOST_NAMED])
        more = f" and {len(order) - MOST_NAMED} more files" if len(order) > MOST_NAMED else ""
        count = self.counts.total()
        return f"skipped {count} example{'s' * (count != 1)}, others took their place: {named}{more}"
