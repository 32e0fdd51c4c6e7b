"""Measures of the pitch of what sounds one note at a time; noise and chords have none to measure."""

from typing import ClassVar

import numpy as np

from features.pitch import Pitch
from gan.evaluating.contract import ChannelJudge, Measure, Take

OCTAVE = 600.0
"""Cents; a frame further off than half an octave is nearer to another octave: the tracker or the voice has jumped."""


class PitchErrors(ChannelJudge):
    """How far the pitch is from where it should be: the original's, moved by the shift where that is to stay."""

    measures: ClassVar = {
        "f0_median": Measure(
            "F0 error, median",
            "cents",
            True,
            "How far the pitch is off in the middle frame; octave errors apart.",
            False,
        ),
        "f0_p95": Measure(
            "F0 error, 95th percentile", "cents", True, "What 95 % of frames stay within; octave errors apart.", False
        ),
        "f0_octave": Measure(
            "octave errors", "%", True, "Frames voiced in both whose pitch is over 600 cents off.", False
        ),
        "voicing": Measure("voicing error", "%", True, "Frames that are voiced in one and not in the other.", False),
        "periodicity": Measure(
            "periodicity error", "", True, "RMS difference of how nearly frames repeat themselves, 0 to 1.", False
        ),
    }

    def hear(self, take: Take) -> dict[str, float]:
        """Measure; the errors of F0 are missing where no frame is voiced in both."""
        return pitch_errors(take.output.pitch(take.ratio), take.original.pitch(), take.ratio)


def pitch_errors(output: Pitch, target: Pitch, ratio: float = 1.0) -> dict[str, float]:
    """Compare two pitch tracks, frame by frame.

    Args:
        output: a track.
        target: one of the same number of frames.
        ratio: what the target's frequencies times this should be: the output's.

    Returns:
        "f0_median" and "f0_p95": of the absolute error in cents over frames voiced in both that are at most 600 cents
        off; "f0_octave": the share of frames voiced in both that are further off, %; these three are NaN where there is
        no such frame. "voicing": the share of all frames voiced in one alone, %. "periodicity": root mean square error
        (as in Morrison et al. 2022, with YIN's periodicity).
    """
    both = output.voiced & target.voiced
    cents = np.abs(1200 * np.log2(output.frequency[both] / (ratio * target.frequency[both])))
    near = cents[cents <= OCTAVE]
    median, high = np.quantile(near, [0.5, 0.95]) if near.size else (np.nan, np.nan)
    return {
        "f0_median": float(median),
        "f0_p95": float(high),
        "f0_octave": 100 * float(1 - len(near) / len(cents)) if len(cents) else float("nan"),
        "voicing": 100 * float(np.mean(output.voiced != target.voiced)),
        "periodicity": float(np.sqrt(np.mean(np.square(output.periodicity - target.periodicity)))),
    }
