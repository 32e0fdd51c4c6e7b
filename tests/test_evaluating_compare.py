"""Comparing two systems: what is the same is found the same, what is worse is found worse, and chance is left alone."""

import json
import shutil
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from gan.cli import main
from gan.evaluating.compare import check_same_input, compare, material_of, system_of
from gan.evaluating.results import UNREPAIRED, Results, ResultsError, Row, read_results, write_results
from gan.evaluating.statistics import FEWEST, difference, holm, interval, least_p_value, signed_rank
from gan.evaluating.summary import summarise

RECORDINGS, SHIFTS = 12, (-7.0, 7.0)


def some_rows(
    system: str,
    value: Callable[[np.random.Generator], float],
    measures: tuple[str, ...] = ("mel",),
    recordings: int = RECORDINGS,
    corpora: tuple[str, ...] = ("speech",),
    seed: int = 0,
) -> list[Row]:
    """Invent measures: two shifts of each recording, which have much in common."""
    rng = np.random.default_rng(seed)
    rows = []
    for corpus in corpora:
        for recording in range(recordings):
            own = {name: value(rng) for name in measures}
            for shift in SHIFTS:
                file = f"source/{corpus}/{recording}_{shift:+g}.flac"
                values = {name: 1.0 + own[name] + 0.1 * value(rng) for name in measures}
                name = f"{corpus}/{recording}.wav"
                rows.append(Row(file, corpus, name, corpus, shift, "Signalsmith", "there_and_back", system, values))
    return rows


def save(folder: Path, *lists: list[Row], **facts: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_results(folder, Results(facts, [row for rows in lists for row in rows]))
    return folder


def by_file(rows: list[Row]) -> dict[str, Row]:
    return {row.file: row for row in rows}


def moved(rows: list[Row], amount: float, system: str = "model", **changes: object) -> list[Row]:
    """Give the same rows, every figure moved."""
    return [
        replace(row, system=system, values={k: v + amount for k, v in row.values.items()}, **changes) for row in rows
    ]


def noise(rng: np.random.Generator) -> float:
    return float(rng.normal())


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


def test_a_recording_of_many_files_weighs_as_one() -> None:
    rng = np.random.default_rng(0)
    counts = [100 if recording < 2 else 1 for recording in range(20)]
    recordings = [str(recording) for recording, count in enumerate(counts) for _ in range(count)]
    changes = [(-5.0 if int(name) < 2 else 1.0) + 0.1 * float(rng.normal()) for name in recordings]
    found = difference([2 + change for change in changes], [2.0] * len(changes), recordings)
    assert found is not None
    means = [
        np.mean([c for c, its in zip(changes, recordings, strict=True) if its == name]) for name in set(recordings)
    ]
    assert found.change == pytest.approx(float(np.mean(means))) == found.mean - found.baseline
    assert found.baseline == 2
    assert (found.low, found.high) == pytest.approx(interval(sorted(means), [f"{i:02}" for i in range(20)]), abs=0.1)
    assert found.rank_sum > 0, "most went up"
    once = difference([2.0, 3.0, 4.0], [1.0, 1.0, 1.0], ["a", "a", "b"])
    assert once is not None and once.mean == 3.25
    rows = some_rows("model", noise, recordings=2)[:3]
    values = [row.values["mel"] for row in rows]
    (line,) = summarise(Results({}, rows))
    assert line.mean == pytest.approx((values[0] + values[1]) / 4 + values[2] / 2) != pytest.approx(np.mean(values))


def test_no_verdict_goes_against_the_ranks() -> None:
    """A few recordings far up pull the mean and its interval above zero while the test says that they went down."""
    rows = some_rows("model", noise, recordings=50)
    far = {f"speech/{recording}.wav" for recording in range(8)}
    other = [replace(row, values={"mel": row.values["mel"] + (-100 if row.recording in far else 1)}) for row in rows]
    (cell,), _, _ = compare(by_file(rows), by_file(other))
    assert cell.corrected is not None and cell.corrected < 0.05
    assert cell.difference.low > 0 > cell.difference.rank_sum
    assert cell.verdict == "unclear"


@pytest.mark.parametrize("recordings", [1, 2, 5, 6])
def test_fewer_than_six_recordings_have_no_verdict(recordings: int) -> None:
    """A recording's five shifts agree; with one of them every chance difference would be called sure."""
    names = [str(i // 5) for i in range(5 * recordings)]
    found = difference([1.0 + 0.01 * i for i in range(len(names))], [0.0] * len(names), names)
    assert found is not None and found.low > 0
    assert found.verdict(lower_is_better=True) == ("unclear" if recordings < FEWEST else "worse")
    assert least_p_value(FEWEST) < 0.05 <= least_p_value(FEWEST - 1)


def test_thousands_of_recordings_are_drawn_in_little_memory() -> None:
    changes = np.random.default_rng(0).normal(size=5000)
    names = [f"{i:04}" for i in range(5000)]
    interval([1.0, 2.0], ["a", "b"], draws=1)  # imports
    tracemalloc.start()
    try:
        low, high = interval(list(changes), names)
        assert tracemalloc.get_traced_memory()[1] < 60e6
    finally:
        tracemalloc.stop()
    drawn = np.random.default_rng(0).integers(5000, size=(400, 5000))
    assert interval(list(changes), names, draws=400) == pytest.approx(
        tuple(np.quantile(changes[drawn].mean(axis=1), [0.025, 0.975])), abs=2e-4
    )
    assert high - low == pytest.approx(2 * 1.96 / 5000**0.5, rel=0.1)


def test_so_few_recordings_that_nothing_could_be_found_are_told_of(tmp_path: Path) -> None:
    for recordings in range(2, 9):
        rows = some_rows("model", noise, recordings=recordings)
        cells, _, remarks = compare(by_file(moved(rows, 1)), by_file(rows))
        found = cells[0].verdict == "worse"
        assert found == (recordings >= 6) == (not remarks)
    assert least_p_value(6) == pytest.approx(float(stats.wilcoxon(np.arange(1, 7)).pvalue))


def test_p_values_are_uniform_where_nothing_differs() -> None:
    """Files of a recording agree; a test of the files would take each for a witness and cry out too often."""
    p_values, naive = [], []
    for seed in range(600):
        rng = np.random.default_rng(seed)
        changes = list(np.repeat(rng.normal(size=20), 4) + 0.3 * rng.normal(size=80))
        p_values.append(signed_rank(changes, [str(i // 4) for i in range(80)]))
        naive.append(signed_rank(changes, [str(i) for i in range(80)]))
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(np.array(naive) < 0.05) > 0.2


def test_many_measures_raise_few_false_alarms() -> None:
    """At the level of 5 %, in any of four measures on two corpora."""
    names = ("mel", "stft", "envelope", "voicing")
    alarms = uncorrected = 0
    for seed in range(120):
        ours, theirs = (some_rows("m", noise, names, 14, ("a", "b"), 2 * seed + side) for side in (0, 1))
        cells, _, _ = compare(by_file(ours), by_file(theirs), names)
        assert len(cells) == 8
        alarms += any(cell.verdict in ("better", "worse") for cell in cells)
        uncorrected += any(cell.p_value < 0.05 for cell in cells)
    assert alarms / 120 < 0.09  # 0.05 and two standard errors
    assert uncorrected / 120 > 0.2, "which is what the correction is for"


@pytest.mark.parametrize("recordings", [4, 8, 30])
def test_the_interval_holds_the_truth_as_often_as_it_says(recordings: int) -> None:
    held = 0
    names = [str(i // 3) for i in range(3 * recordings)]
    for seed in range(300):
        rng = np.random.default_rng(seed)
        drawn = 0.5 + np.repeat(rng.normal(size=recordings), 3) + 0.3 * rng.normal(size=3 * recordings)
        low, high = interval(list(drawn), names, draws=1000)
        held += low <= 0.5 <= high
    assert held / 300 == pytest.approx(0.95, abs=0.08 if recordings == 4 else 0.04)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


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
