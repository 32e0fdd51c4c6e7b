"""How sure a difference is: paired over recordings, bootstrap intervals, a signed rank test, Holm's correction.

Files of one recording (its shifts, its shifters) are no independent witnesses, so recordings are what is averaged,
drawn and tested, never files: each counts as one, the mean of its files, however many they are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.05
"""What is called significant, and one less the share of intervals that hold the truth."""
FEWEST = math.floor(2 - math.log2(LEVEL))
"""Recordings that a verdict needs: with fewer the signed rank test can come to no p-value below LEVEL, and even the
widest interval, least to most, misses more often than it may."""
AT_ONCE = 2**20
"""Recordings that are drawn in one block: 8 MB of places, and as many of values."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean, and how it differs from the baseline on the same files (95 % interval); recordings weigh alike.

    Attributes:
        mean: of the system: over recordings, of the means over their files.
        baseline: mean of the baseline, likewise.
        change: mean of system minus baseline, file by file, likewise.
        low: lower end of the change's interval.
        high: its upper end.
        files: how many files there are.
        recordings: of how many recordings.
        rank_sum: Wilcoxon's signed rank sum of the recordings' changes: above 0 where most, or the greatest, go up.
    """

    mean: float
    baseline: float
    change: float
    low: float
    high: float
    files: int
    recordings: int
    rank_sum: float

    def verdict(self, lower_is_better: bool) -> Literal["better", "worse", "unclear"]:
        """Say "better" or "worse" where the interval leaves zero out, else "unclear".

        With fewer than FEWEST recordings it is always "unclear", and where a few large changes pull the mean one way
        while the rank sum goes the other.
        """
        if self.recordings < FEWEST or self.low <= 0 <= self.high or self.change * self.rank_sum <= 0:
            return "unclear"
        return "better" if (self.change < 0) == lower_is_better else "worse"


def difference(system: Sequence[float], baseline: Sequence[float], recordings: Sequence[str]) -> Difference | None:
    """Compare a system with a baseline, file by file; a file counts in both means or in neither.

    Args:
        system: a value for each file; NaN or infinite where there is none.
        baseline: the same, in the same order.
        recordings: which recording each file was made of.

    Returns:
        The difference, or None where no file has both values.
    """
    new, old = (np.asarray(values, dtype=np.float64) for values in (system, baseline))
    both = np.isfinite(new) & np.isfinite(old)
    if not both.any():
        return None
    new, old = new[both], old[both]
    names = [name for name, kept in zip(recordings, both, strict=True) if kept]
    low, high = interval(list(new - old), names)
    changes = _means(new - old, names)
    means = float(_means(new, names).mean()), float(_means(old, names).mean()), float(changes.mean())
    return Difference(*means, low, high, len(new), len(changes), _rank_sum(changes))


def mean(values: Sequence[float], recordings: Sequence[str]) -> float:
    """Give the mean over recordings of the means over their files: a recording of many files weighs no more."""
    return float(_means(np.asarray(values, dtype=np.float64), recordings).mean())


def interval(differences: Sequence[float], recordings: Sequence[str], draws: int = 4000) -> tuple[float, float]:
    """Give the 95 % bootstrap interval of the mean difference, see `mean` (Efron, 1979).

    Recordings' means are drawn: five shifts of one recording are not five voices. With one recording the files are
    drawn, which says nothing of other recordings. Percentiles are widened for small samples (the
    expanded percentile interval, Hesterberg, 2015): plain ones are too narrow by sqrt(1 - 1/n) and by the normal's
    tail in place of Student's.

    Args:
        differences: one for each file.
        recordings: which recording each file was made of.
        draws: how many means are drawn, always with the same seed.

    Returns:
        The lower and the upper end.
    """
    from scipy import stats  # a second, which commands that need no statistics are spared

    values = np.asarray(differences, dtype=np.float64)
    ours = _means(values, recordings)
    if len(ours) == 1:
        ours = values
    count = len(ours)
    rng = np.random.default_rng(0)
    block = max(1, AT_ONCE // count)
    sizes = [min(block, draws - begin) for begin in range(0, draws, block)]
    means = np.concatenate([ours[rng.integers(count, size=(size, count))].mean(axis=1) for size in sizes])
    tail = LEVEL / 2
    if count > 1:
        tail = float(stats.norm.cdf(math.sqrt(count / (count - 1)) * stats.t.ppf(tail, count - 1)))
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def signed_rank(differences: Sequence[float], recordings: Sequence[str]) -> float:
    """Give the two-sided p-value of Wilcoxon's signed rank test (1945) on the recordings' mean differences.

    Args:
        differences: one for each file; NaN or infinite where there is none.
        recordings: which recording each file was made of.

    Returns:
        The p-value, exact for up to 50 recordings without ties; 1 where nothing differs. Recordings without a
        difference do not count.
    """
    from scipy import stats

    values = np.asarray(differences, dtype=np.float64)
    there = np.isfinite(values)
    means = _means(values[there], [name for name, kept in zip(recordings, there, strict=True) if kept])
    means = means[means != 0]
    return float(stats.wilcoxon(means).pvalue) if len(means) else 1.0


def least_p_value(recordings: int) -> float:
    """Give the least p-value that the test can come to with so many recordings: all of them differ the same way."""
    return min(1.0, 2.0 ** (1 - recordings))


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for how many there are (Holm, 1979): the chance of any false alarm among all stays below LEVEL.

    Args:
        p_values: of all tests that were done.

    Returns:
        The corrected ones, in the same order.
    """
    count = len(p_values)
    corrected = [0.0] * count
    highest = 0.0
    for place, index in enumerate(sorted(range(count), key=lambda index: p_values[index])):
        highest = max(highest, min(1.0, (count - place) * p_values[index]))
        corrected[index] = highest
    return corrected


def _means(values: NDArray[np.float64], recordings: Sequence[str]) -> NDArray[np.float64]:
    """Give the mean of each recording's values, the recordings sorted by name."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(recordings):
        places.setdefault(name, []).append(place)
    return np.array([values[places[name]].mean() for name in sorted(places)])


def _rank_sum(changes: NDArray[np.float64]) -> float:
    """Give the sum of the ranks of what went up less that of what went down; what did not change has none."""
    from scipy import stats

    changes = changes[changes != 0]
    return float((np.sign(changes) * stats.rankdata(np.abs(changes))).sum()) if len(changes) else 0.0
