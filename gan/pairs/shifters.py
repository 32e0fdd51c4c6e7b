"""The pitch shifters: DSP, none of them a network.

Signalsmith, PhaseVocoder and Torchaudio are in the core installation; World comes with `unshift[shifters]`, Librosa
with `unshift[dac]`, RubberBand and Psola with `unshift[shifters-gpl]` (their licence is the GPL).

All keep channels in time (within 2 ms of each other on two voices), and what is silent stays silent. Signalsmith and
RubberBand shift channels together: how wide a recording is stays within 1 dB. The others shift each channel by itself,
exactly as if it were alone: what two channels have in common comes out in phases of its own on either side, so the
sound is wider than it was, by 8 to 11 dB for a voice in the middle with another at the sides.
"""

import importlib
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import cast

import numpy as np
import soxr
from numpy.typing import NDArray

from features.torchaudio_extension import allow_torchaudio_without_extension
from gan.audio import Waveform, resample
from gan.pairs.shift import PairError, fitted

Spectrum = NDArray[np.inexact]


class Signalsmith:
    """Signalsmith Stretch: spectral, spectrum and formants move with the pitch (python-stretch, MIT; Luff 2023)."""

    def __call__(self, waveform: Waveform, sample_rate: int, semitones: float) -> Waveform:
        """Shift, see `Shifter`."""
        from python_stretch.Signalsmith import Stretch

        stretch = Stretch(0)
        stretch.preset(len(waveform), float(sample_rate))
        stretch.setTransposeSemitones(semitones)
        # Shorter input than this gives transients louder than the input.
        lead = max(0, stretch.blockSamples() - waveform.shape[1])
        padded = np.pad(waveform, ((0, 0), (0, lead)))
        shifted = cast(Waveform, stretch.process(padded))
        return fitted(shifted, waveform.shape[1])


class PhaseVocoder:
    """A phase vocoder (Flanagan and Golden 1966) with phases locked to peaks (Laroche and Dolson 1999), and resampling.

    Args:
        window: length of the window, seconds.
    """

    def __init__(self, window: float = 0.043) -> None:
        self.window = window

    def __call__(self, waveform: Waveform, sample_rate: int, semitones: float) -> Waveform:
        """Shift, see `Shifter`."""
        ratio = 2.0 ** (semitones / 12)
        size = 4 * round(self.window * sample_rate / 4)
        stretched = np.stack([_stretch(channel, ratio, size) for channel in waveform])
        resampled = soxr.resample(stretched.T, sample_rate * ratio, sample_rate, "VHQ").T
        return fitted(resampled, waveform.shape[1])


def _stretch(channel: Waveform, ratio: float, size: int) -> Waveform:
    """Make a channel longer by a ratio, [samples] to [>= samples x ratio], with windows of `size` samples."""
    hop, window = size // 4, np.hanning(size + 1)[:-1]
    frames = int(np.ceil(len(channel) * ratio / hop)) + 1
    # A frame every hop / ratio samples, and for each the frame one hop earlier. The phase turns between these two by
    # just what it has to turn in a hop of the output, so nothing is unwrapped.
    places = np.round(np.arange(frames) * hop / ratio).astype(int) + hop
    views = np.lib.stride_tricks.sliding_window_view(np.pad(channel, (size // 2 + hop, size + hop)), size)
    out = np.zeros((frames + 3) * hop)
    phase: Spectrum = np.zeros(size // 2 + 1)
    for frame, place in enumerate(places):
        now, before = np.fft.rfft(views[place] * window), np.fft.rfft(views[place - hop] * window)
        phase = _locked(phase, now, before) if frame else np.asarray(np.angle(now))
        grain = np.fft.irfft(np.abs(now) * np.exp(1j * phase), size)
        out[frame * hop : frame * hop + size] += grain * window
    # Four squared Hann windows add up to 1.5; the first frame is centred on the first sample.
    return (out[size // 2 :] / 1.5).astype(np.float32)


def _locked(phase: Spectrum, now: Spectrum, before: Spectrum) -> Spectrum:
    """Turn the phases of the last frame on: peaks by what they turned in the input, the bins around as in the input."""
    level = np.abs(now)
    higher = level[1:] > level[:-1]
    peaks = np.flatnonzero(higher[:-1] & ~higher[1:]) + 1
    if not len(peaks):
        return np.asarray(np.angle(now))
    nearest = peaks[np.searchsorted((peaks[1:] + peaks[:-1]) / 2, np.arange(len(now)))]
    turned = phase[nearest] + np.angle(now[nearest] * np.conj(before[nearest]))
    return np.asarray(turned + np.angle(now) - np.angle(now[nearest]))


class Librosa:
    """librosa's pitch_shift: the plain phase vocoder (Flanagan and Golden 1966; McFee et al. 2015), and resampling.

    Every bin turns on its own: nothing keeps a partial's bins together as `PhaseVocoder` does, so voices sound hollow
    and far away. That is the sound of most data made in Python.

    Args:
        window: length of the window, seconds; the nearest power of two is taken. The default is 2048 samples at 48 kHz.
    """

    def __init__(self, window: float = 0.043) -> None:
        self.window = window

    def __call__(self, waveform: Waveform, sample_rate: int, semitones: float) -> Waveform:
        """Shift, see `Shifter`.

        Raises:
            PairError: librosa is not installed.
        """
        effects = _optional("librosa", "dac").effects
        size = 1 << round(np.log2(self.window * sample_rate))
        padded = fitted(waveform, max(waveform.shape[1], size))
        shifted = effects.pitch_shift(padded, sr=sample_rate, n_steps=semitones, n_fft=size)
        return fitted(shifted, waveform.shape[1])


class Torchaudio:
    """torchaudio's pitch_shift: librosa's procedure with a window of 512 samples, rougher in the bass."""

    def __call__(self, waveform: Waveform, sample_rate: int, semitones: float) -> Waveform:
        """Shift, see `Shifter`."""
        allow_torchaudio_without_extension()
        # Seconds to import, in every process, and no other shifter needs them.
        import torch
        from torchaudio.functional import pitch_shift

        padded = torch.from_numpy(fitted(waveform, max(waveform.shape[1], 1024)))
        # It resamples from a whole number of Hz, slowly where that has few divisors: tens of Hz cost 0.2 cents at most.
        rate = round(sample_rate * 2 ** (semitones / 12), -1) + 0.5
        shifted = pitch_shift(padded, sample_rate, 12 * np.log2(rate / sample_rate))
        return fitted(shifted.numpy(), waveform.shape[1])


class World:
    """WORLD: speech taken apart into pitch, envelope and noise and put together anew; formants stay (Morise 2016).

    Speech and solo singing only. 2 to 4 times real time on a core at 48 kHz.
    """

    LOWEST = 16000
    """WORLD looks for voicing up to 7900 Hz; at rates that do not reach it, it reads and writes past its memory."""

    def __call__(self, waveform: Waveform, sample_rate: int, semitones: float) -> Waveform:
        """Shift, see `Shifter`.

        Raises:
            PairError: pyworld is not installed.
        """
        world = _optional("pyworld", "shifters")
        rate = sample_rate * max(1, -(-self.LOWEST // sample_rate))

        def shift(channel: NDArray[np.float64]) -> NDArray[np.float64]:
            pitch, times = world.harvest(channel, rate)
            envelope = world.cheaptrick(channel, pitch, times, rate)
            noise = world.d4c(channel, pitch, times, rate)
            made = world.synthesize(pitch * 2.0 ** (semitones / 12), envelope, noise, rate)
            return cast(NDArray[np.float64], made)

        if rate == sample_rate:
            return _each_channel(shift, waveform, rate)
        shifted = _each_channel(shift, resample(waveform, sample_rate, rate), rate)
        return fitted(resample(shifted, rate, sample_rate), waveform.shape[1])


class Psola:
    """PSOLA as in Praat: pitch periods cut out and laid at other distances; formants stay (Moulines, Charpentier 1990).

    Speech and solo singing only: where Praat hears no pitch (75 to 600 Hz) nothing is shifted.
    """

    def __call__(self, waveform: Waveform, sample_rate: int, semitones: float) -> Waveform:
        """Shift, see `Shifter`.

        Raises:
            PairError: praat-parselmouth is not installed (psola brings it).
        """
        parselmouth, praat = (_optional(name, "shifters-gpl") for name in ("parselmouth", "parselmouth.praat"))

        def shift(channel: NDArray[np.float64]) -> NDArray[np.float64]:
            sound = parselmouth.Sound(channel, sample_rate)
            manipulation = praat.call(sound, "To Manipulation", 0.01, 75, 600)
            tier = praat.call(manipulation, "Extract pitch tier")
            praat.call(tier, "Multiply frequencies", sound.xmin, sound.xmax, 2.0 ** (semitones / 12))
            praat.call([tier, manipulation], "Replace pitch tier")
            return cast(NDArray[np.float64], praat.call(manipulation, "Get resynthesis (overlap-add)").values[0])

        return _each_channel(shift, waveform, sample_rate)


class RubberBand:
    """Rubber Band, whole-file mode, formants move with the pitch (pedalboard, GPL; Cannam 2007)."""

    def __call__(self, waveform: Waveform, sample_rate: int, semitones: float) -> Waveform:
        """Shift, see `Shifter`.

        Raises:
            PairError: pedalboard is not installed.
        """
        stretch = _optional("pedalboard", "shifters-gpl").time_stretch
        padded = _at_least(waveform, sample_rate)
        # Its "high quality" engine (R3) falls behind by up to 1.4 ms a second at shifts that are no octave.
        options = {"high_quality": False, "preserve_formants": False}
        shifted = stretch(padded, sample_rate, pitch_shift_in_semitones=float(semitones), **options)
        return fitted(shifted, waveform.shape[1])


def _at_least(waveform: Waveform, sample_rate: int, seconds: float = 0.2) -> Waveform:
    """Follow a short waveform by silence: pitch is measured over some periods, and Rubber Band drops single samples."""
    return fitted(waveform, max(waveform.shape[1], round(seconds * sample_rate)))


def _each_channel(
    shift: Callable[[NDArray[np.float64]], NDArray[np.float64]], waveform: Waveform, sample_rate: int
) -> Waveform:
    padded = _at_least(waveform, sample_rate).astype(np.float64)
    return np.concatenate([fitted(shift(channel)[None], waveform.shape[1]) for channel in padded])


def _optional(module: str, extra: str) -> ModuleType:
    """Import a package that only some have."""
    try:
        with warnings.catch_warnings():
            # pyworld reads its version with pkg_resources, which warns.
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ImportError as error:
        raise PairError(f"this shifter needs {module}: pip install 'unshift[{extra}]'") from error
