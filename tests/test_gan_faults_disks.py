"""Disks that spoil, fill up or refuse: a run falls back to a whole checkpoint, or ends in one line and spoils none."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import faulty
import pytest
from runs import RECIPES, arguments, differences, run_stage

from gan import checkpoint
from gan.faults.damage import damage
from gan.faults.digests import DIGESTS
from gan.faults.stopping import StoppedError
from gan.recipe import ConfigError

WORDS = ("--steps", "6", "--rhythm.journal", "2", "--rhythm.validate", "6", "--rhythm.save", "2")
STAGE3 = ("--initialise", "null", "--adversary.judge_from", "1")


@pytest.fixture(scope="module")
def six(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six steps with three checkpoints: to be copied."""
    return run_stage(3, tmp_path_factory.mktemp("six") / "run", pairs, *WORDS, *STAGE3)


def copy_of(run: Path, target: Path) -> Path:
    shutil.copytree(run, target, symlinks=True)
    return target


def files(run: Path) -> dict[str, bytes]:
    folder = run / "checkpoints"
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def flip(file: Path, place: float) -> None:
    content = bytearray(file.read_bytes())
    content[int(len(content) * place)] ^= 4
    file.write_bytes(content)


def cut(file: Path, place: float) -> None:
    os.truncate(file, int(file.stat().st_size * place))


NAMES = ["training.pt", "random-0.pt", "generator/weights.safetensors", "critics/weights.safetensors"]


@pytest.mark.parametrize("name", [*NAMES, "average/generator.yaml", DIGESTS])
@pytest.mark.parametrize(("spoil", "place"), [(cut, 0.5), (flip, 0.7), (lambda file, _: file.unlink(), 0.0)])
def test_a_spoilt_file_is_noticed(name: str, spoil: object, place: float, six: Path, tmp_path: Path) -> None:
    folder = copy_of(six / "checkpoints/00000006", tmp_path / "folder")
    assert damage(folder) is None
    spoil(folder / name, place)
    assert damage(folder) is not None
    assert "\n" not in damage(folder)


def test_a_damaged_checkpoint_is_put_aside_and_the_run_goes_on_from_the_one_before(
    six: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy_of(six, tmp_path / "run")
    for step in (6, 4):
        flip(checkpoint.folder_of(run, step) / "generator/weights.safetensors", 0.7)
    before = files(run)
    run_stage(3, run, pairs, *WORDS, *STAGE3)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("unshift: ")]
    assert len(said) == 2
    assert "00000006 is damaged (generator/weights.safetensors is not what was written)" in said[0]
    assert "00000006.damaged now, and the run goes on after step 2" in said[0]
    after = files(run)
    for name, content in before.items():
        step, rest = name.split("/", maxsplit=1)
        assert after[f"{step}.damaged/{rest}" if int(step) > 2 else name] == content
    assert (run / "latest").resolve().name == "00000006"
    assert differences(six, run, 6) == []


def test_where_none_is_whole_the_run_ends_and_nothing_is_touched(six: Path, pairs: Path, tmp_path: Path) -> None:
    run = copy_of(six, tmp_path / "run")
    for folder in checkpoint.whole_checkpoints(run):
        cut(folder / "training.pt", 0.9)
    before, journal = files(run), (run / "journal.jsonl").read_bytes()
    with pytest.raises(ConfigError, match=r"no checkpoint of .* is whole \(.*00000006: training.pt is not") as caught:
        run_stage(3, run, pairs, *WORDS, *STAGE3)
    assert "\n" not in str(caught.value)
    assert files(run) == before
    assert (run / "journal.jsonl").read_bytes() == journal


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2500k", "tmpfs", folder]
    if os.geteuid() or subprocess.run(mount, check=False).returncode:
        pytest.skip("mounting takes root")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_disk_that_may_not_be_written_to_is_told(pairs: Path, small_disk: Path) -> None:
    run = small_disk / "run"
    words = (*WORDS, "--rhythm.keep", "1", "--terms.waveform", "faulty.Signalling")
    faulty.now = faulty.Now(at={2: signal.SIGTERM})
    with pytest.raises(StoppedError):
        run_stage(1, run, pairs, *words)
    before = files(run)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(ConfigError, match="Read-only file system") as caught:
        run_stage(1, run, pairs, *words)
    assert "\n" not in str(caught.value)
    assert files(run) == before
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    run_stage(1, run, pairs, *words)
    assert (run / "latest").resolve().name == "00000006"


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_full_disk_ends_all_in_one_line_and_leaves_what_was_there(
    processes: int, pairs: Path, tmp_path: Path, small_disk: Path
) -> None:
    run = small_disk / "run"
    more = ("--steps", "40", "--rhythm.journal", "2", "--rhythm.validate", "40", "--rhythm.save", "2")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    launcher += ["--log-dir", str(tmp_path / "log"), "--redirects", "3"]
    recipe = ["--config", str(RECIPES / "tiny" / "stage1.yaml"), *arguments(run, pairs, *more)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    words = [sys.executable, *launcher, str(RECIPES / "stage1.py"), *recipe]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=280)
    said = [file.read_text() for file in sorted((tmp_path / "log").rglob("stderr.log"))]
    assert len(said) == processes
    for text in said:
        assert text.splitlines()[-1].startswith("unshift: ")
        assert "No space left" in text or "cannot be written" in text
        assert "Traceback" not in text
    assert "exitcode  : 2" in done.stderr
    whole = checkpoint.whole_checkpoints(run)
    assert whole
    assert [damage(folder) for folder in whole] == [None] * len(whole)
    assert not list((run / "checkpoints").glob("*.partial"))
