"""A stop that was asked for: the step is finished and saved, on all processes at the same step."""

import multiprocessing.resource_tracker
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch import Tensor

SIGNALS = (signal.SIGTERM, signal.SIGINT)
# EX_TEMPFAIL of sysexits.h. Not 130 or 143, which a process gives that a signal has killed: nothing was saved there.
STOPPED = 75
REPEATED = 3.0  # seconds: a terminal and a launcher send one Ctrl-C twice


class StoppedError(Exception):
    """A run stopped because it was asked to; the message says after which step."""


class Stop:
    """Hears SIGTERM and SIGINT; what one process hears all know at the step's end.

    A second signal, later than a launcher repeats the first, ends the process at once.

    Args:
        accelerator: of the run.

    Attributes:
        agreed: whether all processes stop after the step that is being taken.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.agreed = False
        self._asked: float | None = None
        self._before: dict[signal.Signals, Callable[[int, FrameType | None], Any] | int | None] = {}

    def __enter__(self) -> "Stop":
        """Listen; what is ignored (nohup, a shell's background) stays so, and only a main thread can listen."""
        if threading.current_thread() is threading.main_thread():
            wanted = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._hear) for number in wanted}
        return self

    def __exit__(self, *_: object) -> None:
        """Let signals do what they did before."""
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before = {}

    def _hear(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._asked is None:
            self._asked = now
            if self.accelerator.is_main_process:  # print may not be called from here
                os.write(2, b"\nunshift: stopping after this step; once more to end at once, without saving\n")
        elif now - self._asked > REPEATED:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def read(self, norms: Tensor) -> list[float]:
        """Read a step's norms, the one wait of a step; with them travels whether a process was asked to stop.

        Args:
            norms: [n], on the device.

        Returns:
            Means over the processes, the same bits on all, so that all judge alike; not finite where one's is not.
        """
        asked = self._asked is not None
        if self.accelerator.num_processes == 1:
            self.agreed = asked
            return norms.tolist()
        flag = torch.full((1,), float(asked), dtype=norms.dtype, device=norms.device)
        votes = torch.cat([norms, flag])
        dist.all_reduce(votes)
        *sums, stop = votes.tolist()
        self.agreed = stop > 0
        return [value / self.accelerator.num_processes for value in sums]


@contextmanager
def held_back() -> Iterator[None]:
    """Within, processes are started that hear neither Ctrl-C nor SIGTERM, which go to whole groups of processes.

    A loader process that died of one would take the step with it that is to be finished. What this process is sent
    meanwhile reaches it afterwards.
    """
    multiprocessing.resource_tracker.ensure_running()  # it would let the signals through again when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
