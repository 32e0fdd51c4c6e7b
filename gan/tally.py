"""Sums what the steps say between two lines of the journal, on the device: the host waits once a line, not a step."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from gan.data.skipped import Skipped


class Tally:
    """A running mean of scalars by name, over steps and processes.

    Args:
        accelerator: of the run; on several processes each name has to be given by all of them alike.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.files = Skipped()
        self._clear()

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Take up one step's scalars; a name may be missing in some steps."""
        self.steps += 1
        for name, value in values.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
            self.counts[name] = self.counts.get(name, 0) + 1

    def skip(self) -> None:
        """Take up a step that was not taken."""
        self.steps += 1
        self.skipped += 1

    def state(self) -> dict[str, Any]:
        """What has to be saved, on the CPU, for a run that goes on to write the same line."""
        sums = {name: value.cpu() for name, value in self.sums.items()}
        line = {"sums": sums, "counts": dict(self.counts), "steps": self.steps, "skipped": self.skipped}
        return line | {"files": self.files.state(self.accelerator.process_index)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what was saved; nothing of it, where it is empty. The clock starts now."""
        self._clear()
        self.files.load_state(state.get("files", {}), self.accelerator.process_index)
        if state:
            self.sums |= {name: value.to(self.accelerator.device) for name, value in state["sums"].items()}
            self.counts |= state["counts"]
            self.steps = self.before = state["steps"]
            self.skipped = state["skipped"]

    def take(self) -> dict[str, float]:
        """Give the means since the last call, and start again.

        Besides: "speed/steps" (a second), "fault/skipped" (steps, if any) and on a GPU "memory/peak_gib".
        """
        values: dict[str, float] = {}
        if self.sums:
            names = sorted(self.sums)
            means = torch.stack([self.sums[name].float() / self.counts[name] for name in names])
            means = self.accelerator.reduce(means, reduction="mean")
            values = dict(zip(names, means.tolist(), strict=True))
        if self.skipped:
            values["fault/skipped"] = float(self.skipped)
        values["speed/steps"] = (self.steps - self.before) / (time.perf_counter() - self.start)
        if self.accelerator.device.type == "cuda":
            values["memory/peak_gib"] = torch.cuda.max_memory_allocated(self.accelerator.device) / 2**30
        self._clear()
        return values

    def _clear(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.steps = self.before = self.skipped = 0  # before: those of them that another process took, before a stop
        self.start = time.perf_counter()


def mean_of_tallies(states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Give what each process takes up where more or fewer go on: the mean of all, so that their mean stays the same."""
    if not states:
        return {}
    sums = {name: torch.stack([state["sums"][name] for state in states]).mean(0) for name in states[0]["sums"]}
    files = [state["files"] for state in states if "files" in state]
    joined = {"sums": sums} | ({"files": Skipped.joined(files)} if files else {})
    return {**states[0], **joined} if len(states) > 1 else dict(states[0])
