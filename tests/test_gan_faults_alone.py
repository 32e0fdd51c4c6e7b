"""What befalls one process alone, or comes at a bad moment: a blocked wait, a repeat, a stuck loader, a lost clip."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from accelerate import Accelerator
from runs import RECIPES, arguments, run_stage

from gan import evaluation
from gan.audio import AudioError
from gan.data.dataset import select
from gan.data.skipped import Skip
from gan.faults.stopping import STOPPED
from gan.recipe import ConfigError
from gan.tally import Tally, mean_of_tallies

TESTS = Path(__file__).parent
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "PYTHONPATH": str(TESTS.parent)}

BLOCKED = """
import ctypes
from types import SimpleNamespace
from gan.faults.stopping import Stop

system = ctypes.CDLL(None)
system.PyThread_allocate_lock.restype = ctypes.c_void_p
lock = ctypes.c_void_p(system.PyThread_allocate_lock())
with Stop(SimpleNamespace(is_main_process=True, num_processes=1)):
    print("waiting", flush=True)
    system.PyThread_acquire_lock(lock, 1)
    system.PyThread_acquire_lock(lock, 1)  # as a collective does: for ever, and no signal gets through
"""


def test_signals_are_heard_where_python_is_not_run() -> None:
    command = [sys.executable, "-c", BLOCKED]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT) as child:
        assert child.stdout
        assert child.stderr
        assert child.stdout.readline() == b"waiting\n"
        time.sleep(0.5)
        child.send_signal(signal.SIGTERM)
        assert child.stderr.readline() == b"\n"
        assert child.stderr.readline().startswith(b"unshift: stopping after this step")
        time.sleep(3.2)
        child.send_signal(signal.SIGTERM)
        assert child.wait(timeout=20) == 128 + signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_repeats_do_not_take_the_code_of_a_stop(number: signal.Signals, pairs: Path, tmp_path: Path) -> None:
    run, slow = tmp_path / "run", ("--terms.waveform", "faulty.Slow", "--steps", "20", "--rhythm.journal", "1")
    words = ["--config", str(RECIPES / "tiny/stage1.yaml"), *arguments(run, pairs, *slow)]
    environment = ENVIRONMENT | {"PYTHONPATH": str(TESTS)}
    child = subprocess.Popen([sys.executable, str(RECIPES / "stage1.py"), *words], env=environment, cwd=TESTS.parent)
    while '"step": 1,' not in ((run / "journal.jsonl").read_text() if (run / "journal.jsonl").exists() else ""):
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(number)
    while not (run / "latest").exists() and child.poll() is None:
        time.sleep(0.01)
    while child.poll() is None:
        child.send_signal(number)
        time.sleep(0.02)
    assert child.wait() == STOPPED


STUCK = """
import sys
import time
from pathlib import Path
from gan.data.dataset import PairCrops
from gan.data.loading import Share, micro_batches
from gan.faults.stopping import held_back

class Stuck(PairCrops):
    def draw(self, index):
        if index:
            time.sleep(300)
        return super().draw(index)

if __name__ == "__main__":
    with held_back():
        batches = micro_batches(Stuck(Path(sys.argv[1]), 0.1, 0), Share(1), 0, 9, 1)
    next(batches)
"""


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_a_loader_that_is_stuck_ends_with_its_parent(pairs: Path, tmp_path: Path) -> None:
    script = tmp_path / "stuck.py"
    script.write_text(STUCK)
    subprocess.run([sys.executable, str(script), str(pairs)], env=ENVIRONMENT, check=True, timeout=100)


def test_what_is_no_number_is_never_the_best(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A validation that is NaN in the middle of a run."""
    measure, calls = evaluation.measure_pair, [0]

    def broken(*given: object) -> dict[str, float]:
        calls[0] += 1
        values = measure(*given)  # type: ignore[arg-type]
        return values | {"mel": float("nan")} if calls[0] == 3 else values  # the input, step 0's, step 2's

    monkeypatch.setattr(evaluation, "measure_pair", broken)
    words = ("--steps", "4", "--rhythm.journal", "2", "--rhythm.validate", "2", "--rhythm.save", "4")
    run = run_stage(1, tmp_path / "run", pairs, *words)
    assert calls[0] == 4
    assert (run / "best").resolve().name == "00000004"


def test_a_validation_that_cannot_be_done_loses_no_steps(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure, calls = evaluation.measure_pair, [0]

    def gone(*given: object) -> dict[str, float]:
        calls[0] += 1
        if calls[0] == 3:  # the first after the start
            raise AudioError("clip.flac: is gone")
        return measure(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(evaluation, "measure_pair", gone)
    words = ("--steps", "4", "--rhythm.journal", "2", "--rhythm.validate", "2", "--rhythm.save", "4")
    with pytest.raises(ConfigError, match="is gone"):
        run_stage(1, tmp_path / "run", pairs, *words)
    assert (tmp_path / "run/latest").resolve().name == "00000002"


def test_what_was_skipped_is_counted_over_a_stop() -> None:
    tally = Tally(Accelerator(cpu=True))
    tally.files.add([Skip("a.flac", "is empty"), Skip("a.flac", "is empty")])
    other = Tally(tally.accelerator)
    other.load_state(tally.state())
    assert other.files.counts == {"a.flac": 2}
    other.load_state(mean_of_tallies([tally.state(), tally.state()]))
    assert other.files.counts == {"a.flac": 4}, "of two processes that were, one goes on"
    second = tally.state()
    second["files"]["process"] = 1
    other.load_state(second)
    assert other.files.counts == {}, "another process's part"


@pytest.mark.slow
def test_a_clip_that_one_process_cannot_read_ends_both(pairs: Path, tmp_path: Path) -> None:
    mine = shutil.copytree(pairs, tmp_path / "pairs")
    second = select(mine, "validation")[-1]
    (mine / second.source).unlink()
    more = ("--steps", "4", "--rhythm.clips", "2", "--rhythm.journal", "2", "--rhythm.validate", "2")
    words = ["--config", str(RECIPES / "tiny/stage1.yaml"), *arguments(tmp_path / "run", mine, *more)]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    launcher += ["--log-dir", str(tmp_path / "log"), "--redirects", "3"]
    subprocess.run([*launcher, str(RECIPES / "stage1.py"), *words], env=ENVIRONMENT, check=False, timeout=200)
    said = [file.read_text() for file in (tmp_path / "log").rglob("stderr.log")]
    assert len(said) == 2
    for text in said:
        (line,) = [line for line in text.splitlines() if line.startswith("unshift: ")]
        assert second.source in line
        assert "Traceback" not in text
