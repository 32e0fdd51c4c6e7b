"""Examples without their highest frequencies: what a restorer meets of old, coded or narrow recordings."""

import numpy as np
from numpy.typing import NDArray

from gan.audio import Waveform

LOWEST = 4000.0  # Hz; less than that is a telephone
WIDTH = 0.05  # of the cut: where the gain falls from 1 to 0


def draw_cut(draw: np.random.Generator, sample_rate: int) -> float:
    """Draw a frequency between LOWEST and half the rate, in Hz, every octave equally likely."""
    half = sample_rate / 2
    return float(np.exp(draw.uniform(np.log(min(LOWEST, half / 2)), np.log(half))))


def low_passed(waveform: Waveform, sample_rate: int, cut: float) -> Waveform:
    """Take away what lies above a frequency, without delay or turned phases.

    Args:
        waveform: [channels, samples].
        sample_rate: in Hz.
        cut: in Hz; the gain falls from 1 to 0 over WIDTH of it, below it.

    Returns:
        Same shape.
    """
    samples = waveform.shape[1]
    # Silence behind it: a transform joins the end to the beginning.
    spectrum = np.fft.rfft(waveform.astype(np.float32), samples + 1024)
    frequencies = np.fft.rfftfreq(samples + 1024, 1 / sample_rate)
    spectrum *= _gain(frequencies, cut)
    return np.fft.irfft(spectrum, samples + 1024)[:, :samples].astype(np.float32)


def _gain(frequencies: NDArray[np.floating], cut: float) -> NDArray[np.floating]:
    over: NDArray[np.floating] = np.clip((frequencies - cut * (1 - WIDTH)) / (cut * WIDTH), 0, 1)
    gain: NDArray[np.floating] = 0.5 + 0.5 * np.cos(np.pi * over)
    return gain
