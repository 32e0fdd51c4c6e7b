"""Time and peak memory of a command, for the benchmarks beside it."""

import os
import subprocess
import sys

# A process's peak starts at that of the process that starts it, and ours holds torch: a small one stands between.
LAUNCHER = """
import os, sys, time
begun = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)])
status, usage = os.wait4(child, 0)[1:]
print(status, time.perf_counter() - begun, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""


def peak(command: list[str]) -> tuple[float, float]:
    """Run a command, its program named by path; give its seconds and its peak memory, MiB."""
    launch = [sys.executable, "-I", "-S", "-c", LAUNCHER, *command]
    told = subprocess.run(launch, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, env=os.environ).stdout
    status, seconds, most = told.split()
    if int(status):
        raise SystemExit(f"{' '.join(command)} failed")
    return float(seconds), float(most) / 2**20
