"""Where a recording's band was cut off: the brick wall that resampling leaves, and that nothing natural has.

A voice or an instrument that is weak at the top falls off over kilohertz. A resampler's filter takes everything away
within a few hundred hertz, and above it there is only the rounding of samples, level to the end of the band.
"""

from dataclasses import dataclass

import numpy as np

from gan.pairs.inspecting.mirror import NOTHING
from gan.pairs.inspecting.portrait import Floats

LOWEST = 1800.0
NEAR = 0.05
"""A resampler's filter falls within so much of the wall's frequency to either side."""
WIDE, LEAST = 0.05, 8
"""The bands beside it that are held against each other: so much of the frequency, and so many bins at least."""


@dataclass(frozen=True)
class Wall:
    """A place where a spectrum ends.

    Attributes:
        frequency: Hz.
        drop: how far the level falls there, dB.
        above: how far under the level just below it all that is above lies, dB.
        spread: how far the loudest part of what is above stands out of its middle, dB; rounding alone is level.
    """

    frequency: float
    drop: float
    above: float
    spread: float


def find_wall(power: Floats, sample_rate: int) -> Wall | None:
    """Find the steepest fall of a spectrum above which nothing comes again.

    Args:
        power: [bins], from 0 to half the rate.
        sample_rate: in Hz.

    Returns:
        The wall; None where the band is too narrow to have one.
    """
    bins = len(power) - 1
    level = 10 * np.log10(power + NOTHING)
    best: Wall | None = None
    place = round(LOWEST / (sample_rate / 2) * bins)
    while True:
        near, wide = round(NEAR * place), max(LEAST, round(WIDE * place))
        if place + near + wide > bins:
            return best
        below = float(np.median(level[place - near - wide : place - near]))
        top = level[place + near :]
        drop = below - float(np.median(top[:wide]))
        place, here = place + max(1, near // 5), place
        if best is not None and drop <= min(best.drop, best.above):
            continue
        middle, loudest = float(np.median(top)), float(np.quantile(top, 0.98))
        wall = Wall(here / bins * sample_rate / 2, drop, below - loudest, loudest - middle)
        if best is None or min(wall.drop, wall.above) > min(best.drop, best.above):
            best = wall
