"""Means, intervals and tests over recordings: they say as much as there is to be known, and no more."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_up_results import by_file, moved, noise, some_rows
from scipy import stats

from gan.evaluating.compare import Comparison, compare
from gan.evaluating.results import Results
from gan.evaluating.statistics import FEWEST, difference, holm, interval, least_p_value, signed_rank
from gan.evaluating.summary import summarise


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
        cells, chosen, remarks = compare(by_file(moved(rows, 1)), by_file(rows))
        found = Comparison("a", "b", chosen, cells, remarks)
        assert bool(found.worse()) == (recordings >= 6) == (not found.too_few())
        assert found.needed() == 6
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
