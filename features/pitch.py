"""The pitch of one voice: YIN (de Cheveigné and Kawahara 2002), all frames at once, numpy only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FRAMES_AT_ONCE = 512
QUIET = 1e-5
"""A frame this much weaker in energy than the loudest (-50 dB) has no pitch."""


@dataclass(frozen=True)
class Pitch:
    """A pitch track.

    Attributes:
        frequency: fundamental in Hz, [frames]; 0 where there is none.
        voiced: whether there is one, [frames].
        hop: from frame to frame, seconds; frame 0 is centred on time 0.
        periodicity: how nearly the frame repeats itself, 0 to 1 (1 - YIN's d' at the best lag), [frames]; 0 where it is
            too quiet to tell.
    """

    frequency: Floats
    voiced: NDArray[np.bool_]
    hop: float
    periodicity: Floats


def track_pitch(
    waveform: NDArray[np.float32],
    sample_rate: int,
    *,
    fmin: float = 60.0,
    fmax: float = 800.0,
    hop: float = 0.01,
    threshold: float = 0.15,
) -> Pitch:
    """Follow the pitch of a voice or an instrument that plays one note at a time.

    Args:
        waveform: [samples].
        sample_rate: in Hz.
        fmin: lowest pitch that is found, Hz; a frame is two of its periods long.
        fmax: highest pitch that is found, Hz.
        hop: from frame to frame, seconds.
        threshold: aperiodicity (YIN's d') under which a frame is voiced; 0 is perfectly periodic, 1 is noise.

    Raises:
        ValueError: fmin is not below fmax, or fmax is over a quarter of the rate.
    """
    if not 0 < fmin < fmax <= sample_rate / 4:
        raise ValueError(f"pitch between {fmin} and {fmax} Hz cannot be found at {sample_rate} Hz")
    longest = int(np.ceil(sample_rate / fmin)) + 1
    shortest = max(2, int(sample_rate / fmax))
    padded = np.pad(waveform.astype(np.float64), longest)
    centres = np.round(np.arange(0, max(1, len(waveform)), hop * sample_rate)).astype(int)
    views = np.lib.stride_tricks.sliding_window_view(padded, 2 * longest)
    parts = [
        _pitch_of_frames(views[centres[first : first + FRAMES_AT_ONCE]], shortest, threshold)
        for first in range(0, len(centres), FRAMES_AT_ONCE)
    ]
    period, energy, periodicity = (np.concatenate(part) for part in zip(*parts, strict=True))
    loud = energy > QUIET * energy.max(initial=0)
    voiced = (period > 0) & loud
    frequency = np.where(voiced, sample_rate / np.where(voiced, period, 1.0), 0.0)
    return Pitch(frequency, voiced, hop, np.where(loud, periodicity, 0.0))


def _pitch_of_frames(frames: Floats, shortest: int, threshold: float) -> tuple[Floats, Floats, Floats]:
    """Find period in samples (0 for none), energy and periodicity of frames, [frames, 2 * longest] to [frames] each."""
    longest = frames.shape[1] // 2
    distance, energy = _differences(frames, longest)
    lags = np.arange(1, longest)
    # YIN's step 3: the distance at a lag over its mean at all shorter lags; 1 at lag 0.
    total = np.cumsum(distance[:, 1:], axis=1)
    relative = np.ones_like(distance)
    np.divide(distance[:, 1:] * lags, total, out=relative[:, 1:], where=total > 0)
    inner = relative[:, shortest:-1]
    dips = (inner < threshold) & (inner <= relative[:, shortest + 1 :]) & (inner <= relative[:, shortest - 1 : -2])
    found = dips.any(axis=1)
    lag = shortest + dips.argmax(axis=1)
    rows = np.arange(len(frames))
    left, middle, right = (relative[rows, lag + side] for side in (-1, 0, 1))
    # The lowest point of a parabola through three points.
    curvature = left - 2 * middle + right
    offset = np.divide(left - right, 2 * curvature, out=np.zeros(len(frames)), where=curvature > 0)
    return np.where(found, lag + offset, 0.0), energy, 1.0 - np.minimum(inner.min(axis=1), 1.0)


def _differences(frames: Floats, longest: int) -> tuple[Floats, Floats]:
    """Give sum_j (x_j - x_(j+lag))^2 over half a frame for every lag, [frames, lags], and the energy, [frames]."""
    size = 1 << (frames.shape[1] - 1).bit_length()
    spectrum = np.fft.rfft(frames, size)
    correlation = np.fft.irfft(np.conj(np.fft.rfft(frames[:, :longest], size)) * spectrum, size)[:, :longest]
    running = np.cumsum(np.pad(frames**2, ((0, 0), (1, 0))), axis=1)
    energies = running[:, longest : 2 * longest] - running[:, :longest]
    distance = energies[:, :1] + energies - 2 * correlation
    return np.maximum(distance, 0.0), running[:, -1]
