"""The grid: every place of it is its own rows and no others; a shifter never seen is told from one seen."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image

from gan.cli import main
from gan.evaluating.grid import grid, harm, left_out, measures_of
from gan.evaluating.grid_picture import grid_figure
from gan.evaluating.results import UNREPAIRED, Results, ResultsError, Row, write_results

SHIFTERS = {"Signalsmith": 0.1, "World": 0.2, "Psola": 0.3}
CORPORA = {"singing": 1.0, "speech": 2.0}
SEMITONES = (-12.0, -1.0, 0.0, 5.0)
RECORDINGS = 6


def gain(corpus: str, shifter: str, semitones: float) -> float:
    """How far the invented model brings the mel distance down: no two places of the grid alike."""
    return CORPORA[corpus] * SHIFTERS[shifter] + abs(semitones) / 1000 if semitones else -0.05


def results(unseen: str = "", cost: float = 0.0, system: str = "model", direction: str = "there_and_back") -> Results:
    """Invent results of the whole grid; of the shifter that was not seen the model gains less by `cost`."""
    rng = np.random.default_rng(0)
    rows = []
    for corpus in CORPORA:
        for shifter in SHIFTERS:
            for recording in range(RECORDINGS):
                for semitones in SEMITONES:
                    before = float(rng.uniform(1, 2)) if semitones else 0.0
                    after = before - gain(corpus, shifter, semitones) + (cost if shifter == unseen else 0)
                    file = f"source/{corpus}/{recording}/{shifter}_{semitones:+g}.flac"
                    where = (file, corpus, f"{corpus}/{recording}.wav", corpus, semitones, shifter, direction)
                    pitch = {"f0_median": recording + 0.5}
                    waveform = {} if semitones else {"si_sdr": 30.0 + recording}
                    rows.append(Row(*where, UNREPAIRED, {"mel": before, "f0_median": 0.0}))
                    rows.append(Row(*where, system, {"mel": after} | pitch | waveform))
    return Results({"system": system}, rows)


def save(folder: Path, found: Results) -> str:
    folder.mkdir(parents=True)
    write_results(folder, found)
    return str(folder)


def test_every_place_is_its_own() -> None:
    cells = grid(results(), "model", "mel")
    places = {(cell.material, cell.shifter, cell.semitones): cell.difference for cell in cells}
    assert len(places) == len(cells) == len(CORPORA) * len(SHIFTERS) * (len(SEMITONES) - 1)
    for place, found in places.items():
        assert found.change == pytest.approx(-gain(*place))
        assert found.low <= found.change <= found.high
        assert (found.files, found.recordings) == (RECORDINGS, RECORDINGS)


def test_clean_sound_has_lines_of_its_own() -> None:
    found = {(one.material, one.measure): one for one in harm(results(), "model", ["si_sdr", "mel"])}
    assert set(found) == {(corpus, measure) for corpus in CORPORA for measure in ("si_sdr", "mel")}
    speech = found["speech", "si_sdr"]
    assert (speech.mean, speech.lowest, speech.highest, speech.files, speech.of) == (32.5, 30, 35, 18, 18)
    assert found["speech", "mel"].mean == pytest.approx(0.05)


def test_a_clip_without_the_measure_is_counted() -> None:
    whole = results()
    some = [row for row in whole.rows if "si_sdr" in row.values][:4]
    rows = [replace(row, values={"mel": 0.0}) if row in some else row for row in whole.rows]
    found = harm(Results({}, rows), "model", ["si_sdr"])
    assert sum(one.files for one in found) == sum(one.of for one in found) - 4


def test_the_command_prints_tables_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save(tmp_path / "a", results())
    assert main(["grid", folder]) == 0
    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert [line.split() for line in lines].count(["semitones", "-12", "-1", "+5"]) == 2
    assert any(line.split() == ["World", "-0.412*", "-0.401*", "-0.405*"] for line in lines), "of speech"
    assert any(line.split() == ["speech", "si_sdr,", "dB", "32.5", "30", "18", "of", "18"] for line in lines)
    assert any(line.split() == ["speech", "f0_median,", "cents", "3", "5.5", "18", "of", "18"] for line in lines)
    drawn = image.imread(tmp_path / "a/grid.png")
    assert drawn.shape[1] > drawn.shape[0] > 300
    assert len(np.unique(drawn.reshape(-1, drawn.shape[2]), axis=0)) > 20
    assert main(["grid", folder, "--measures", "mel", "f0_median", "--picture", str(tmp_path / "two.png")]) == 0
    assert image.imread(tmp_path / "two.png").shape[0] == 2 * drawn.shape[0], "a row of panels a measure"


@pytest.mark.parametrize("measure", ["mel", "pesq"], ids=["lower", "higher is better"])
def test_the_picture_shows_a_small_change_of_a_large_figure(measure: str) -> None:
    """A hundredth of the figure and less: curves of quality lie on each other, their difference does not."""
    rows = [replace(row, values={measure: 100 + row.values["mel"]}) for row in results().rows]
    cells = grid(Results({}, rows), "model", measure)
    figure = grid_figure(cells, harm(Results({}, rows), "model", [measure]), "model")
    panels = {axis.get_title(): axis for axis in figure.axes if axis.get_title()}
    assert panels.keys() == CORPORA.keys()
    for material, axis in panels.items():
        its = [cell for cell in cells if cell.material == material]
        assert len(axis.containers) == len(its) == len(SHIFTERS) * (len(SEMITONES) - 1)
        places = []
        for cell, (mark, caps, (bar,)) in zip(its, axis.containers, strict=True):
            ((at, change),) = mark.get_xydata()
            assert axis.get_xticklabels()[round(at)].get_text() == f"{cell.semitones:+g}"
            assert change == pytest.approx(cell.difference.change)
            ((_, low), (_, high)) = bar.get_segments()[0]
            assert (low, high) == pytest.approx((cell.difference.low, cell.difference.high))
            assert len(caps) == 2
            places.append(at)
        assert len(set(places)) == len(places), "no mark hides another"
        bottom, top = axis.get_ylim()
        assert bottom <= 0 <= top
        assert top - bottom < 3 * max(abs(cell.difference.low) for cell in its)
        assert f"({'below' if measure == 'mel' else 'above'} 0 is better)" in axis.get_ylabel()


def test_names_are_no_formulas(tmp_path: Path) -> None:
    words = {"shifter": r"$\broken{", "corpus": "a $^$ b"}
    rows = [replace(row, **words, system="$_$" if row.system == "model" else row.system) for row in results().rows]
    rows = [replace(row, file=f"{place // 2}") for place, row in enumerate(rows)]
    assert main(["grid", save(tmp_path / "a", Results({}, rows))]) == 0
    assert (tmp_path / "a/grid.png").stat().st_size > 5000


def test_clean_sound_is_told_apart_as_shifted_sound_is() -> None:
    """A corpus called as the one-way shifts of another are is still not those."""
    there, one_way = results(), results(direction="one_way")
    named = [replace(row, corpus="speech, one way", file=f"other/{row.file}") for row in there.rows]
    ways = [replace(row, file=f"one_way/{row.file}") for row in one_way.rows]
    whole = Results({}, [row for row in [*named, *ways] if "speech" in row.corpus])
    found = {one.material for one in harm(whole, "model", ["mel"])}
    assert len(found) == 2
    assert found == {cell.material for cell in grid(whole, "model", "mel")}


def test_a_recording_of_many_clean_files_weighs_as_one() -> None:
    rows = [row for row in results().rows if row.semitones == 0 and row.corpus == "speech" and row.system == "model"]
    few = [row for row in rows if row.recording.endswith("/5.wav") or row.shifter == "World"]
    (one,) = harm(Results({}, few), "model", ["si_sdr"])
    assert (one.mean, one.files) == (32.5, 8)


def test_a_mark_needs_six_recordings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = results()
    few = [row for row in whole.rows if not row.recording.endswith("/0.wav")]
    assert main(["grid", save(tmp_path / "a", Results({}, few))]) == 0
    told = capsys.readouterr().out
    assert "recordings at each place: 5" in told
    assert "*" not in told.split("* better")[0]


def test_json_has_every_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grid", save(tmp_path / "a", results()), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["cells"]) == 18
    assert {one["measure"] for one in found["not_shifted"]} == {"mel", "si_sdr", "f0_median"}


def test_one_way_shifts_show_what_they_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = results(direction="one_way").rows
    bare = [replace(row, values={"f0_median": row.values["f0_median"]}) for row in rows]
    assert main(["grid", save(tmp_path / "a", Results({}, bare))]) == 0
    told = capsys.readouterr().out
    assert "speech, one way: f0_median, cents" in told
    assert "mel" not in told


def test_a_shifter_left_out_is_held_against_models_that_saw_it() -> None:
    without = {name: (results(name, cost=0.04), "model") for name in SHIFTERS}
    found = left_out(without, "mel")
    assert {(one.material, one.shifter) for one in found} == {(c, s) for c in CORPORA for s in SHIFTERS}
    for one in found:
        mean = np.mean([gain(one.material, one.shifter, k) for k in SEMITONES if k])
        others = [gain(one.material, s, k) for s in SHIFTERS for k in SEMITONES if k and s != one.shifter]
        assert one.unseen.change == pytest.approx(0.04 - mean)
        assert one.seen is not None and one.seen.change == pytest.approx(-mean)
        assert one.gap is not None and one.gap.change == pytest.approx(0.04)
        assert one.gap.verdict(lower_is_better=True) == "worse"
        assert one.elsewhere is not None and one.elsewhere.change == pytest.approx(-np.mean(others))


def test_one_model_alone_has_nobody_to_be_held_against(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (one, _) = left_out({"World": (results("World", 0.04), "model")}, "mel")
    assert (one.seen, one.gap) == (None, None)
    folder = save(tmp_path / "a", results("World", 0.04))
    assert main(["grid", "--without", f"World={folder}"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("speech"))
    assert line.split() == ["speech", "mel", "World", "-0.366*", "-", "-", "-0.406*"]


def test_the_command_holds_them_against_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"{name}={save(tmp_path / name, results(name, 0.04))}" for name in SHIFTERS]
    assert main(["grid", *(part for word in words for part in ("--without", word)), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["gap"]["change"] for one in found] == pytest.approx([0.04] * 6)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "name RESULTS"),
        (["a", "--without", "World=a"], "name RESULTS"),
        (["nowhere"], "nowhere"),
        (["a", "--measures", "taste"], "no measure 'taste'"),
        (["a", "--system", "other"], "there is no system 'other'"),
        (["a", "--picture", "grid.jpg"], "ends in .png"),
        (["--without", "Rubber=a"], "no file that it shifted; shifters there: Psola, Signalsmith, World"),
        (["--without", "World=a", "--without", "World=a"], "twice"),
        (["--without", "World=a", "--picture", "x.png"], "leave out --picture"),
        (["--without", "World"], "not SHIFTER=RESULTS"),
    ],
)
def test_mistakes_are_one_line_and_2(
    words: list[str],
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save(tmp_path / "a", results())
    monkeypatch.chdir(tmp_path)
    try:
        code = main(["grid", *words])
    except SystemExit as left:  # of the parser
        code = left.code
    assert code == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert complaint in told
    assert not list(tmp_path.rglob("*.png"))


def test_results_without_shifted_files_have_no_grid() -> None:
    still = Results({}, [row for row in results().rows if row.semitones == 0])
    assert measures_of(still, "model") == []
    with pytest.raises(ResultsError, match="no shifted file"):
        grid(still, "model", "mel")


def test_a_real_model_on_real_pairs(model: Path, pairs: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "results")
    words = ["--out", out, "--measures", "mel", "si_sdr", "f0_median", "--device", "cpu"]
    assert main(["evaluate", str(model), str(pairs), *words]) == 0
    assert main(["grid", out]) == 0
    assert (tmp_path / "results/grid.png").stat().st_size > 5000
