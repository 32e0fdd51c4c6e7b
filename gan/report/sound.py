"""Sound for the page: excerpts of one length, how loud they are, and FLAC that browsers play."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gan.audio import Reader, Waveform, write

BLOCK = 0.4  # seconds: what BS.1770 takes the loudness of at once
MOST_GAIN = 10.0  # 20 dB: what is softer than that is not the same sound, and its noise would be all one hears
HIGHEST = 0.99
MOST_CHANNELS = 2


@dataclass(frozen=True, slots=True)
class Beginning:
    """What is needed of a file: its first seconds.

    Attributes:
        waveform: [channels, samples].
        sample_rate: in Hz.
        seconds: of the whole file.
    """

    waveform: Waveform
    sample_rate: int
    seconds: float


def beginning(file: Path, seconds: float) -> Beginning:
    """Read the first seconds of a file, and no more of it.

    Raises:
        AudioError: as gan.audio.Reader.
    """
    with Reader(file) as reader:
        waveform = reader.read(0, round(seconds * reader.sample_rate))
        return Beginning(waveform, reader.sample_rate, reader.samples / reader.sample_rate)


def loudness(waveform: Waveform, sample_rate: int) -> float:
    """Give the integrated loudness in LUFS (ITU-R BS.1770-4), of a sound that goes round and round as players do.

    Args:
        waveform: [channels, samples], one or two channels; shorter ones than a block of 0.4 s are repeated.
        sample_rate: in Hz.

    Returns:
        The loudness; minus infinity of silence.
    """
    import pyloudnorm  # it brings all of scipy's filters

    samples = waveform.shape[1]
    if not samples or not waveform.any():
        return -np.inf
    wanted = int(np.ceil(BLOCK * sample_rate)) + 1
    repeated = np.tile(waveform, (1, -(-wanted // samples))) if samples < wanted else waveform
    return float(pyloudnorm.Meter(sample_rate).integrated_loudness(repeated.T.astype(np.float64)))


def matching_gains(waveforms: Sequence[Waveform], sample_rate: int) -> list[float]:
    """Give the factors that make sounds as loud as the first, or all of them softer where one would clip.

    Silence is left as it is, and nothing is made louder by more than 20 dB.
    """
    loud = [loudness(waveform, sample_rate) for waveform in waveforms]
    first = next((level for level in loud if np.isfinite(level)), 0.0)
    gains = [min(MOST_GAIN, 10 ** ((first - level) / 20)) if np.isfinite(level) else 1.0 for level in loud]
    peaks = [gain * float(np.abs(wave).max(initial=0)) for gain, wave in zip(gains, waveforms, strict=True)]
    softer = min(1.0, HIGHEST / max([*peaks, HIGHEST]))
    return [gain * softer for gain in gains]


def alike(waveforms: Sequence[Waveform], seconds: float, sample_rate: int) -> list[Waveform]:
    """Cut sounds to the length of the shortest, and to so many seconds at most.

    Of more than two channels two stay; what goes beyond full scale, which 16 bits cannot hold, is made softer as a
    whole.
    """
    samples = min([round(seconds * sample_rate), *(waveform.shape[1] for waveform in waveforms)])
    return [_within_scale(waveform[:MOST_CHANNELS, :samples]) for waveform in waveforms]


def flac(waveform: Waveform, sample_rate: int) -> bytes:
    """Give a sound, [channels, samples], as the bytes of a 16-bit FLAC file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "sound.flac"
        write(file, waveform, sample_rate, subtype="PCM_16")
        return file.read_bytes()


def _within_scale(waveform: Waveform) -> Waveform:
    peak = float(np.abs(waveform).max(initial=0))
    return waveform if peak <= 1 else waveform * np.float32(HIGHEST / peak)
