"""A network at the frame rate: it works on a spectrogram in big matrix products, which a CPU does well."""

import torch
from torch import Tensor, nn

from generators.contract import Estimate, ModelError, Pair
from generators.convolution import pad_to_multiple


class ConvNeXt(nn.Module):
    """Depthwise convolution, norm, two dense layers, scaled, plus the input (Liu et al. 2022; 1-D as in Vocos)."""

    def __init__(self, width: int, kernel: int, expansion: int, scale: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.dense = nn.Sequential(nn.Linear(width, expansion * width), nn.GELU(), nn.Linear(expansion * width, width))
        self.scale = nn.Parameter(torch.full((width,), scale))

    def forward(self, hidden: Tensor) -> Tensor:
        """[batch, width, frames] to the same shape."""
        inner = self.norm(self.depthwise(hidden).transpose(1, 2))
        result: Tensor = hidden + (self.scale * self.dense(inner)).transpose(1, 2)
        return result


class SpectralRestorer(nn.Module):
    """Spectrogram in; a gain for every bin and a complex spectrum to add out. It starts as the identity.

    The layers hear the spectrum compressed, |X|^0.3 and its real and imaginary part. The output is
    X exp(gain) + local level x (a + ib), so that what is added scales with what is there: a louder input gives a louder
    output of nearly the same kind.

    Args:
        sample_rate: in Hz.
        fft: samples of the transform and its Hann window.
        hop: samples between frames, a quarter of fft or less.
        width: channels of the layers.
        layers: how many.
        kernel: frames that a layer's convolution sees, odd.
        expansion: of the dense layers.

    Raises:
        ModelError: sizes that do not fit each other.
    """

    def __init__(
        self,
        sample_rate: int = 48000,
        fft: int = 1024,
        hop: int = 256,
        width: int = 256,
        layers: int = 6,
        kernel: int = 7,
        expansion: int = 4,
    ) -> None:
        super().__init__()
        if fft % hop or fft < 4 * hop or not kernel % 2:
            raise ModelError(f"hop {hop} must divide fft {fft} four times or more, and kernel {kernel} must be odd")
        self.sample_rate = sample_rate
        self.fft = fft
        self.hop = hop
        self.reach = fft + (layers * (kernel // 2) + 1) * hop
        self.bins = fft // 2 + 1
        self.register_buffer("window", torch.hann_window(fft), persistent=False)
        self.enter = nn.Conv1d(3 * self.bins, width, 3, padding=1)
        self.norm = nn.LayerNorm(width)
        self.layers = nn.Sequential(*(ConvNeXt(width, kernel, expansion, 1 / layers) for _ in range(layers)))
        self.leave_norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, 3 * self.bins)
        for parameter in self.leave.parameters():
            nn.init.zeros_(parameter)

    def forward(self, pair: Pair) -> Estimate:
        """Mend the pair's source."""
        return Estimate(self.restore(pair.source), pair.target)

    def restore(self, waveform: Tensor) -> Tensor:
        """Mend [batch, channels, samples] of any length from 1; each channel by itself, to the same shape."""
        batch, channels, samples = waveform.shape
        source = pad_to_multiple(waveform.reshape(batch * channels, samples), self.hop)
        # Transforms stay in full precision under autocast; float64 stays float64.
        with torch.autocast(waveform.device.type, enabled=False):
            source = source if source.dtype == torch.float64 else source.float()
            window = self.get_buffer("window").to(source.dtype)
            spectrum = torch.stft(
                source, self.fft, self.hop, window=window, center=True, pad_mode="constant", return_complex=True
            )
        change = self._network(self._features(spectrum)).to(source.dtype)
        with torch.autocast(waveform.device.type, enabled=False):
            mended = self._mended(spectrum, change)
            output = torch.istft(mended, self.fft, self.hop, window=window, center=True, length=source.shape[-1])
        return output[..., :samples].reshape(batch, channels, samples)

    def _features(self, spectrum: Tensor) -> Tensor:
        power = spectrum.real.square() + spectrum.imag.square() + 1e-12
        magnitude = power.pow(0.15)
        shrink = magnitude / power.sqrt()
        return torch.cat([magnitude, spectrum.real * shrink, spectrum.imag * shrink], dim=1)

    def _network(self, features: Tensor) -> Tensor:
        hidden = self.norm(self.enter(features).transpose(1, 2)).transpose(1, 2)
        hidden = self.layers(hidden).transpose(1, 2)
        result: Tensor = self.leave(self.leave_norm(hidden)).transpose(1, 2)
        return result

    def _mended(self, spectrum: Tensor, change: Tensor) -> Tensor:
        gain, real, imaginary = change.chunk(3, dim=1)
        level = nn.functional.avg_pool1d(spectrum.abs().transpose(1, 2), 9, 1, 4).transpose(1, 2)
        # A bound of 3 nepers, 26 dB either way: more is a matter of what is added.
        louder = torch.exp(3 * torch.tanh(gain / 3))
        return spectrum * louder + torch.complex(level * real, level * imaginary)
