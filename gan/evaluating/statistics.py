"""How sure a difference is: paired over recordings, bootstrap intervals, a signed rank test, Holm's correction.

Files of one recording (its shifts, its shifters) are no independent witnesses, so recordings are what is drawn and
tested, never files.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.05
"""What is called significant, and one less the share of intervals that hold the truth."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean over files, and how it differs from the baseline on the same files (95 % interval).

    Attributes:
        mean: of the system.
        baseline: mean of the baseline.
        change: mean of system minus baseline, file by file.
        low: lower end of the change's interval.
        high: its upper end.
        files: how many files there are.
        recordings: of how many recordings.
    """

    mean: float
    baseline: float
    change: float
    low: float
    high: float
    files: int = 0
    recordings: int = 0

    def verdict(self, lower_is_better: bool) -> str:
        """Say "better" or "worse" where the interval leaves zero out, else "unclear"."""
        if self.low <= 0 <= self.high:
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
    means = float(new.mean()), float(old.mean()), float((new - old).mean())
    return Difference(*means, low, high, len(new), len(set(names)))


def interval(differences: Sequence[float], recordings: Sequence[str], draws: int = 4000) -> tuple[float, float]:
    """Give the 95 % bootstrap interval of the mean difference (Efron, 1979).

    Recordings are drawn with all their files: five shifts of one recording are not five voices. With one recording
    the files are drawn, which says nothing of other recordings. Percentiles are widened for small samples (the
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
    groups = _groups(values, recordings)
    if len(groups) == 1:
        groups = [values[i : i + 1] for i in range(len(values))]
    count = len(groups)
    sums = np.array([group.sum() for group in groups])
    counts = np.array([len(group) for group in groups])
    drawn = np.random.default_rng(0).integers(count, size=(draws, count))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
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
    groups = [group[np.isfinite(group)] for group in _groups(values, recordings)]
    means = np.array([group.mean() for group in groups if len(group)])
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


def _groups(values: NDArray[np.float64], recordings: Sequence[str]) -> list[NDArray[np.float64]]:
    """Sort values by recording."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(recordings):
        places.setdefault(name, []).append(place)
    return [values[places[name]] for name in sorted(places)]
