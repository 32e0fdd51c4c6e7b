"""Comparing two systems: what is the same is found the same, what is worse is found worse, and chance is left alone."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from made_up_results import RECORDINGS, by_file, moved, noise, save, some_rows

from gan.audio import read, write
from gan.cli import main
from gan.evaluating.compare import check_same_input, compare, material_of, system_of
from gan.evaluating.results import UNREPAIRED, Results, ResultsError, Row, read_results, write_results
from gan.pairs.make import PairSettings, make_pairs

CLIPS = Path(__file__).parents[1] / "demo/clips"


@pytest.fixture
def rows() -> list[Row]:
    return some_rows("model", noise)


def test_the_same_twice_differs_by_nothing(rows: list[Row], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = save(tmp_path / "a", rows, moved(rows, 1, UNREPAIRED))
    assert main(["compare", str(one), str(one / "results.json"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (cell,) = found["cells"]
    assert [cell["difference"][name] for name in ("change", "low", "high")] == [0, 0, 0]
    assert (cell["p_value"], cell["corrected"], cell["verdict"]) == (1, 1, "unclear")
    assert (cell["difference"]["recordings"], cell["difference"]["files"]) == (RECORDINGS, 2 * RECORDINGS)
    assert found["worse"] == []


@pytest.mark.parametrize(("measure", "amount"), [("mel", 0.01), ("pesq", -0.01)], ids=["lower", "higher is better"])
def test_a_moved_copy_is_found_whichever_way_is_better(
    measure: str, amount: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = some_rows("model", noise, (measure,))
    good, bad = save(tmp_path / "good", rows), save(tmp_path / "bad", moved(rows, amount))
    assert main(["compare", str(bad), str(good)]) == 1
    assert f"worse: {measure} (speech)" in capsys.readouterr().out
    assert main(["compare", str(good), str(bad)]) == 0
    assert " better " in capsys.readouterr().out


def test_corpora_are_never_pooled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    speech, music = (some_rows("model", noise, corpora=(name,)) for name in ("speech", "music"))
    base = save(tmp_path / "base", speech, music)
    # Better by much in one, worse by little in the other: their mean is better.
    mixed = save(tmp_path / "mixed", moved(speech, -1), moved(music, 0.05))
    assert main(["compare", str(mixed), str(base), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["worse"] == ["music/mel"]
    assert {cell["material"]: cell["verdict"] for cell in found["cells"]} == {"music": "worse", "speech": "better"}


def test_what_was_not_shifted_and_one_way_shifts_are_materials_of_their_own(rows: list[Row]) -> None:
    still, one_way = replace(rows[0], semitones=0.0), replace(rows[0], direction="one_way")
    assert len({material_of(row) for row in (rows[0], still, one_way)}) == 3
    assert len({material_of(row) for row in rows}) == 1
    named_so = [replace(row, corpus=f"speech{words}") for row in (rows[0], one_way) for words in ("", ", one way")]
    named_so += [replace(rows[0], corpus=repr("speech, one way"))]
    assert len({material_of(row) for row in named_so}) == 5, "a corpus can be called what a material is"


def test_only_the_chosen_measures_decide(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = some_rows("model", noise, ("mel", "stft"))
    worse = [replace(row, values=row.values | {"stft": row.values["stft"] + 1}) for row in rows]
    a, b = save(tmp_path / "a", worse), save(tmp_path / "b", rows)
    assert main(["compare", str(a), str(b)]) == 0, "the mel distance decides by itself"
    assert main(["compare", str(a), str(b), "--measures", "stft"]) == 1
    capsys.readouterr()
    assert main(["compare", str(a), str(b), "--measures", "mel", "stft", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["tests"], found["worse"]) == (2, ["speech/stft"])


def test_without_a_mel_distance_all_that_both_have_decides(tmp_path: Path) -> None:
    rows = [replace(row, direction="one_way") for row in some_rows("model", noise, ("voicing", "f0_median"))]
    worse = [replace(row, values=row.values | {"voicing": row.values["voicing"] + 1}) for row in rows]
    assert main(["compare", str(save(tmp_path / "a", worse)), str(save(tmp_path / "b", rows))]) == 1


def test_files_and_measures_that_one_of_them_lacks_are_left_out(rows: list[Row]) -> None:
    other = moved(rows, 0.5)
    other[0] = replace(other[0], values={})
    cells, _, remarks = compare(by_file(rows[2:]), by_file(other[:-2]), allow_missing=True)
    assert remarks == [
        "the first lacks 2 of 22 files that the second has",
        "the second lacks 2 of 22 files that the first has",
    ]
    assert (cells[0].difference.files, cells[0].of) == (len(rows) - 4, len(rows) - 3)
    assert cells[0].difference.change == pytest.approx(-0.5)
    cells, _, remarks = compare(by_file(rows), by_file(other))
    assert cells[0].difference.files == cells[0].of == len(rows) - 1
    assert not remarks


def test_failing_where_it_is_hard_is_no_way_to_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = some_rows("model", noise, ("mel", "f0_median"))
    other = moved(rows, 1)
    easy = [replace(row, values=row.values if i > 11 else {"mel": row.values["mel"]}) for i, row in enumerate(rows)]
    bare = [replace(row, values={"f0_median": row.values["f0_median"]}) for row in rows]
    names = {"whole": other, "half": rows[:12], "easy": easy, "bare": bare, "all": rows}
    paths = {name: str(save(tmp_path / name, its)) for name, its in names.items()}
    for words, lack in (
        (["half", "whole"], "lacks 12 of 24 files"),
        (["easy", "whole", "--measures", "f0_median"], "lacks f0_median of 12 of 24 files"),
        (["bare", "whole"], "lacks mel of 24 of 24 files"),
    ):
        given = ["compare", *(paths.get(word, word) for word in words)]
        assert main(given) == 2, lack
        told = capsys.readouterr()
        assert (told.out, told.err.count("\n")) == ("", 1)
        assert lack in told.err and "--allow-missing" in told.err
        assert main([*given, "--allow-missing"]) == 0
        assert lack in capsys.readouterr().out
    assert main(["compare", paths["easy"], paths["whole"]]) == 0, "a measure that does not decide may be missing"
    assert "12 of 24 files" in capsys.readouterr().out
    assert main(["compare", paths["all"], paths["half"]]) == 0, "the first has more"
    assert "24 of 24 files" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["a", "nowhere"], "nowhere"),
        (["a", "b", "--measures", "taste"], "'taste' is no measure"),
        (["a", "b", "--measures", "pesq"], "both have mel"),
        (["a", "b", "--system-a", "other"], "there is no system 'other'"),
        (["a", "two"], "say which system"),
        (["a", "elsewhere"], "no file is in both"),
        (["a", "louder"], "not the same pairs"),
    ],
)
def test_mistakes_are_one_line_and_2(
    words: list[str], complaint: str, rows: list[Row], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unrepaired = moved(rows, 1, UNREPAIRED)
    save(tmp_path / "a", rows, unrepaired)
    save(tmp_path / "b", rows, unrepaired)
    save(tmp_path / "two", rows, moved(rows, 0, "other"))
    save(tmp_path / "elsewhere", [replace(row, file=f"other/{row.file}") for row in rows])
    save(tmp_path / "louder", rows, moved(unrepaired, 0.5, UNREPAIRED))
    given = [str(tmp_path / word) if place < 2 else word for place, word in enumerate(words)]
    assert main(["compare", *given]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert complaint in told


def test_an_undone_shift_is_not_compared_with_one_that_stays(
    rows: list[Row], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one_way = [replace(row, direction="one_way") for row in rows]
    undone, stays = (str(save(tmp_path / way, one_way, one_way=way)) for way in ("undo", "repair"))
    assert main(["compare", undone, stays]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert "--one-way undo" in told.err and "--one-way repair" in told.err
    assert main(["compare", stays, stays]) == 0
    # Shifts there and back are the same task, whatever was asked of one-way shifts.
    both = [str(save(tmp_path / f"back_{way}", rows, one_way=way)) for way in ("undo", "repair")]
    assert main(["compare", *both]) == 0


def test_a_model_evaluated_on_the_way_undoes_shifts(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    voice, rate = read(CLIPS / "sms_male" / "speech_male_sms.flac")
    (tmp_path / "clips/sms_male").mkdir(parents=True)
    write(tmp_path / "clips/sms_male/0.flac", voice[:, :rate], rate)
    ways = {"semitones": (5.0,), "direction": "one_way", "held_out": ("sms_male",), "workers": 1}
    pairs = tmp_path / "pairs"
    make_pairs(PairSettings(tmp_path / "clips", pairs, **ways), progress=False)
    words = ["--measures", "f0_median", "--device", "cpu"]
    out = str(tmp_path / "out")
    assert main(["evaluate", str(model), str(pairs), "--out", out, "--one-way", "repair", *words]) == 0
    assert main(["compare", str(model), out, "--pairs", str(pairs), *words]) == 2
    assert "two tasks" in capsys.readouterr().err


def test_too_few_recordings_are_no_acquittal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = [some_rows("model", noise, recordings=4, corpora=(name,)) for name in ("song", "speech")]
    a, b = save(tmp_path / "a", *(moved(rows, 9) for rows in few)), save(tmp_path / "b", *few)
    assert main(["compare", str(a), str(b)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert "not significantly worse" not in last
    assert last == (
        "no verdict is possible in song (4 recordings), speech (4 recordings): with 2 tests 7 recordings are needed"
    )
    assert main(["compare", str(a), str(b), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["too_few_recordings"], found["recordings_needed"]) == ({"song": 4, "speech": 4}, 7)


@pytest.mark.parametrize(
    ("amount", "last"),
    [
        (1, "worse: mel (choir), mel (speech)"),
        (
            0,
            "the first is not significantly worse in speech; "
            "no verdict is possible in choir (6 recordings): with 2 tests 7 recordings are needed",
        ),
    ],
    ids=["beside a verdict", "alone"],
)
def test_a_verdict_is_of_the_materials_that_can_have_one(
    amount: float, last: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Six recordings are enough beside a material that has a verdict already, and not beside one without."""
    six, many = some_rows("model", noise, recordings=6, corpora=("choir",)), some_rows("model", noise)
    a, b = save(tmp_path / "a", moved(six, amount), moved(many, amount)), save(tmp_path / "b", six, many)
    assert main(["compare", str(a), str(b)]) == amount
    assert capsys.readouterr().out.splitlines()[-1] == last


def test_a_system_is_held_against_the_unrepaired_input_too(rows: list[Row], tmp_path: Path) -> None:
    one = str(save(tmp_path / "a", rows, moved(rows, -0.1, UNREPAIRED)))
    assert main(["compare", one, one, "--system-b", UNREPAIRED]) == 1
    assert main(["compare", one, one, "--system-a", UNREPAIRED]) == 0


def test_the_model_is_known_by_the_facts_where_shifters_stand_beside_it(rows: list[Row]) -> None:
    both = Results({"system": "model"}, [*rows, *moved(rows, 0, "World")])
    assert system_of(both, None, "a") == "model"
    with pytest.raises(ResultsError, match="say which system"):
        system_of(Results({}, both.rows), None, "a")
    check_same_input(both, both)


def test_two_models_are_evaluated_first(
    model: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--pairs", str(pairs), "--measures", "mel", "--device", "cpu", "--json"]
    assert main(["compare", str(model), str(model), *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {cell["material"] for cell in found["cells"]} == {"sms_male", "sms_male, not shifted"}
    assert all(cell["difference"]["change"] == 0 for cell in found["cells"])
    assert main(["compare", str(model), str(model)]) == 2
    assert "--pairs" in capsys.readouterr().err


def test_a_model_is_evaluated_although_results_lie_beside_it(
    rows: list[Row], model: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = save(tmp_path / "run", rows)
    shutil.copytree(model, run / "best")
    words = ["--pairs", str(pairs), "--measures", "mel", "--device", "cpu", "--json"]
    assert main(["compare", str(run), str(model), *words]) == 0
    assert {cell["of"] for cell in json.loads(capsys.readouterr().out)["cells"]} == {1, 2}, "files of the pairs"
    assert main(["compare", str(run), str(model), "--pairs", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--pairs", "nowhere"], ["--split", "validation"]])
def test_pairs_are_refused_where_there_is_no_model(
    words: list[str], rows: list[Row], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = str(save(tmp_path / "a", rows))
    assert main(["compare", one, one, *words]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "neither of the two" in told


@pytest.mark.parametrize("kind", ["deep", "twice"])
def test_broken_results_are_one_line_and_2(
    kind: str, rows: list[Row], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = save(tmp_path / "a", rows, rows[:1] if kind == "twice" else [])
    if kind == "deep":
        (one / "results.json").write_text("[" * 100_000)
    assert main(["compare", str(one), str(one)]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "holds no results" in told
    assert kind == "deep" or f"{rows[0].file} is there twice of model" in told


def test_what_is_read_again_is_written_first(rows: list[Row], tmp_path: Path) -> None:
    (tmp_path / "results.csv").mkdir()
    with pytest.raises(IsADirectoryError):
        write_results(tmp_path, Results({}, rows))
    assert read_results(tmp_path).rows == rows
