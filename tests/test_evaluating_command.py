"""`unshift evaluate` on pairs of real speech with a model that is the identity: its figures are the unrepaired ones."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny_restorer
import torch

from gan.audio import read, write
from gan.cli import main
from gan.data.manifest import read_manifest
from gan.evaluating.evaluate import Plan, choose_records, restored
from gan.evaluating.measures import CATALOGUE
from gan.evaluating.results import UNREPAIRED, Results, Row, read_results
from gan.evaluating.summary import as_csv, as_table, summarise
from gan.metrics import measure_pair
from gan.pairs.make import PairSettings, make_pairs
from gan.planning import Job
from gan.restoring import restore_file
from generators import store
from generators.spectral import SpectralRestorer

QUICK = ["--measures", "mel", "lsd_4_8k", "si_sdr", "f0_median", "voicing"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds each of two corpora, and one for training."""
    root = tmp_path_factory.mktemp("clips")
    for corpus in ("kathleen", "nathalie", "sms_male"):
        (root / corpus).mkdir()
        for number, file in enumerate(sorted((tiny_restorer.CLIPS / corpus).glob("*.flac"))[:2]):
            waveform, rate = read(file)
            write(root / corpus / f"{number}.flac", waveform[:, rate // 2 : 2 * rate], rate)
    return root


@pytest.fixture(scope="module")
def pairs(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("there") / "pairs"
    held_out = ("nathalie", "sms_male")
    settings = PairSettings(clips, folder, semitones=(0, 5), held_out=held_out, validation=0, workers=1)
    make_pairs(settings, progress=False)
    return folder


@pytest.fixture(scope="module")
def one_way(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one_way") / "pairs"
    settings = PairSettings(
        clips, folder, semitones=(5,), direction="one_way", held_out=("nathalie", "sms_male"), workers=1
    )
    make_pairs(settings, progress=False)
    return folder


def evaluate(model: Path, pairs: Path, out: Path, *more: str) -> int:
    return main(["evaluate", str(model), str(pairs), "--out", str(out), "--device", "cpu", *more])


def test_every_file_is_measured_beside_its_input(
    model: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(model, pairs, tmp_path, *QUICK, "--name", "mine") == 0
    said = capsys.readouterr()
    results = read_results(tmp_path)
    records = {record.source: record for record in read_manifest(pairs) if record.split == "test"}
    assert results.systems() == [UNREPAIRED, "mine"]
    assert results.facts["system"] == "mine"
    assert [row.file for row in results.rows[::2]] == list(records), "in the manifest's order"
    for system in results.systems():
        assert results.of(system).keys() == records.keys()
    for name, row in results.of(UNREPAIRED).items():
        record = records[name]
        assert (row.corpus, row.recording) == (record.origin.split("/")[0], record.origin)
        assert (row.semitones, row.shifter, row.direction) == (record.semitones, record.shifter, record.direction)
        expected = measure_pair(read(pairs / name)[0], read(pairs / record.target)[0], 48000)
        assert row.values["mel"] == pytest.approx(expected["mel"])
        assert ("si_sdr" in row.values) == (row.semitones == 0)
        mended = results.of("mine")[name].values
        assert mended == pytest.approx(row.values, rel=1e-3, abs=1e-3)
    assert said.out.count("mean (95 % interval)") == 4
    for material in ("nathalie", "nathalie, not shifted", "sms_male", "sms_male, not shifted"):
        assert f"\n{material}: " in f"\n{said.out}"
    with (tmp_path / "results.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(results.rows) == 2 * len(records)
    with (tmp_path / "summary.csv").open() as file:
        lines = {(line["material"], line["system"], line["measure"]): line for line in csv.DictReader(file)}
    shifted = [row for row in results.of("mine").values() if (row.corpus, row.semitones) == ("nathalie", 5)]
    mean = np.mean([row.values["mel"] for row in shifted])
    assert float(lines["nathalie", "mine", "mel"]["mean"]) == pytest.approx(mean)


@pytest.mark.slow
def test_processes_change_nothing(model: Path, pairs: Path, tmp_path: Path) -> None:
    for workers in ("1", "2"):
        more = ["--workers", workers, "--beside", "PhaseVocoder", *QUICK]
        assert evaluate(model, pairs, tmp_path / workers, *more) == 0
    one, two = (read_results(tmp_path / workers).rows for workers in ("1", "2"))
    assert [(row.file, row.system) for row in one] == [(row.file, row.system) for row in two]
    for row, other in zip(one, two, strict=True):
        assert row.values == pytest.approx(other.values, rel=1e-4, abs=1e-6)


def test_a_shifter_beside_does_what_the_pairs_shifter_did(model: Path, pairs: Path, tmp_path: Path) -> None:
    assert evaluate(model, pairs, tmp_path, *QUICK, "--beside", "Signalsmith", "PhaseVocoder") == 0
    results = read_results(tmp_path)
    same, other, before = (results.of(name) for name in ("Signalsmith", "PhaseVocoder", UNREPAIRED))
    assert same.keys() == other.keys() == {name for name, row in before.items() if row.semitones != 0}
    for name, row in same.items():
        # The pair was made of the unrounded recording, at another gain.
        assert row.values["mel"] == pytest.approx(before[name].values["mel"], rel=0.05)
        assert abs(other[name].values["mel"] - before[name].values["mel"]) > 0.01


def test_a_one_way_shift_is_to_be_undone(model: Path, one_way: Path, tmp_path: Path) -> None:
    assert evaluate(model, one_way, tmp_path, "--beside", "Signalsmith", *QUICK) == 0
    results = read_results(tmp_path)
    assert results.facts["one_way"] == "undo"
    for row in results.rows:
        assert set(row.values) == {"mel", "lsd_4_8k", "f0_median", "voicing"}
    before, back = (results.of(name) for name in (UNREPAIRED, "Signalsmith"))
    assert before.keys() == back.keys()
    for name, row in before.items():
        assert row.values["f0_median"] == pytest.approx(500, abs=30), "nothing was undone"
        assert back[name].values["f0_median"] < 30
        assert back[name].values["mel"] < row.values["mel"]


def test_a_one_way_shift_that_stays_has_no_reference(model: Path, one_way: Path, tmp_path: Path) -> None:
    assert evaluate(model, one_way, tmp_path, "--one-way", "repair", "--beside", "World", *QUICK) == 0
    results = read_results(tmp_path)
    assert results.facts["one_way"] == "repair"
    assert set(results.systems()) == {UNREPAIRED, "World", "generator"}
    for row in results.rows:
        assert set(row.values) == {"f0_median", "voicing"}
        assert row.values["f0_median"] < 30, "the pitch is held against the shifted one"


def test_some_corpora_and_some_files(model: Path, pairs: Path, tmp_path: Path) -> None:
    assert evaluate(model, pairs, tmp_path, "--measures", "mel", "--files", "1") == 0
    rows = read_results(tmp_path).rows
    assert sorted(row.corpus for row in rows) == ["nathalie"] * 2 + ["sms_male"] * 2
    plan = Plan(pairs, "mine", files=2, corpora=["sms_male"])
    assert [record.speaker for record in choose_records(plan)] == ["sms_male"] * len(choose_records(plan))
    assert choose_records(plan) == choose_records(plan)
    fewer = choose_records(Plan(pairs, "mine", files=1, corpora=["sms_male"]))
    assert len(fewer) == 1 and fewer[0] in choose_records(plan)


def test_speech_measures_are_of_the_corpora_that_are_speech(
    model: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--measures", "mel", "pesq"]
    assert evaluate(model, pairs, tmp_path / "one", *more, "--speech", "nathalie") == 0
    assert evaluate(model, pairs, tmp_path / "all", *more) == 0
    for out, corpora in (("one", {"nathalie"}), ("all", {"nathalie", "sms_male"})):
        rows = read_results(tmp_path / out).rows
        assert {row.corpus for row in rows if "pesq" in row.values} == corpora
    assert "--speech" not in capsys.readouterr().err


def test_a_broken_file_stops_no_other(
    model: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "pairs"
    shutil.copytree(pairs, copy)
    test = [record for record in read_manifest(copy) if record.split == "test" and record.semitones == 5]
    (copy / test[0].source).write_bytes(b"fLaC")
    wrong = copy / test[1].source
    write(wrong, read(wrong)[0][:, 1:], 48000)
    assert evaluate(model, copy, tmp_path / "out", "--measures", "mel") == 1
    said = capsys.readouterr().err
    assert f"failed: {test[0].source}: " in said
    assert f"failed: {test[1].source}: source, target and manifest differ" in said
    results = read_results(tmp_path / "out")
    assert len(results.rows) == 2 * (sum(record.split == "test" for record in read_manifest(copy)) - 2)
    assert {file for file, _ in results.facts["failed"]} == {test[0].source, test[1].source}
    for record in read_manifest(copy):
        (copy / record.target).write_bytes(b"fLaC")
    assert evaluate(model, copy, tmp_path / "none", "--measures", "mel") == 2
    assert "no file could be evaluated" in capsys.readouterr().err
    assert not (tmp_path / "none" / "results.json").exists()


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (["--measures", "loudness"], "no measure 'loudness'"),
        (["--corpus", "nobody"], "no test pair of 'nobody'"),
        (["--speech", "nobody"], "no test pair of 'nobody'"),
        (["--split", "validation"], "no validation pair"),
        (["--beside", "Magic"], "no shifter 'Magic'"),
        (["--beside", "World", "World"], "two systems would be called World"),
        (["--name", "unrepaired"], "two systems would be called unrepaired"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_a_mistake_is_one_line(
    more: list[str], complaint: str, model: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(model, pairs, tmp_path / "out/of/many", *more) == 2
    said = capsys.readouterr()
    assert complaint in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert not (tmp_path / "out").exists(), "what was refused leaves nothing behind"


def test_recordings_in_place_of_pairs_are_left_alone(
    model: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(model, clips, tmp_path / "out") == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert f"`unshift pairs {clips} PAIRS`" in told, "into a folder of their own, not among the recordings"
    for name in ("empty", "out"):
        (tmp_path / name).mkdir()
    assert evaluate(model, tmp_path / "empty", tmp_path / "out") == 2
    assert (tmp_path / "out").is_dir(), "a folder that was there stays"
    assert "`unshift pairs SRC" in capsys.readouterr().err


def test_results_that_are_there_are_kept(
    model: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results.json").write_text("mine")
    assert evaluate(model, pairs, tmp_path, "--measures", "mel") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "results.json").read_text() == "mine"
    assert evaluate(model, pairs, tmp_path, "--measures", "mel", "--files", "1", "--overwrite") == 0
    assert json.loads((tmp_path / "results.json").read_text())["rows"]


@pytest.mark.parametrize("rate", [48000, 44100])
def test_what_is_measured_is_what_restore_writes(rate: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    words = {"sample_rate": 48000, "width": 16, "layers": 1}
    network = SpectralRestorer(**words).eval()
    with torch.no_grad():
        for weights in network.parameters():
            weights.add_(0.02 * torch.randn_like(weights))
    store.save(tmp_path / "model", network, {"class_path": "generators.spectral.SpectralRestorer", "init_args": words})
    waveform = (0.1 * np.random.default_rng(0).standard_normal((2, rate))).astype(np.float32)
    write(tmp_path / "in.wav", waveform, rate, subtype="FLOAT")
    restore_file(Job(tmp_path / "in.wav", tmp_path / "out.wav"), network, 0.3)
    ours, theirs = restored(network, waveform, rate, 0.3), read(tmp_path / "out.wav")[0]
    assert ours.shape == waveform.shape
    assert np.abs(ours - waveform).max() > 1e-3, "it does something"
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_a_summary_is_a_mean_of_each_corpus() -> None:
    def row(corpus: str, recording: str, semitones: float, system: str, value: float) -> Row:
        return Row(
            f"{recording}{semitones}", corpus, recording, "s", semitones, "W", "there_and_back", system, {"mel": value}
        )

    rows = [row("read", str(n), 5, UNREPAIRED, n) for n in range(8)] + [row("sung", "x", 5, UNREPAIRED, 100)]
    rows += [row("read", "0", 0, UNREPAIRED, 50), row("read", "1", 5, "mine", 3)]
    lines = {(line.material, line.system): line for line in summarise(Results({}, rows))}
    assert set(lines) == {
        ("read", UNREPAIRED),
        ("read", "mine"),
        ("sung", UNREPAIRED),
        ("read, not shifted", UNREPAIRED),
    }
    read_aloud = lines["read", UNREPAIRED]
    assert read_aloud.mean == pytest.approx(3.5)
    assert 0 < read_aloud.low < 2.5 and 4.5 < read_aloud.high < 7
    assert (read_aloud.files, read_aloud.recordings) == (8, 8)
    table = as_table(list(lines.values()), [UNREPAIRED, "mine"])
    assert "read: 8 files of 8 recordings\n" in table
    assert "mel distance (lower is better)" in table
    assert "sung: 1 file of 1 recording\nmean (95 % interval)            unrepaired\n" in table
    assert as_csv(lines.values()).count("\n") == 5
    assert CATALOGUE["mel"].lower_is_better
