"""Trains one run in many lives: each is a process of its own that is killed at a random moment, and the next goes on.

    python tests/lives.py SEED KILLS CHECKPOINTS.json -- ARGUMENTS OF A STAGE

A life is forked off, so that none has to import anything; what is written says of every kill how many steps were logged
and whether a checkpoint was being written.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from gan.config import load
from gan.faults.stopping import STOPPED
from gan.trainer import run_stage

STAGE = Path(__file__).parents[1] / "recipes" / "stage1.py"


def live(words: list[str]) -> int:
    """Begin a life; gives its process."""
    child = os.fork()
    if not child:
        sys.argv = [str(STAGE), *words]
        try:
            run_stage(str(STAGE), None)
        except SystemExit as end:
            os._exit(int(end.code or 0))
        os._exit(0)
    return child


def lines(run: Path) -> int:
    """Count what is logged."""
    file = run / "journal.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def main() -> None:
    """Live, be killed, and live to the end."""
    seed, kills, report, _, *words = sys.argv[1:]
    run = Path(words[words.index("--folder") + 1])
    draw = random.Random(int(seed))
    met = []
    for number in range(int(kills)):
        before, child = lines(run), live(words)
        # Every sixth is asked to stop instead: at any step, not only where checkpoints are due.
        last = signal.SIGTERM if number % 6 == 5 else signal.SIGKILL
        first, since = before + 1, time.monotonic()
        wanted = first + draw.randrange(4)
        while lines(run) < wanted:
            since = since if lines(run) >= first else time.monotonic()
            assert not os.waitpid(child, os.WNOHANG)[0], "it ended by itself"
            time.sleep(0.001)
        # Somewhere in the next step, or the save after it.
        time.sleep(draw.uniform(0, max(0.03, (time.monotonic() - since) / max(1, wanted - first))))
        os.kill(child, last)
        status = os.waitpid(child, 0)[1]
        assert os.waitstatus_to_exitcode(status) == (STOPPED if last is signal.SIGTERM else -last), status
        torn = [path.name for path in (run / "checkpoints").glob("*.partial")]
        met.append({"lines": lines(run), "torn": torn})
    status = os.waitpid(live(words), 0)[1]
    Path(report).write_text(json.dumps({"kills": met, "end": os.waitstatus_to_exitcode(status)}))


if __name__ == "__main__":
    load(sys.argv[sys.argv.index("--") + 1 :], STAGE.with_suffix(".yaml"))  # imports what a life needs
    import torch.utils.tensorboard.writer  # noqa: F401

    main()
