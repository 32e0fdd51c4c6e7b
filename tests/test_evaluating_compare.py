"""Comparing two systems: what is the same is found the same, what is worse is found worse, and chance is left alone."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from gan.cli import main
from gan.evaluating.compare import check_same_input, compare, material_of, system_of
from gan.evaluating.results import UNREPAIRED, Results, ResultsError, Row, write_results
from gan.evaluating.statistics import holm, interval, least_p_value, signed_rank

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
    cells, _, remarks = compare(by_file(rows[2:]), by_file(other[:-2]))
    assert remarks == ["4 files left out: only one of the two has them"]
    assert cells[0].difference.files == len(rows) - 4
    assert cells[0].difference.change == pytest.approx(-0.5)
    cells, _, _ = compare(by_file(rows), by_file(other))
    assert cells[0].difference.files == len(rows) - 1


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
