"""A stop that was asked for: the step is finished and saved, on all processes at the same step."""

import multiprocessing.resource_tracker
import os
import signal
import socket
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

    A second signal, later than a launcher repeats the first, ends the process at once (with 130 or 143), also where it
    waits for the others: a thread hears it, as Python's own handlers are run only between two of its lines.

    Args:
        accelerator: of the run.
        last: the process ends with the run: once it stops, it hears no more, so that a launcher's repeat does not take
            the exit code away.

    Attributes:
        agreed: whether all processes stop after the step that is being taken.
    """

    def __init__(self, accelerator: Accelerator, last: bool = False) -> None:
        self.accelerator, self.last = accelerator, last
        self.agreed = False
        self._asked: float | None = None
        self._before: dict[signal.Signals, Callable[[int, FrameType | None], Any] | int | None] = {}

    def __enter__(self) -> "Stop":
        """Listen; what is ignored (nohup, a shell's background) stays so, and only a main thread can listen."""
        wanted = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        if wanted and threading.current_thread() is threading.main_thread():
            self._ear, self._mouth = socket.socketpair()
            self._mouth.setblocking(False)
            self._woken = signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
            threading.Thread(target=self._listen, args=(frozenset(wanted),), name="stop", daemon=True).start()
            self._before = {number: signal.signal(number, _leave_it_to_the_thread) for number in wanted}
        return self

    def __exit__(self, *_: object) -> None:
        """Let signals do what they did before."""
        if not self._before:
            return
        for number, before in self._before.items():
            signal.signal(number, signal.SIG_IGN if self.last and self.agreed else before)
        self._before = {}
        signal.set_wakeup_fd(self._woken)
        self._mouth.close()

    def _listen(self, wanted: frozenset[int]) -> None:
        with self._ear:
            while heard := self._ear.recv(64):
                for number in filter(wanted.__contains__, heard):
                    self._hear(number)

    def _hear(self, number: int) -> None:
        now = time.monotonic()
        if self._asked is None:
            self._asked = now
            if self.accelerator.is_main_process:
                os.write(2, b"\nunshift: stopping after this step; once more to end at once, without saving\n")
        elif now - self._asked > REPEATED:
            os._exit(128 + number)

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


def _leave_it_to_the_thread(number: int, frame: FrameType | None) -> None:
    """Do nothing, so that nothing else is done."""


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
