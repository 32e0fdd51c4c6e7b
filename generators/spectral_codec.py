"""A codec's halves at the frame rate, for a CPU: spectra in, spectra out, and dense layers between.

There are n frames to n * frame samples: the waveform is padded by (fft - frame) / 2 on both sides, not by fft / 2.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from generators.contract import ModelError
from generators.spectral import ConvNeXt


class _Layers(nn.Module):
    """A convolution of 3 into the width, ConvNeXt layers, a dense layer out: [batch, inner, frames] to outer."""

    def __init__(self, inner: int, width: int, outer: int, layers: int, kernel: int) -> None:
        super().__init__()
        self.enter = nn.Conv1d(inner, width, 3, padding=1)
        self.norm = nn.LayerNorm(width)
        self.layers = nn.Sequential(*(ConvNeXt(width, kernel, 4, 1 / layers) for _ in range(layers)))
        self.leave_norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, outer)
        self.reach = 1 + layers * (kernel // 2)

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = self.norm(self.enter(hidden).transpose(1, 2)).transpose(1, 2)
        hidden = self.layers(hidden).transpose(1, 2)
        result: Tensor = self.leave(self.leave_norm(hidden)).transpose(1, 2)
        return result


class _Half(nn.Module):
    """What both halves have: sizes that fit each other, a window, layers.

    Raises:
        ModelError: sizes that do not fit each other.
    """

    window: Tensor

    def __init__(self, channels: int, dimension: int, frame: int, fft: int, kernel: int) -> None:
        super().__init__()
        if fft < 2 * frame or (fft - frame) % 2 or not kernel % 2 or frame < 1:
            raise ModelError(f"fft {fft} must be even with frame {frame}, twice as long at least; kernel {kernel} odd")
        self.channels, self.dimension, self.frame, self.fft = channels, dimension, frame, fft
        self.bins = fft // 2 + 1
        self.padding = (fft - frame) // 2
        self.register_buffer("window", torch.hann_window(fft), persistent=False)


class SpectralEncoder(_Half):
    """[batch, channels, n * frame] to [batch, dimension, n]: compressed spectra, |X|^0.3 and its parts, and layers.

    Args:
        audio: channels of the waveform, coded together: 1 or 2. The attribute `channels` tells it.
        dimension: of the latent.
        frame: samples a frame stands for.
        fft: of the transform and its Hann window, in samples; even with frame and twice as long at least.
        width: of the layers.
        layers: how many.
        kernel: frames that a layer's convolution sees, odd.

    Raises:
        ModelError: sizes that do not fit each other.
    """

    def __init__(
        self,
        audio: int = 1,
        dimension: int = 256,
        frame: int = 320,
        fft: int = 1280,
        width: int = 256,
        layers: int = 6,
        kernel: int = 7,
    ) -> None:
        super().__init__(audio, dimension, frame, fft, kernel)
        self.layers = _Layers(3 * audio * self.bins, width, dimension, layers, kernel)
        self.reach = self.padding + self.layers.reach * frame

    def forward(self, waveform: Tensor) -> Tensor:
        """Analyse."""
        with torch.autocast(waveform.device.type, enabled=False):
            wide = waveform if waveform.dtype == torch.float64 else waveform.float()
            pieces = functional.pad(wide, (self.padding, self.padding)).unfold(-1, self.fft, self.frame)
            spectrum = torch.fft.rfft(pieces * self.window.to(wide.dtype)) * self.fft**-0.5
            power = spectrum.real.square() + spectrum.imag.square() + 1e-12
            magnitude = power.pow(0.15)
            shrink = magnitude / power.sqrt()
            heard = torch.stack([magnitude, spectrum.real * shrink, spectrum.imag * shrink], dim=2)
        # [batch, channels, 3, frames, bins] to [batch, channels * 3 * bins, frames]
        result: Tensor = self.layers(heard.transpose(-1, -2).flatten(1, 3))
        return result


class SpectralDecoder(_Half):
    """[batch, dimension, n] to [batch, channels, n * frame]: layers, a magnitude and a phase for every bin, and back.

    The polar head is that of Vocos (Siuzdak 2023): exp(magnitude), and cosine and sine of the phase.

    Args:
        audio: channels of the waveform, coded together: 1 or 2. The attribute `channels` tells it.
        dimension: of the latent.
        frame: samples a frame stands for.
        fft: of the transform and its Hann window, in samples; even with frame and twice as long at least.
        width: of the layers.
        layers: how many.
        kernel: frames that a layer's convolution sees, odd.

    Raises:
        ModelError: sizes that do not fit each other.
    """

    def __init__(
        self,
        audio: int = 1,
        dimension: int = 256,
        frame: int = 320,
        fft: int = 1280,
        width: int = 256,
        layers: int = 6,
        kernel: int = 7,
    ) -> None:
        super().__init__(audio, dimension, frame, fft, kernel)
        self.layers = _Layers(dimension, width, 2 * audio * self.bins, layers, kernel)
        self.reach = self.padding + self.layers.reach * frame
        # Starts quiet, as speech is: a loud start is all that the first steps would mend.
        nn.init.constant_(self.layers.leave.bias[: audio * self.bins], -4.0)

    def forward(self, latent: Tensor) -> Tensor:
        """Synthesise."""
        change = self.layers(latent)
        with torch.autocast(latent.device.type, enabled=False):
            change = change if change.dtype == torch.float64 else change.float()
            level, phase = change.chunk(2, dim=1)
            # A bound of exp(5), far over full scale: a wild code must not become an infinite sample.
            spectrum = torch.polar(torch.exp(level.clamp(max=5.0)), phase)
            pieces = torch.fft.irfft(
                spectrum.reshape(len(latent), self.channels, self.bins, -1).transpose(-1, -2), n=self.fft
            )
            return self._overlapped(pieces * self.fft**0.5)

    def _overlapped(self, pieces: Tensor) -> Tensor:
        """[batch, channels, frames, fft] to the waveform: windowed, added up, divided by the windows' own sum."""
        batch, channels, frames, _ = pieces.shape
        window = self.window.to(pieces.dtype)
        total = (frames - 1) * self.frame + self.fft

        def add_up(columns: Tensor) -> Tensor:
            return functional.fold(columns, (1, total), (1, self.fft), stride=(1, self.frame)).flatten(1)

        waveform = add_up((pieces * window).flatten(0, 1).transpose(1, 2))
        weight = add_up(window.square().expand(1, frames, self.fft).transpose(1, 2))
        inside = slice(self.padding, total - self.padding)
        return (waveform[:, inside] / weight[:, inside]).reshape(batch, channels, -1)
