"""Whether what lies above an old rate's band mirrors what lies below: the image that soft resampling leaves.

A short filter, linear interpolation, or holding each sample leaves no brick wall: above half the old rate the spectrum
comes again, turned round and softer. From moment to moment and bin by bin it is the same, which no other sound is.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NOTHING = 1e-9
"""Power of a bin that is taken for nothing: 20 dB under the rounding of 16 bits."""
RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
"""Rates that recordings come from."""
TOP = 0.72
"""An old rate above this share of the own one is no fault, see verdicts.BAND."""
LOW = 150
"""Half the old rate lies so many bins up at least: fewer tell nothing."""
NEAREST, REACH = 4, 0.25
"""Compared are the bins from so many above half the old rate to this share of it above."""
BESIDE = np.concatenate([[0], np.arange(9, 100, 3)])
"""The same is done with the lower side so many bins off: what is as like there is like by chance."""
COARSE, MOST = 31, 12.0
"""Held against each other is what stands out of the mean of so many bins, dB, and at most so much of it."""
LEAST_FRAMES = 8
MIRRORED, STANDING_OUT = 0.38, 0.15
"""Correlation that an image has, and by how much it is more than beside it."""


@dataclass(frozen=True)
class Mirror:
    """An old rate whose image is seen.

    Attributes:
        sample_rate: the old one, in Hz.
        likeness: correlation of the two sides of half the old rate, 0 to 1.
        beside: the same where the sides do not belong together, the largest.
    """

    sample_rate: int
    likeness: float
    beside: float


class Mirrors:
    """Looks for images of the usual rates, frame by frame.

    Args:
        sample_rate: in Hz.
        size: samples of a spectrum.
    """

    def __init__(self, sample_rate: int, size: int) -> None:
        doubled = {rate: rate * size / sample_rate for rate in RATES if rate <= TOP * sample_rate}
        self.doubled = {rate: place for rate, place in doubled.items() if place / 2 >= LOW}
        self.sums = {rate: np.zeros((3, len(BESIDE))) for rate in self.doubled}
        self.frames = 0

    def add(self, power: NDArray[np.float64]) -> None:
        """Hear spectra of some moments in a row, [frames, bins]."""
        level = 10 * np.log10(power + NOTHING)
        total = np.cumsum(np.pad(level, ((0, 0), (COARSE // 2 + 1, COARSE // 2)), mode="edge"), axis=1)
        fine = np.clip(level - (total[:, COARSE:] - total[:, :-COARSE]) / COARSE, -MOST, MOST)
        # Partials of a steady tone mirror each other too: only what comes and goes counts.
        fine -= fine.mean(axis=0)
        self.frames += len(fine)
        for rate, place in self.doubled.items():
            first, bins = int(place / 2) + NEAREST, int(REACH * place / 2) - NEAREST
            upper = fine[:, first : first + bins]
            # Half the old rate need not lie on a bin.
            whole = int(place)
            low, high = (fine[:, : whole + one - first + 1] for one in (0, 1))
            turned = (1 - place % 1) * low[:, ::-1] + (place % 1) * high[:, :0:-1]
            turned = turned[:, : bins + BESIDE[-1]]
            both = np.array([np.vdot(upper, turned[:, beside : beside + bins]) for beside in BESIDE])
            squares = np.cumsum(np.concatenate([[0.0], np.square(turned).sum(axis=0)]))
            energy = squares[BESIDE + bins] - squares[BESIDE]
            self.sums[rate] += np.stack([both, np.full(len(BESIDE), np.square(upper).sum()), energy])

    def found(self) -> Mirror | None:
        """Give the lowest old rate whose image is seen: its multiples have images then, too."""
        if self.frames < LEAST_FRAMES:
            return None
        for rate, (both, upper, lower) in self.sums.items():
            likeness = both / np.maximum(np.sqrt(upper * lower), NOTHING)
            mirror = Mirror(rate, float(likeness[0]), float(np.abs(likeness[1:]).max()))
            if mirror.likeness >= max(MIRRORED, mirror.beside + STANDING_OUT):
                return mirror
        return None
