"""Real signals to real processes: the exit code, what is saved, and what launchers make of it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from runs import RECIPES, arguments, differences

from gan import checkpoint
from gan.faults.stopping import STOPPED

ROOT = RECIPES.parent
RHYTHM = ("--rhythm.journal", "5", "--rhythm.validate", "20", "--rhythm.save", "20", "--steps", "20")


def words(run: Path, pairs: Path, *more: str) -> list[str]:
    recipe = ["--config", str(RECIPES / "tiny" / "stage1.yaml"), *arguments(run, pairs, *RHYTHM, *more)]
    return [str(RECIPES / "stage1.py"), *recipe]


def start(command: list[str], log: Path, **more: str) -> "subprocess.Popen[bytes]":
    path = {"PYTHONPATH": str(Path(__file__).parent)}
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"} | path | more
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, *command], stdout=file, stderr=file, env=environment, cwd=ROOT, start_new_session=True
        )


def wait_for_steps(run: Path, steps: int, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not any(f'"step": {steps},' in line for line in lines_of_any(run)):
        time.sleep(0.01)


def lines_of_any(run: Path) -> list[str]:
    file = run / "journal.jsonl"
    return file.read_text().splitlines() if file.exists() else []


SLOW = ("--terms.waveform", "faulty.Slow")


@pytest.mark.parametrize(("number", "everyone"), [(signal.SIGINT, False), (signal.SIGTERM, True)])
def test_a_stop_is_saved_and_the_same_command_goes_on(
    number: signal.Signals, everyone: bool, pairs: Path, tmp_path: Path
) -> None:
    """To the process alone, or as a terminal and a scheduler do, to the whole group: loader processes hear it, too."""
    run, more = tmp_path / "run", (*SLOW, *(["--data.workers", "1"] if everyone else []))
    child = start(words(run, pairs, *more), tmp_path / "log")
    wait_for_steps(run, 5)
    os.killpg(child.pid, number) if everyone else child.send_signal(number)
    assert child.wait(timeout=100) == STOPPED
    said = (tmp_path / "log").read_text()
    assert "Traceback" not in said
    done = int((run / "latest").resolve().name)
    assert 5 <= done < 20
    assert f"unshift: stopped after step {done} of 20; the same command goes on there" in said
    assert start(words(run, pairs, *more), tmp_path / "log").wait(timeout=100) == 0
    straight = tmp_path / "straight"
    assert start(words(straight, pairs, *more), tmp_path / "log").wait(timeout=100) == 0
    assert differences(straight, run, 20) == []


def test_a_second_signal_ends_at_once(pairs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    child = start(words(run, pairs, *SLOW), tmp_path / "log", SECONDS="30")
    wait_for_steps(run, 0)
    time.sleep(1)
    child.send_signal(signal.SIGINT)
    time.sleep(3.5)
    child.send_signal(signal.SIGINT)
    since = time.monotonic()
    assert child.wait(timeout=60) == 128 + signal.SIGINT
    assert time.monotonic() - since < 10, "the step sleeps for half a minute"
    assert "stopping after this step" in (tmp_path / "log").read_text()


@pytest.mark.slow
def test_a_signal_to_one_of_two_processes_stops_both_at_the_same_step(pairs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    child = start([*launcher, *words(run, pairs, *SLOW)], tmp_path / "log")
    wait_for_steps(run, 5)
    second = next(
        int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and is_second(entry, child.pid)
    )
    os.kill(second, signal.SIGTERM)
    assert child.wait(timeout=100) == 1, "torchrun makes 1 of every code but 0"
    said = (tmp_path / "log").read_text()
    done = int((run / "latest").resolve().name)
    assert said.count(f"unshift: stopped after step {done} of 20") == 2
    assert 5 <= done < 20
    assert {"random-0.pt", "random-1.pt"} <= {file.name for file in checkpoint.folder_of(run, done).iterdir()}
    start([*launcher, *words(run, pairs, *SLOW)], tmp_path / "log").wait(timeout=100)
    straight = tmp_path / "straight"
    start([*launcher, *words(straight, pairs, *SLOW)], tmp_path / "log").wait(timeout=100)
    assert differences(straight, run, 20) == []


def is_second(entry: Path, parent: int) -> bool:
    """Whether a process is the second one that a launcher started."""
    try:
        status = (entry / "status").read_text()
        return f"PPid:\t{parent}\n" in status and b"\0RANK=1\0" in b"\0" + (entry / "environ").read_bytes()
    except OSError:
        return False
