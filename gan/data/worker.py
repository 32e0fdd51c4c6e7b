"""A loader's process: it hears no SIGTERM that goes to a whole group of processes, but its parent's it does."""

import os
import signal
import sys
import threading

TERMINATED = 128 + signal.SIGTERM


def heed_parent(worker: int) -> None:
    """Begin to wait for a SIGTERM of the parent: a loader ends its processes by one, however stuck they are.

    Signals of others are dropped while SIGTERM is held back, see gan.faults.stopping.held_back.

    Args:
        worker: its number, which a loader tells.
    """
    if sys.platform != "darwin":  # which cannot tell who sent a signal
        threading.Thread(target=_wait, name="parent", daemon=True).start()


def _wait() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(TERMINATED)
