"""A run that is stopped by real signals, at any step, ends as one that goes straight on: the same bytes everywhere."""

import signal
from pathlib import Path

import faulty
import pytest
import torch
from runs import differences, lines_of, run_stage

from gan import checkpoint
from gan.faults.stopping import StoppedError
from gan.tally import mean_of_tallies

STEPS = 20
RHYTHM = ("--rhythm.journal", "5", "--rhythm.validate", "10", "--rhythm.save", "10")
SIGNALLING = ("--terms.waveform", "faulty.Signalling")
STAGES = {
    "stage 1": (1, ()),
    "stage 2": (2, ()),
    "stage 3": (3, ("--adversary.judge_from", "4", "--adversary.members", "2", "--adversary.learn_every", "2")),
    "stage 3, accumulated": (3, ("--adversary.judge_from", "4", "--data.accumulate", "2")),
    "two loader processes": (1, ("--data.workers", "2")),
}


@pytest.fixture(scope="module")
def origin(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that the later stages begin with."""
    rhythm = ("--rhythm.journal", "2", "--rhythm.validate", "2", "--rhythm.save", "2")
    return run_stage(1, tmp_path_factory.mktemp("origin") / "run", pairs, "--steps", "2", *rhythm)


@pytest.mark.filterwarnings("ignore:This DataLoader will create 2:UserWarning")  # a machine of one core
@pytest.mark.parametrize("name", STAGES)
def test_stopped_at_any_step_and_resumed(name: str, pairs: Path, origin: Path, tmp_path: Path) -> None:
    stage, more = STAGES[name]
    start = () if stage == 1 else ("--initialise.folder", str(origin))
    words = ("--steps", str(STEPS), *RHYTHM, *SIGNALLING, *start, *more)
    faulty.now = faulty.Now()
    straight = run_stage(stage, tmp_path / "straight", pairs, *words)
    each = faulty.now.calls // STEPS
    stopped = tmp_path / "stopped"
    done = 0
    for last in (7,) if "loader" in name else (1, 2, 5, 9, 10, 18):
        # In the middle of the step whose count is `last`; by both signals in turn.
        faulty.now = faulty.Now(at={(last - done) * each - 1: (signal.SIGTERM, signal.SIGINT)[last % 2]})
        with pytest.raises(StoppedError, match=f"after step {last} of 20"):
            run_stage(stage, stopped, pairs, *words)
        assert (stopped / "latest").resolve() == checkpoint.folder_of(stopped, last).resolve()
        done = last
    faulty.now = faulty.Now()
    run_stage(stage, stopped, pairs, *words)
    assert faulty.now.calls == (STEPS - done) * each, "no step is taken twice"
    assert len(lines_of(straight)) == 4 + 3
    assert differences(straight, stopped, STEPS) == []


def test_a_signal_in_the_last_step_lets_the_run_be_complete(pairs: Path, tmp_path: Path) -> None:
    rhythm = ("--rhythm.journal", "2", "--rhythm.validate", "2", "--rhythm.save", "2")
    faulty.now = faulty.Now(at={1: signal.SIGTERM})
    before = signal.getsignal(signal.SIGTERM)
    run_stage(1, tmp_path / "run", pairs, "--steps", "2", *rhythm, *SIGNALLING)
    assert signal.getsignal(signal.SIGTERM) is before


def test_another_number_of_processes_takes_up_the_mean_of_all_tallies() -> None:
    states = [{"sums": {"a": torch.tensor(x)}, "counts": {"a": 3}, "steps": 4, "skipped": 1} for x in (1.0, 2.0, 6.0)]
    assert mean_of_tallies(states) == {"sums": {"a": torch.tensor(3.0)}, "counts": {"a": 3}, "steps": 4, "skipped": 1}
    assert mean_of_tallies(states[1:2]) == states[1]
    assert mean_of_tallies([]) == {}
