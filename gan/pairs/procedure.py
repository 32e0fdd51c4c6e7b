"""How a pair comes about: there and back again, or one way; which band survives a shift."""

import math
from collections.abc import Callable

import numpy as np

from gan.audio import Waveform, resample
from gan.pairs.shift import Shifter, apply_shifter, fitted


def oversampling(semitones: float) -> int:
    """How many times the rate is wanted so that a shift up by so many semitones loses nothing: 2 at least.

    At twice the rate every shift within an octave keeps the whole band on the way up, and the way down brings it back.
    """
    return 1 << max(1, math.ceil(semitones / 12))


def surviving_band(sample_rate: int, semitones: float) -> float:
    """Give the frequency in Hz up to which a shift at this rate keeps the original: rate / 2 x 2^(-semitones / 12).

    What lies above it would land above half the rate. A shift down keeps everything.
    """
    return sample_rate / 2 * math.exp2(-max(semitones, 0.0) / 12)


def limit(waveform: Waveform, sample_rate: int, semitones: float) -> Waveform:
    """Take away what a shift up by so many semitones would lose, by resampling to twice the surviving band and back.

    Args:
        waveform: [channels, samples].
        sample_rate: in Hz.
        semitones: the shift; nothing is taken away for 0 and less.

    Returns:
        Same shape. The filter is soxr's: linear phase, passes 91 % of the surviving band, stops at its end.
    """
    if semitones <= 0:
        return waveform
    narrow = math.floor(2 * surviving_band(sample_rate, semitones))
    return fitted(resample(resample(waveform, sample_rate, narrow), narrow, sample_rate), waveform.shape[1])


def there_and_back(
    clean: Waveform,
    sample_rate: int,
    semitones: float,
    shifter: Shifter,
    wide: Callable[[int], Waveform] | None = None,
) -> Waveform:
    """Shift and shift back at a multiple of the rate: full band, right pitch, and the marks of two shifts.

    Args:
        clean: [channels, samples]; it is what the result should become again.
        sample_rate: in Hz.
        semitones: of the first shift; 0 gives the clean waveform itself, so that a network learns to leave it alone.
        shifter: does both shifts.
        wide: gives the clean waveform at so many times its rate, as `widen` does: several shifts may share it.

    Returns:
        Same shape as clean.

    Raises:
        PairError: as `apply_shifter`; so do the functions below.
    """
    if semitones == 0:
        return clean
    times = oversampling(semitones)
    # A copy: a shifter is somebody else's code and may write into what it gets.
    start = wide(times).copy() if wide else widen(clean, times)
    there = apply_shifter(shifter, start, times * sample_rate, semitones)
    return narrow(apply_shifter(shifter, there, times * sample_rate, -semitones), times, clean.shape[1])


def one_way(clean: Waveform, sample_rate: int, semitones: float, shifter: Shifter) -> tuple[Waveform, Waveform]:
    """Shift once; a network that learns to map the result back to the original is itself a shifter by -semitones.

    Args:
        clean: [channels, samples].
        sample_rate: in Hz.
        semitones: of the shift; 0 gives the clean waveform twice.
        shifter: does the shift.

    Returns:
        The shifted waveform, and the original up to the band that survives the shift, each of clean's shape. The
        shift is made of the band-limited original, so both hold the same band and neither asks for its extension.
    """
    target = limit(clean, sample_rate, semitones)
    return (target if semitones == 0 else shift_wide(target, sample_rate, semitones, shifter)), target


def shift_wide(waveform: Waveform, sample_rate: int, semitones: float, shifter: Shifter) -> Waveform:
    """Shift at a multiple of the rate, where no shifter has to know what happens at its upper end; same shape."""
    times = oversampling(semitones)
    wide = apply_shifter(shifter, widen(waveform, times), times * sample_rate, semitones)
    return narrow(wide, times, waveform.shape[1])


def widen(waveform: Waveform, times: int) -> Waveform:
    """Resample to a multiple of the rate by zeros in the spectrum, which keeps the band to its last hertz.

    Args:
        waveform: [channels, samples].
        times: the factor.

    Returns:
        [channels, >= samples x times]; what follows the waveform is silence.
    """
    padded = fitted(waveform, _whole(waveform.shape[1]))
    wide = np.fft.irfft(np.fft.rfft(padded), padded.shape[1] * times) * times
    return np.asarray(wide, dtype=np.float32)


def narrow(waveform: Waveform, times: int, samples: int) -> Waveform:
    """Undo `widen`: [channels, samples x times or more] to [channels, samples]; what lies above the band is gone."""
    length = _whole(samples)
    bins = np.fft.rfft(fitted(waveform, length * times))[:, : length // 2 + 1]
    return fitted(np.fft.irfft(bins, length) / times, samples)


def _whole(samples: int) -> int:
    """Give a length that is quick to transform, with room for the ends to ring into."""
    return (samples + 256 + 4095) // 4096 * 4096
