"""Measures that hold an output against the original: spectra, their envelope, the waveform."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gan.evaluating.contract import ChannelJudge, Judge, Measure, Take
from gan.metrics import BANDS, measure_pair

RATE, ORDER = 16000, 18
"""Of the envelope: formants lie below 8 kHz, and two poles a kHz and two more are the usual."""
FRAME, HOP, BINS = 400, 160, 256
EMPHASIS = 0.97
FRAMES_AT_ONCE = 2048
QUIET = 1e-5
"""Frames of the original under its loudest by 50 dB in energy are left out."""
NOISE = 1e-5
"""White noise, 50 dB under a frame, that keeps the equations of a pure tone solvable."""

Floats = NDArray[np.float64]


class Spectra(Judge):
    """Distances of spectra by gan.metrics; the waveform's only where nothing was shifted.

    Of what was shifted SI-SDR mostly hears phase, and a copied phase scores well and sounds bad. A channel whose
    original is silent has a mel distance alone: the others are ratios, and to nothing every rustle is far.
    """

    measures: ClassVar = {
        "mel": Measure("mel distance", "", True, "Difference of log mel spectra at seven resolutions, as DAC has it."),
        "stft": Measure("STFT distance", "", True, "Difference of magnitude spectra at several resolutions."),
        **{
            f"lsd_{low}_{high}k": Measure(
                f"LSD {low} to {high} kHz", "dB", True, "Log-spectral distance in this band, frame by frame."
            )
            for low, high in BANDS
        },
        "si_sdr": Measure(
            "SI-SDR, unshifted", "dB", False, "Waveform against waveform, where nothing was shifted: does it do harm?"
        ),
    }

    def __call__(self, take: Take) -> dict[str, float]:
        """Measure all."""
        ours, theirs, rate = take.output.waveform, take.original.waveform, take.output.sample_rate
        values = measure_pair(ours, theirs, rate)
        sounds = [not channel.silent for channel in take.original.channels]
        if not all(sounds):
            values = (measure_pair(ours[sounds], theirs[sounds], rate) if any(sounds) else {}) | {"mel": values["mel"]}
        return {name: value for name, value in values.items() if name != "si_sdr" or take.semitones == 0}


class Envelope(ChannelJudge):
    """Distance of all-pole envelopes, which carry the formants.

    It is measured of shifts that stay too, as a shift should leave formants where they are. There it does not come down
    to zero: the partials that an envelope is sampled by lie elsewhere.
    """

    measures: ClassVar = {
        "envelope": Measure(
            "envelope distance",
            "dB",
            True,
            "Difference of the all-pole envelopes up to 8 kHz, the formants' place.",
            False,
        )
    }

    def hear(self, take: Take) -> dict[str, float]:
        """Measure."""
        return {"envelope": envelope_distance(take.output.first(RATE), take.original.first(RATE))}


def envelope_distance(output: NDArray[np.float32], target: NDArray[np.float32]) -> float:
    """Give the log-spectral distance of all-pole envelopes, dB: RMS over frequency, averaged over frames.

    The envelopes are of unit gain, so how loud a frame is does not count (Gray and Markel 1976). Frames are of 25 ms.

    Args:
        output: [samples] at 16 kHz.
        target: same shape; its quiet frames are left out.

    Returns:
        NaN where the target is silent.
    """
    ours, theirs = (_frames(waveform) for waveform in (output, target))
    energy = np.square(theirs).sum(axis=1)
    loud = energy > max(QUIET * energy.max(initial=0.0), 1e-12)
    if not loud.any():
        return float("nan")
    places = np.flatnonzero(loud)
    distances = []
    for first in range(0, len(places), FRAMES_AT_ONCE):
        some = places[first : first + FRAMES_AT_ONCE]
        sides = [_log_envelopes(predictors(frames[some], ORDER)) for frames in (ours, theirs)]
        distances.append(np.sqrt(np.square(sides[0] - sides[1]).mean(axis=1)))
    return float(np.concatenate(distances).mean())


def predictors(frames: Floats, order: int) -> Floats:
    """Solve for the linear predictors of frames by the autocorrelation method (Makhoul 1975).

    Args:
        frames: windowed, [frames, samples]; samples > order.
        order: how many poles.

    Returns:
        Coefficients of the inverse filters 1 + a1 z^-1 + ..., [frames, order + 1]; of silence 1, 0, 0 ...
    """
    size = 1 << (2 * frames.shape[1] - 1).bit_length()
    correlation = np.fft.irfft(np.abs(np.fft.rfft(frames, size)) ** 2, size)[:, : order + 1]
    correlation[:, 0] = correlation[:, 0] * (1 + NOISE) + 1e-12
    lags = np.abs(np.subtract.outer(np.arange(order), np.arange(order)))
    solved = np.linalg.solve(correlation[:, lags], -correlation[:, 1:, None])[..., 0]
    return np.concatenate([np.ones((len(frames), 1)), solved], axis=1)


def _frames(waveform: NDArray[np.float32]) -> Floats:
    emphasised = np.append(waveform[:1], waveform[1:] - EMPHASIS * waveform[:-1]).astype(np.float64)
    padded = np.pad(emphasised, (0, max(0, FRAME - len(emphasised))))
    frames: Floats = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP] * np.hanning(FRAME)
    return frames


def _log_envelopes(filters: Floats) -> Floats:
    decibels: Floats = -20 * np.log10(np.abs(np.fft.rfft(filters, 2 * BINS)) + 1e-12)
    return decibels
