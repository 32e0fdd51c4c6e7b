"""`unshift report` of a run and of results: what is on the page, what is said when something is missing."""

import io
import json
import re
import shutil
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gan.audio import write
from gan.cli import main
from gan.data.manifest import read_manifest
from gan.evaluating.results import UNREPAIRED, Results, Row, write_results


def report(*words: str | Path) -> int:
    return main(["report", *map(str, words), "--device", "cpu"])


def sounds(html: str) -> dict[str, np.ndarray]:
    """Decode the sounds of a page's only clip by label."""
    found = re.findall(r'<figure data-label="(\w+)".*?base64,([^"]+)"', html, re.S)
    return {label: soundfile.read(io.BytesIO(b64decode(data)))[0] for label, data in found}


@pytest.fixture
def results(tmp_path: Path, pairs: Path, model: Path) -> Path:
    rows = []
    for record in read_manifest(pairs):
        corpus = record.origin.split("/", maxsplit=1)[0]
        words = (record.origin, record.speaker, record.semitones, record.shifter, record.direction)
        for system, mel in ((UNREPAIRED, 1.5), ("mine", 1.25)):
            rows.append(Row(record.source, corpus, *words, system, {"mel": mel}))
    facts = {"model": str(model), "pairs": str(pairs), "system": "mine"}
    (tmp_path / "results").mkdir()
    write_results(tmp_path / "results", Results(facts, rows))
    return tmp_path / "results"


@pytest.fixture
def run(tmp_path: Path, model: Path, voice: np.ndarray) -> Path:
    folder = tmp_path / "myrun"
    shutil.copytree(model, folder / "generator")
    lines = [{"kind": "train", "step": s, "seconds": 1.0, "values": {"loss/mel": 3.0 - s / 10}} for s in (1, 2)]
    lines += [{"kind": "verdict", "step": 2, "seconds": 1.0, "values": {}, "sentence": "the critics won"}]
    for step, mel in ((0, 2.0), (4, 1.111), (8, 1.5)):
        lines += [{"kind": "validation", "step": step, "seconds": 2.0, "values": {"mel": mel, "mel_baseline": 2.5}}]
    (folder / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "samples/0").mkdir(parents=True)
    for name, level in (("clean", 0.5), ("shifted", 0.25), ("mended_00000000", 0.2), ("mended_00000008", 0.4)):
        write(folder / f"samples/0/{name}.flac", voice[None] * np.float32(level), 48000)
    return folder


def test_results_are_shown_and_mended_anew(results: Path, pairs: Path) -> None:
    assert report(results, "--clips", "1") == 0
    html = (results / "report.html").read_text()
    heard = sounds(html)
    assert set(heard) == {"original", "shifted", "restored"}
    files = {record.source: record for record in read_manifest(pairs)}
    sources = [soundfile.read(pairs / source)[0] for source, record in files.items() if record.semitones]
    assert any(np.array_equal(heard["shifted"], source[: len(heard["shifted"])]) for source in sources)
    assert np.abs(heard["restored"] - heard["shifted"]).max() < 1e-3, "the model is the identity"
    assert html.count("mel distance 1.500") == 1 and html.count("mel distance 1.250") == 1, "beside the sounds"
    corpora = {record.origin.split("/", maxsplit=1)[0] for record in files.values()}
    assert all(re.search(rf"<h3>{corpus} \(", html) for corpus in corpora)
    assert "generators.spectral.SpectralRestorer" in html, "the model card"


def test_without_its_model_a_page_has_clean_and_shifted(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = json.loads((results / "results.json").read_text())
    words["facts"]["model"] = str(results / "gone")
    (results / "results.json").write_text(json.dumps(words))
    assert report(results / "results.json", "--clips", "1") == 0
    html = (results / "report.html").read_text()
    assert set(sounds(html)) == {"original", "shifted"}
    assert "gone is not there" in html
    assert "gone is not there" in capsys.readouterr().err
    # One that is named by hand has to be there.
    assert report(results, "--model", results / "gone", "--overwrite") == 2


def test_without_its_pairs_a_page_has_tables_alone(results: Path, tmp_path: Path) -> None:
    assert report(results, "--pairs", tmp_path / "nowhere", "--output", tmp_path / "page.html") == 0
    html = (tmp_path / "page.html").read_text()
    assert "<audio" not in html
    assert "nowhere" in html and ">1.250<small" in html


def test_a_run_is_shown(run: Path) -> None:
    assert report(run) == 0
    html = (run / "report.html").read_text()
    assert "<title>unshift: myrun</title>" in html
    assert "the critics won" in html and "myrun, step 2" in html
    assert "best mel: step 4</th>" in html and "<td>2.500</td><td>2.000</td><td>1.111</td><td>1.500</td>" in html
    heard = sounds(html)
    assert set(heard) == {"original", "shifted", "restored"}
    assert np.abs(heard["restored"]).max() == pytest.approx(0.8 * np.abs(heard["original"]).max(), rel=0.01), "the last"
    assert "after step 8" in html
    told = html.partition("<h2>Validation</h2>")[2].partition("<table>")[0]
    assert "of all corpora and shifts together" in told


def test_a_page_is_replaced_only_when_asked_and_never_half(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = run / "report.html"
    page.write_text("mine")
    assert report(run) == 2
    assert "--overwrite" in capsys.readouterr().err
    (run / "journal.jsonl").write_text('{"kind"\n{}\n')
    assert report(run, "--overwrite") == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert page.read_text() == "mine"
    assert [file.name for file in run.iterdir() if "partial" in file.name] == []


def test_what_is_neither_is_refused_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(tmp_path) == 2
    assert report(tmp_path / "none") == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert all("unshift evaluate" in line for line in said)


def test_clips_that_do_not_fit_are_named(results: Path) -> None:
    assert report(results, "--clips", "3", "--megabytes", "1") == 0
    html = (results / "report.html").read_text()
    assert len(html) < 1.5e6
    assert "Left out to keep the clips under 1 MB: " in html


def test_names_from_strangers_are_text(results: Path) -> None:
    evil = '"><img src=x onerror=alert(1)></script>'
    words = json.loads((results / "results.json").read_text())
    words["facts"] |= {"system": evil, evil: evil}
    for row in words["rows"]:
        row |= {"corpus": evil, "shifter": evil, "recording": evil, "speaker": evil}
        row["system"] = row["system"].replace("mine", evil)
    (results / "results.json").write_text(json.dumps(words))
    assert report(results, "--clips", "1") == 0
    html = (results / "report.html").read_text()
    assert "<img src=x" not in html
    assert html.count("</script>") == 1
    for place in ('scope="col">', "<h3>", 'data-title="', "<dt>", "<dd>"):
        assert re.search(f"{re.escape(place)}[^<]*&lt;img src=x onerror", html), place


@pytest.mark.parametrize("name", ["a\0b", "\ud800", 5, ["x"], "x/" * 4096])
def test_results_that_name_no_place_are_shown_without_it(name: object, results: Path) -> None:
    words = json.loads((results / "results.json").read_text())
    words["facts"] |= {"model": name, "pairs": name}
    (results / "results.json").write_text(json.dumps(words))
    assert report(results) == 0
    assert "There is nothing to hear" in (results / "report.html").read_text()


def test_figures_of_a_journal_that_are_none_are_left_out(run: Path) -> None:
    lines = (run / "journal.jsonl").read_text()
    wrong = {"mel": "<b>", "stft": None, "lsd_0_4k": 10**400, "mel_baseline": [1]}
    for step in (9, 10**400):
        lines += json.dumps({"kind": "validation", "step": step, "seconds": 3, "values": wrong}) + "\n"
    (run / "journal.jsonl").write_text(lines)
    assert report(run) == 0
    html = (run / "report.html").read_text()
    assert "<b>" not in html.partition("<h2>Validation</h2>")[2].partition("</section>")[0]


def test_clips_of_a_run_that_cannot_be_read_are_named(run: Path) -> None:
    (run / "samples/0/clean.flac").write_text("no audio")
    assert report(run) == 0
    assert "Left out: " in (run / "report.html").read_text()
