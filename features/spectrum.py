"""Magnitude and mel spectra of waveforms, as librosa, auraloss and DAC compute them.

The mel filters are written out here, so that a loss needs no torchaudio, which takes a second to import.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def full_precision(tensor: Tensor) -> Tensor:
    """Give single precision for half-precision tensors, and others as they are."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def stft_magnitude(waveform: Tensor, fft: int, hop: int, window: int | Tensor, floor: float = 0.0) -> Tensor:
    """Give the magnitude of the short-time Fourier transform.

    It works in single precision at least, whatever the waveform's. Frames are centred, and the ends reflected; what is
    too short to reflect is filled up with zeros first.

    Args:
        waveform: [batch, channels, samples], any length from 1.
        fft: size of the transform, in samples.
        hop: between frames, in samples.
        window: a window function, or the samples of a Hann window; shorter than `fft`, it sits in its middle.
        floor: the least magnitude; below it no gradient flows.

    Returns:
        [batch * channels, fft // 2 + 1, 1 + samples // hop].
    """
    signal = full_precision(waveform).flatten(0, 1)
    signal = F.pad(signal, (0, max(0, fft // 2 + 1 - signal.shape[-1])))
    shape = torch.hann_window(window) if isinstance(window, int) else window
    spectrum = torch.stft(signal, fft, hop, shape.numel(), shape.to(signal), return_complex=True)
    if floor == 0.0:
        return spectrum.abs()
    return (spectrum.real.square() + spectrum.imag.square()).clamp(min=floor**2).sqrt()


NEIGHBOURS = 9
"""Bins and frames that `contrast` holds a bin against."""
CONTRAST_FLOOR = 0.05


def contrast(magnitude: Tensor) -> Tensor:
    """Hold every bin of a compressed spectrogram against its neighbourhood: what is left is the fine structure.

    Levels and timbres are most of a spectrogram's power, and a pitch shifter hardly changes them; what it leaves are
    smeared onsets and partials that flutter, within a few bins and frames.

    Args:
        magnitude: [batch, bins, frames], of |X|^0.3 or thereabouts; 0.05 is faint.

    Returns:
        Same shape: (magnitude - mean) / (mean + 0.05), the mean being that of 9 bins and 9 frames around.
    """
    mean = F.avg_pool2d(magnitude[:, None], NEIGHBOURS, 1, NEIGHBOURS // 2, count_include_pad=False)[:, 0]
    return (magnitude - mean) / (mean + CONTRAST_FLOOR)


class STFTMagnitude(nn.Module):
    """The magnitude of the short-time Fourier transform, with its Hann window kept; see `stft_magnitude`.

    Args:
        fft: size of the transform, in samples.
        hop: between frames, in samples.
        window: in samples, `fft` at most.
        floor: the least magnitude.
    """

    window_function: Tensor

    def __init__(self, fft: int, hop: int, window: int, floor: float = 0.0) -> None:
        super().__init__()
        self.fft = fft
        self.hop = hop
        self.floor = floor
        self.register_buffer("window_function", torch.hann_window(window), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """[batch, channels, samples] to [batch * channels, fft // 2 + 1, frames]."""
        return stft_magnitude(waveform, self.fft, self.hop, self.window_function, self.floor)


class MelSpectrogram(nn.Module):
    """Magnitudes summed in mel bands, Slaney's scale and area normalisation, as librosa's defaults.

    Args:
        sample_rate: in Hz.
        window: of the STFT and size of its transform, in samples.
        hop: between frames, in samples.
        bands: how many; where there are too many for the window, some hear no bin at all and stay zero.
        fmin: where the lowest band begins, in Hz.
        fmax: where the highest band ends, in Hz; half the sample rate if not given.
    """

    filters: Tensor

    def __init__(
        self, sample_rate: int, window: int, hop: int, bands: int, *, fmin: float = 0.0, fmax: float | None = None
    ) -> None:
        super().__init__()
        self.magnitude = STFTMagnitude(window, hop, window)
        self.register_buffer("filters", mel_filters(sample_rate, window, bands, fmin, fmax), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """[batch, channels, samples] to [batch * channels, bands, frames]."""
        magnitude: Tensor = self.magnitude(waveform)
        with torch.autocast(magnitude.device.type, enabled=False):  # which would multiply in half precision
            return self.filters.to(magnitude) @ magnitude


def mel_filters(sample_rate: int, fft: int, bands: int, fmin: float = 0.0, fmax: float | None = None) -> Tensor:
    """Give triangular filters of equal area on Slaney's mel scale (Auditory Toolbox, 1998), [bands, fft // 2 + 1]."""
    top = sample_rate / 2 if fmax is None else fmax
    edges = _mel_to_hertz(torch.linspace(_hertz_to_mel(fmin), _hertz_to_mel(top), bands + 2, dtype=torch.float64))
    bins = torch.linspace(0, sample_rate / 2, fft // 2 + 1, dtype=torch.float64)
    low, middle, high = (edge[:, None] for edge in (edges[:-2], edges[1:-1], edges[2:]))
    triangles = torch.minimum((bins - low) / (middle - low), (high - bins) / (high - middle)).clamp(min=0)
    return (triangles * 2 / (high - low)).float()


# Slaney's scale is linear up to 1 kHz, which is 15 mel, and logarithmic above: 27 mel make a factor of 6.4.
_LINEAR = 200 / 3
_KNEE = 1000.0
_STEP = math.log(6.4) / 27


def _hertz_to_mel(frequency: float) -> float:
    if frequency < _KNEE:
        return frequency / _LINEAR
    return _KNEE / _LINEAR + math.log(frequency / _KNEE) / _STEP


def _mel_to_hertz(mel: Tensor) -> Tensor:
    above = _KNEE * torch.exp(_STEP * (mel - _KNEE / _LINEAR))
    return torch.where(mel < _KNEE / _LINEAR, mel * _LINEAR, above)
