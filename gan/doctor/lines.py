"""A run's figures line by line, and what can be told of a few of them: a drift, a rise."""

import math
from array import array
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from gan.weighing import Weights, weights_at

SEVERAL = 10  # lines: what holds on so many is no accident
LONG = 20  # lines: of a trend, or of what is usual

Values = NDArray[np.float64]


class Lines:
    """Figures by name and line; a line may lack any of them.

    Args:
        weights: of the losses.

    Attributes:
        steps: of the lines, each the count of the steps done.
    """

    def __init__(self, weights: Weights) -> None:
        self.steps = array("q")
        self._weights = weights
        self._figures: dict[str, array[float]] = {}  # a long run has millions: eight bytes each

    def take(self, step: int, values: Mapping[str, float]) -> None:
        """Add a line; what is not finite counts as missing."""
        for name in values:
            self._figures.setdefault(name, array("d", [math.nan]) * len(self.steps))
        self.steps.append(step)
        for name, figures in self._figures.items():
            value = values.get(name, math.nan)
            figures.append(value if math.isfinite(value) else math.nan)

    def now(self, name: str) -> float:
        """Give the last line's figure, NaN if it has none."""
        return self._figures[name][-1] if name in self._figures else math.nan

    def last(self, name: str, count: int, end: int | None = None) -> Values:
        """Give the figures of the last `count` lines (before line `end`), NaN where a line has none."""
        end = len(self.steps) if end is None else end
        start = max(0, end - count)
        figures = self._figures.get(name)
        return np.asarray(figures[start:end], np.float64) if figures else np.full(end - start, math.nan)

    def present(self, name: str, count: int, end: int | None = None) -> Values:
        """Give the last `count` figures there are; lines that lack them are passed over, but not many."""
        values = self.last(name, 4 * count, end)
        return values[~np.isnan(values)][-count:]

    def weighed(self, names: Iterable[str], start: int, end: int) -> Values:
        """Give losses times today's weights, summed up, of the lines from `start` to `end`: a ramp is no movement."""
        weights = weights_at(self._weights, self.steps[-1])
        losses = [weights[name] * self.last(f"loss/{name}", end - start, end) for name in names if weights[name]]
        return np.asarray(np.sum(losses, axis=0)) if losses else np.full(end - start, math.nan)


def drift(values: Values) -> tuple[float, float]:
    """Give the change along a straight line from first to last, and two standard errors of it, both over the median.

    What lies far out (three robust standard deviations) is drawn in first.
    """
    middle = float(np.median(values))
    spread = 3 * 1.4826 * float(np.median(np.abs(values - middle)))
    drawn = np.clip(values, middle - spread, middle + spread) if spread else values
    place = np.linspace(-0.5, 0.5, len(drawn))
    slope = float(place @ drawn / (place @ place))
    rest = drawn - drawn.mean() - slope * place
    error = math.sqrt(float(rest @ rest) / (len(drawn) - 2) / float(place @ place))
    scale = max(abs(middle), 1e-12)
    return slope / scale, 2 * error / scale


def risen(before: Values, now: Values) -> float | None:
    """Give how many times the median before the median is now; None unless all of now is above nearly all before."""
    before, now = before[~np.isnan(before)], now[~np.isnan(now)]
    if len(before) < LONG or len(now) < SEVERAL or not (low := float(np.median(before))) > 0:
        return None
    return float(np.median(now)) / low if now.min() > np.quantile(before, 0.95) else None
