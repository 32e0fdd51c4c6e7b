"""Time and peak memory of a command, for the benchmarks beside it."""

import os
import subprocess
import sys
from typing import NamedTuple

# A process's peak starts at that of the process that starts it, and ours holds torch: a small one stands between.
LAUNCHER = """
import os, sys, time
begun = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)])
status, usage = os.wait4(child, 0)[1:]
most = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(status, time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, most)
"""


class Cost(NamedTuple):
    """What a command took."""

    seconds: float
    processor: float
    """Seconds of all cores together; on one thread it is what an idle core would have taken."""
    most: float
    """MiB."""


def cost(command: list[str]) -> Cost:
    """Run a command, its program named by path, and say what it took."""
    launch = [sys.executable, "-I", "-S", "-c", LAUNCHER, *command]
    told = subprocess.run(launch, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, env=os.environ).stdout
    status, seconds, processor, most = map(float, told.split())
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return Cost(seconds, processor, most / 2**20)


def peak(command: list[str]) -> tuple[float, float]:
    """Run a command, its program named by path; give its seconds and its peak memory, MiB."""
    took = cost(command)
    return took.seconds, took.most
