"""Time and peak memory of a command, for the benchmarks beside it."""

import os
import subprocess
import time


def peak(command: list[str]) -> tuple[float, float]:
    """Run a command; give its seconds and its peak memory, MiB."""
    begun = time.perf_counter()
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - begun, usage.ru_maxrss / 1024
