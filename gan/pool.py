"""Processes beside this one that end with it, however it ends."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any


def _nothing() -> None:
    """Begin without a preparation."""


@contextmanager
def processes(count: int, begin: Callable[..., None] = _nothing, *given: Any) -> Iterator[ProcessPoolExecutor]:
    """Start processes to submit work to; what they have not begun when the block is left by an error is dropped.

    They hear no Ctrl-C, which this process tells them of, and end with it even where it is killed.

    Args:
        count: how many.
        begin: is called in each of them first, a function of a module's own.
        given: to it.

    Raises:
        concurrent.futures.process.BrokenProcessPool: one of them died.
    """
    context = get_context("spawn")
    leash, held = context.Pipe(duplex=False)
    executor = ProcessPoolExecutor(count, context, initializer=_begin, initargs=(leash, begin, given))
    try:
        yield executor
        executor.shutdown()
    finally:
        # After an error or Ctrl-C the processes need not end what they began.
        held.close()
        executor.shutdown(wait=False, cancel_futures=True)
        leash.close()


def _begin(leash: Connection, begin: Callable[..., None], given: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Only the parent holds the other end.
    threading.Thread(target=_end_with_parent, args=(leash,), daemon=True).start()
    begin(*given)


def _end_with_parent(leash: Connection) -> None:
    try:
        leash.recv()
    except (EOFError, OSError):
        os._exit(1)
