"""Says which process hangs, at which step and at what: a thread beside the run looks at the clock."""

import os
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from types import FrameType

WAITING = (("torch", "distributed"), ("torch", "autograd"))  # folders whose code waits for the other processes
GIVEN_UP = 76  # beside EX_TEMPFAIL: nothing was saved, and trying again may well hang again
GRACE = 5.0  # seconds: each process says its line before a launcher ends them all


class Watchdog:
    """Tells on standard error when a phase takes longer than it may, and again after as long.

    Args:
        patience: seconds; 0 for never.
        give_up: end the process then.
        process: this one, from 0.
        processes: how many there are.
    """

    def __init__(self, patience: float, give_up: bool, process: int, processes: int) -> None:
        self.patience, self.give_up = patience, give_up
        self.process, self.processes = process, processes
        self._main = threading.get_ident()
        self._over = threading.Event()
        self._phase = (0, "starting", time.monotonic())

    def __enter__(self) -> "Watchdog":
        """Begin to look."""
        if self.patience:
            threading.Thread(target=self._look, name="watchdog", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look no more."""
        self._over.set()

    def at(self, step: int, phase: str) -> None:
        """Say what begins now.

        Args:
            step: counted from 0.
            phase: "resuming", "starting", "loading", "taking the step", "rolling back", "validating" or "saving".
        """
        self._phase = (step, phase, time.monotonic())

    def _look(self) -> None:
        told: object = None
        times = 1
        while not self._over.wait(self.patience / 8):
            now = self._phase
            times = times if now is told else 1
            if time.monotonic() - now[2] > times * self.patience:
                # On a line of its own, below a progress bar.
                print(f"\nunshift: {self.verdict()}", file=sys.stderr, flush=True)  # noqa: T201
                told, times = now, times + 1
                if self.give_up:
                    self._over.wait(min(GRACE, self.patience))
                    os._exit(GIVEN_UP)

    def verdict(self) -> str:
        """Say in one line where this process is."""
        step, phase, since = self._phase
        frame = sys._current_frames().get(self._main)
        waits = self.processes > 1 and frame is not None and _waits(frame)
        does = "waits for the others" if waits else "hangs"
        where = f" (in {frame.f_code.co_name}, {frame.f_code.co_filename}:{frame.f_lineno})" if frame else ""
        after = time.monotonic() - since
        return f"process {self.process} of {self.processes} {does}: {after:.0f} s in step {step}, {phase}{where}"


def _waits(frame: FrameType) -> bool:
    """Whether the innermost code is such as waits: for gradients, or for numbers of other processes."""
    parts = Path(frame.f_code.co_filename).parts
    folders = set(pairwise(parts))
    return bool(folders & set(WAITING)) or parts[-2:] == ("faults", "stopping.py")
