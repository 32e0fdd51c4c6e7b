"""Runs that end before their first checkpoint: by a mistake, which can be mended in the same folder, or by Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import soundfile

from gan.audio import Reader
from gan.faults.stopping import STOPPED
from gan.journal import read_journal

ROOT = Path(__file__).parents[1]
SMALL = ["--data.batch", "2", "--data.crop", "0.1", "--generator.init_args.width", "16", "--rhythm.clips", "1"]


def command(run: Path, pairs: Path, *more: str) -> list[str]:
    recipe = ["--config", str(ROOT / "recipes/tiny/stage1.yaml"), "--folder", str(run), "--data.pairs", str(pairs)]
    return [sys.executable, str(ROOT / "recipes/stage1.py"), *recipe, *SMALL, *more]


def run_to_end(words: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=100)


def test_a_mistake_of_the_first_step_can_be_mended(pairs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    short = ("--steps", "2", "--rhythm.journal", "2", "--rhythm.save", "2", "--rhythm.validate", "2")
    wrong = run_to_end(command(run, pairs, *short, "--weights.typo", "2"))
    assert wrong.returncode == 2
    assert "typo" in wrong.stderr.splitlines()[-1]
    right = run_to_end(command(run, pairs, *short))
    assert right.returncode == 0, right.stderr
    assert [(e["kind"], e["step"]) for e in read_journal(run)] == [("validation", 0), ("train", 2), ("validation", 2)]


def test_an_interruption_before_the_first_step_says_how_to_go_on(pairs: Path, tmp_path: Path) -> None:
    """While the parts are being built; on a machine that stumbles it may come within the first step, and is a stop."""
    run = tmp_path / "run"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with (tmp_path / "log").open("w") as log:
        child = subprocess.Popen(command(run, pairs, "--steps", "100000"), stderr=log, stdout=log, env=environment)
        give_up = time.monotonic() + 60
        while not (run / "config.yaml").exists() and time.monotonic() < give_up:
            time.sleep(0.001)
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=60) in (130, STOPPED)
    said = (tmp_path / "log").read_text()
    assert "Traceback" not in said
    assert "; the same command goes on " in said


def test_reading_calls_nothing_back(tmp_path: Path) -> None:
    """A Ctrl-C that comes while libsndfile calls Python is dropped there."""
    soundfile.write(tmp_path / "a.flac", np.zeros(1000), 8000)
    called = []
    sys.setprofile(lambda frame, kind, _: called.append(frame.f_code.co_name) if kind == "call" else None)
    try:
        with Reader(tmp_path / "a.flac") as reader:
            reader.read(10, 500)
    finally:
        sys.setprofile(None)
    assert "read" in called
    assert not [name for name in called if name.startswith("vio_")]
