"""How far a long piece of work is: a bar on a terminal; elsewhere, in a log say, a line every so often."""

import sys
import time
from types import TracebackType
from typing import Self

from tqdm import tqdm

EVERY, MOST_LINES = 30.0, 100
"""A line comes so many seconds after the last one at the soonest, and there are at most so many."""


class Progress:
    """Tells how many files are done; a context manager.

    Args:
        total: files there are.
        what: what is done with them, a word.
        shown: whether anything is told.
    """

    def __init__(self, total: int, what: str, *, shown: bool = True) -> None:
        self.total, self.what, self.shown = total, what, shown
        self.bar = tqdm(total=total, desc=what, unit="file", disable=None if shown else True)
        self.began = self.said = time.monotonic()
        self.done = self.told = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()

    def reach(self, done: int) -> None:
        """Tell that so many files are done by now."""
        self.bar.update(done - self.done)
        self.done = done
        now = time.monotonic()
        due = now - self.said >= EVERY and (done - self.told) * MOST_LINES >= self.total
        if self.shown and self.bar.disable and due:
            passed = f"{(now - self.began) / 60:.1f} min"
            print(f"unshift: {self.what}: {done} of {self.total} files after {passed}", file=sys.stderr)  # noqa: T201
            self.said, self.told = now, done
