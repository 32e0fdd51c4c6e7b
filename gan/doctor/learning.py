"""Looks at the generator's losses beside the adversarial one: do they stand, do they rise?"""

import math
from collections.abc import Iterable

import numpy as np

from gan.critics import ADVERSARIAL, FEATURE_MATCHING
from gan.doctor.lines import LONG, SEVERAL, Lines, drift, risen

MOST = 1000  # lines: of the longest trend
STILL = 0.01  # of the loss: less is no movement
IDLE = 0.05  # of the highest rate: below it, a loss that stands is the end of a schedule
RISE = 1.25  # times the loss at its lowest


class Learning:
    """Watches how one generator learns.

    Args:
        lines: of the run.
        terms: names of the losses on an estimate.
    """

    def __init__(self, lines: Lines, terms: Iterable[str]) -> None:
        self.lines, self.terms = lines, list(terms)
        self.validations: list[float] = []
        self.fastest = 0.0
        self.low = 0  # where the LONG lines with the lowest loss begin

    def still(self) -> str | None:
        """See whether the losses surely stand since the run was half as long."""
        count, rate = len(self.lines.steps), self.lines.now("rate/generator")
        self.fastest = max(self.fastest, 0.0 if math.isnan(rate) else rate)
        if self.fastest == 0 and len(self.lines.present("rate/generator", SEVERAL)) == SEVERAL:
            return f"the generator's learning rate has been 0 on all {count} lines; set optimiser's lr"
        lines = min(count // 2, MOST)
        if lines < LONG or not rate >= IDLE * self.fastest:
            return None
        judged = not math.isnan(self.lines.now(f"loss/{FEATURE_MATCHING}"))
        names = [*self.terms, *([FEATURE_MATCHING] if judged else [])]
        values = self.lines.weighed(names, count - lines, count)
        values = values[(self.lines.last("rate/generator", lines) >= IDLE * self.fastest) & ~np.isnan(values)]
        if len(values) < LONG:
            return None
        change, doubt = drift(values)
        # Doubt counts against it: on few or noisy lines nothing is said.
        if abs(change) + doubt >= STILL:
            return None
        return (
            f"over {lines} lines the weighed sum of {', '.join(names)} ({np.median(values):.4g}) changed by "
            f"{change:+.2%} (within {doubt:.2%}) at a learning rate of {rate:.2g}; look at optimiser's lr and at "
            "frozen; if it has learned what it can, lower the rate or stop"
        )

    def fast(self) -> str | None:
        """See whether the loss has risen, in training or validation."""
        seen = self._rise() or self._validation()
        if not seen:
            return None
        judged = not math.isnan(self.lines.now(f"loss/{ADVERSARIAL}"))
        beside = " (or weights.adversarial, if it began as the critics joined)" if judged else ""
        return (
            f"{seen}; lower optimiser's lr{beside}, give the rate a longer warm_up, and go back to a checkpoint from "
            "before"
        )

    def _rise(self) -> str | None:
        count = len(self.lines.steps)
        if count < LONG + SEVERAL:
            return None
        self._find_low(count - LONG - SEVERAL)
        low = self.lines.weighed(self.terms, self.low, self.low + LONG)
        recent = self.lines.weighed(self.terms, count - SEVERAL, count)
        at = f"up to step {self.lines.steps[self.low + LONG - 1]}"
        if (times := risen(low, recent)) and times > RISE:
            return (
                f"for {SEVERAL} lines the weighed sum of {', '.join(self.terms)} is {np.nanmedian(recent):.4g}, "
                f"{times:.2f} times the {np.nanmedian(low):.4g} of {at}"
            )
        return None

    def _find_low(self, start: int) -> None:
        """Now and then, see whether the LONG lines before the recent ones are the lowest so far."""
        if start % SEVERAL:
            return
        here, there = (self.lines.weighed(self.terms, at, at + LONG) for at in (start, self.low))
        if np.isfinite(here).all() and not np.median(there) <= np.median(here):
            self.low = start

    def _validation(self) -> str | None:
        """See whether validation has risen; where training has fallen meanwhile, that is overfitting."""
        if len(self.validations) < 2:
            return None
        # Where there was hardly anything to mend, many times nothing is still nothing.
        best = min(self.validations)
        if self.validations[-1] <= max(RISE * best, best + 0.1):
            return None
        count = len(self.lines.steps)
        values = self.lines.weighed(self.terms, max(0, count - MOST), count)
        first, second = np.array_split(values[~np.isnan(values)], 2)
        if min(len(first), len(second)) < 2 or np.median(second) < 0.97 * np.median(first):
            return None
        return (
            f"validation's mel distance is {self.validations[-1]:.4g}, where it was {best:.4g}, and the losses in "
            "training do not fall"
        )
