"""Killed with SIGKILL at random moments, also while it saves, a run goes on each time and ends with the same bytes."""

import json
import os
import subprocess
import sys
from pathlib import Path

from runs import RECIPES, arguments, differences, run_stage

from gan import checkpoint

LIVES = Path(__file__).parent / "lives.py"
STEPS = 120
RHYTHM = ("--rhythm.journal", "1", "--rhythm.validate", "60", "--rhythm.keep", "2")


def test_twenty_kills_change_nothing(pairs: Path, tmp_path: Path) -> None:
    words = ("--steps", str(STEPS), *RHYTHM)
    straight = run_stage(1, tmp_path / "straight", pairs, *words, "--rhythm.save", str(STEPS))
    killed, report = tmp_path / "killed", tmp_path / "report.json"
    recipe = ["--config", str(RECIPES / "tiny" / "stage1.yaml"), *arguments(killed, pairs, *words)]
    recipe += ["--rhythm.save", "1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(LIVES), "7", "24", str(report), "--", *recipe]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=280)
    assert report.exists(), done.stderr[-3000:]
    met = json.loads(report.read_text())
    assert met["end"] == 0, done.stderr[-3000:]
    counts = [kill["lines"] for kill in met["kills"]]
    assert counts[-1] < STEPS, "the last kill met a run that was not complete"
    assert any(kill["torn"] for kill in met["kills"]), "some came while a checkpoint was being written"
    assert "Traceback" not in done.stderr
    assert not list((killed / "checkpoints").glob("*.damaged*"))
    assert differences(straight, killed, STEPS) == []
    assert len(checkpoint.whole_checkpoints(killed)) <= 3
