"""An evaluation that was stopped goes on with the rest, to the same bytes, and believes no note of anything else."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import tiny_restorer
import torch

from gan.audio import Waveform, write
from gan.cli import main
from gan.data.manifest import PairRecord, read_manifest
from gan.evaluating import notes, progress
from gan.evaluating.notes import NOTES, Notes
from gan.evaluating.results import UNREPAIRED, Row, read_results
from generators import store
from generators.spectral import SpectralRestorer

STOP = "STOP_AT_CALL", "STOP_BY_SIGNAL"


class Stopper:
    """A shifter that does nothing, but stops the process when it is called for the so-many-th time."""

    calls = count(1)

    def __call__(self, waveform: Waveform, sample_rate: int, semitones: float) -> Waveform:
        at, number = (int(os.environ.get(name, "0")) for name in STOP)
        if next(Stopper.calls) == at:
            os.kill(os.getpid(), number)
        return waveform


def words(model: Path, pairs: Path, out: Path) -> list[str]:
    shifter = f"{Path(__file__).stem}.Stopper"
    more = ["--device", "cpu", "--measures", "mel", "si_sdr", "--beside", shifter]
    return ["evaluate", str(model), str(pairs), "--out", str(out), *more]


def stop(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Stop in the last of three pairs: one call tries the shifter out, two are for the first pair, none for shift 0."""
    monkeypatch.setattr(Stopper, "calls", count(1))
    for name, value in zip(STOP, (4, number), strict=True):
        monkeypatch.setenv(name, str(value))


@pytest.fixture(scope="module")
def straight(model: Path, pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("straight")
    assert main(words(model, pairs, out)) == 0
    return tiny_restorer.files(out)


def goes_on(model: Path, pairs: Path, out: Path, told: pytest.CaptureFixture[str], straight: dict[str, bytes]) -> None:
    assert not (out / "results.json").exists()
    assert len(list((out / NOTES).glob("*.json"))) == 2
    # As a kill in the middle of a note leaves it.
    (out / NOTES / f"{'0' * 32}.json.partial").write_text('{"key": "')
    assert main(words(model, pairs, out)) == 0
    assert "3 files were measured, 2 of them before" in told.readouterr().err
    assert tiny_restorer.files(out) == straight


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_is_done_is_kept_when_it_is_stopped(
    number: int,
    code: int,
    model: Path,
    pairs: Path,
    straight: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stop(monkeypatch, number)
    try:
        left = main(words(model, pairs, tmp_path))
    except SystemExit as error:
        left = error.code
    assert left == code
    assert "the same command goes on with the rest" in capsys.readouterr().err
    monkeypatch.delenv(STOP[0])
    goes_on(model, pairs, tmp_path, capsys, straight)


def test_what_is_done_is_kept_when_it_is_killed(
    model: Path,
    pairs: Path,
    straight: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stop(monkeypatch, signal.SIGKILL)
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    program = "import sys; from gan.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, *words(model, pairs, tmp_path)]
    assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode == -signal.SIGKILL
    monkeypatch.delenv(STOP[0])
    goes_on(model, pairs, tmp_path, capsys, straight)


def interrupted(monkeypatch: pytest.MonkeyPatch, *command: str) -> None:
    stop(monkeypatch, signal.SIGINT)
    assert main(list(command)) == 130
    monkeypatch.delenv(STOP[0])


def test_notes_of_another_model_of_the_same_name_do_not_count(
    model: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted(monkeypatch, *words(model, pairs, tmp_path / "out"), "--name", "mine")
    assert len(list((tmp_path / "out" / NOTES).glob("*.json"))) == 2
    network = SpectralRestorer(**tiny_restorer.SMALL)
    for weights in network.parameters():
        weights.data += 0.1
    spec = {"class_path": "generators.spectral.SpectralRestorer", "init_args": tiny_restorer.SMALL}
    store.save(tmp_path / "other", network, spec)
    assert main([*words(tmp_path / "other", pairs, tmp_path / "out"), "--name", "mine"]) == 0
    assert "3 files were measured\n" in capsys.readouterr().err
    results = read_results(tmp_path / "out")
    for name, before in results.of(UNREPAIRED).items():
        assert abs(results.of("mine")[name].values["mel"] - before.values["mel"]) > 0.01, "none is the identity's"
    assert results.facts["versions"].keys() >= {"torch", "scipy", "soxr"}


def test_overwriting_begins_without_notes(
    model: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results.json").write_text("earlier")
    command = [*words(model, pairs, tmp_path), "--overwrite"]
    interrupted(monkeypatch, *command)
    hint = "the same command without --overwrite, once results.json is moved away, goes on with the rest"
    assert hint in capsys.readouterr().err
    assert len(list((tmp_path / NOTES).glob("*.json"))) == 2
    assert main(command) == 0
    assert "3 files were measured\n" in capsys.readouterr().err


@pytest.fixture
def record(made: Path) -> PairRecord:
    return next(record for record in read_manifest(made) if record.split == "test" and record.semitones)


def row(record: PairRecord) -> Row:
    where = record.source, "c", record.origin, record.speaker
    return Row(*where, record.semitones, record.shifter, record.direction, "mine", {"mel": 1 / 3, "stft": 1e-17})


def test_a_note_holds_for_what_it_was_written_of(made: Path, record: PairRecord, tmp_path: Path) -> None:
    conditions = {"identity": ["weights"], "measures": ["mel"]}
    notes = Notes(tmp_path, made, conditions)
    assert notes.read(record) is None
    notes.write(record, [row(record)])
    assert Notes(tmp_path, made, conditions).read(record) == [row(record)]
    for other in (
        Notes(tmp_path, made, conditions | {"identity": ["others"]}),
        Notes(tmp_path, made, conditions | {"measures": ["mel", "stft"]}),
        Notes(None, made, conditions),
    ):
        assert other.read(record) is None
    assert Notes(tmp_path, made, conditions).read(replace(record, semitones=1.0)) is None
    for side in (record.target, record.source):
        write(made / side, 0.1 * np.random.default_rng(0).standard_normal((1, 48000)).astype(np.float32), 48000)
        changed = Notes(tmp_path, made, conditions)
        assert changed.read(record) is None
        changed.write(record, [row(record)])
        assert changed.read(record) == [row(record)]
    (made / record.target).unlink()
    assert Notes(tmp_path, made, conditions).read(record) is None
    (tmp_path / NOTES / "mine.json").write_text("a user's own")
    notes.clear()
    assert [file.name for file in (tmp_path / NOTES).iterdir()] == ["mine.json"]
    notes.clear()


@pytest.mark.parametrize("does", ["is done", "writes the same", "writes the same and is done"])
def test_two_evaluations_into_one_folder_leave_each_other_alone(
    does: str, pairs: Path, record: PairRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the other does comes between a note's last byte and its name."""
    ours, other = Notes(tmp_path / "out", pairs, {}), Notes(tmp_path / "out", pairs, {})
    assert ours.read(record) is other.read(record) is None
    if "done" not in does:
        monkeypatch.setattr(notes, "TRIES", 1)  # where nothing is taken away there is nothing to try again
    fsync = os.fsync

    def meanwhile(file: int) -> None:
        fsync(file)
        monkeypatch.setattr(os, "fsync", fsync)
        if "writes" in does:
            other.write(record, [row(record)])
        if "done" in does:
            other.clear()

    monkeypatch.setattr(os, "fsync", meanwhile)
    ours.write(record, [row(record)])
    assert ours.read(record) == [row(record)]
    (tmp_path / "out" / NOTES / f"{'0' * 32}.json.{'1' * 8}.partial").write_text("as a kill leaves it")
    ours.clear()
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("damage", ["", '{"key": "', "[]", "[" * 100_000, "\xff", '{"key": null, "rows": 3}'])
def test_a_damaged_note_is_none(damage: str, made: Path, record: PairRecord, tmp_path: Path) -> None:
    notes = Notes(tmp_path, made, {})
    notes.read(record)
    notes.write(record, [row(record)])
    (note,) = (tmp_path / NOTES).iterdir()
    whole = note.read_text()
    note.write_text(damage, encoding="latin-1")
    assert notes.read(record) is None
    note.write_text(whole.replace(f'"mel": {1 / 3}', '"mel": "much"'))
    assert notes.read(record) is None
    note.write_text(whole.replace(f'"file": "{record.source}"', '"file": "another"'))
    assert notes.read(record) is None
    note.write_text(whole)
    assert notes.read(record) == [row(record)]


def test_a_log_is_told_now_and_then(
    model: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What captures stderr here is no terminal."""
    with progress.Progress(5000, "evaluate") as quick:
        for done in range(1, 5001):
            quick.reach(done)
    assert capsys.readouterr().err == "", "done in less than the time between two lines"
    monkeypatch.setattr(progress, "EVERY", 0.0)
    with progress.Progress(5000, "evaluate") as long, progress.Progress(5000, "evaluate", shown=False) as hidden:
        for done in range(1, 5001):
            long.reach(done)
            hidden.reach(done)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == progress.MOST_LINES
    assert lines[0].startswith("unshift: evaluate: 50 of 5000 files after 0.0 min")
    assert main(words(model, pairs, tmp_path)) == 0
    assert "unshift: evaluate: 1 of 3 files after " in capsys.readouterr().err
