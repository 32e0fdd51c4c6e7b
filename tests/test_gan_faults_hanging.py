"""A process that hangs is named, with its step and what it does; one that waits for it says that it waits."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from runs import RECIPES, arguments

from gan.faults.watchdog import GIVEN_UP, Watchdog

TESTS = Path(__file__).parent


def test_it_tells_once_for_every_patience_and_of_the_phase_that_hangs(capsys: pytest.CaptureFixture[str]) -> None:
    with Watchdog(0.4, False, 2, 3) as watchdog:
        for step in range(6):
            watchdog.at(step, "loading")
            time.sleep(0.15)
        assert capsys.readouterr().err == "", "each was short enough"
        watchdog.at(6, "saving")
        time.sleep(1.1)
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(lines) == 2
    assert lines[0].startswith("unshift: process 2 of 3 hangs: 0 s in step 6, saving (in test_it_tells_once")
    assert __file__ in lines[0]


def test_no_patience_is_no_watchdog(capsys: pytest.CaptureFixture[str]) -> None:
    with Watchdog(0.0, True, 0, 1):
        time.sleep(0.3)
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_the_one_of_two_that_hangs_is_named(pairs: Path, tmp_path: Path) -> None:
    """It sleeps within its third step; the other comes no further than the gradients."""
    sleeping = "{class_path: faulty.Sleeping, init_args: {process: 1, call: 2, seconds: 600}}"
    more = ("--terms.waveform", sleeping, "--rhythm.patience", "25", "--rhythm.give_up", "true", "--steps", "9")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    log = ["--log-dir", str(tmp_path / "log"), "--redirects", "3"]
    recipe = ["--config", str(RECIPES / "tiny" / "stage1.yaml"), *arguments(tmp_path / "run", pairs, *more)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "PYTHONPATH": str(TESTS)}
    words = [*launcher, *log, str(RECIPES / "stage1.py"), *recipe]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=280)
    first, second = (
        [line for line in file.read_text().splitlines() if line.startswith("unshift: process")]
        for file in sorted((tmp_path / "log").rglob("stderr.log"))
    )
    assert "process 1 of 2 hangs: " in second[-1]
    assert " in step 2, taking the step (in forward, " in second[-1]
    assert "faulty.py" in second[-1]
    assert "process 0 of 2 waits for the others: " in first[-1]
    assert " in step 2, taking the step" in first[-1]
    assert f"exitcode  : {GIVEN_UP}" in done.stderr
