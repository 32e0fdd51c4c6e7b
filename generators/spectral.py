"""A network at the frame rate: it works on a spectrogram in big matrix products, which a CPU does well."""

import torch
from torch import Tensor, nn

from generators.contract import Estimate, ModelError, Pair
from generators.convolution import pad_to_multiple

AROUND = 9  # bins and frames whose mean a level is


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
    output of nearly the same kind. Without the identity path it is local level x (a + ib) alone.

    `generators.polar.PolarRestorer` has the same layers and another head.

    Args:
        sample_rate: in Hz.
        fft: samples of the transform and its Hann window.
        hop: samples between frames, a quarter of fft or less.
        width: channels of the layers.
        layers: how many.
        kernel: frames that a layer's convolution sees, odd.
        expansion: of the dense layers.
        identity: keep the input's spectrum in the output, and start as the identity.
        rise: by how many dB at most the output may be louder than the input around a bin, see `limited`; None for no
            limit.

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
        identity: bool = True,
        rise: float | None = None,
    ) -> None:
        super().__init__()
        if rise is not None and not 0 <= rise < float("inf"):
            raise ModelError(f"rise {rise:g} must be from 0, in dB; null for no limit")
        if fft % hop or fft < 4 * hop or not kernel % 2:
            raise ModelError(f"hop {hop} must divide fft {fft} four times or more, and kernel {kernel} must be odd")
        self.sample_rate = sample_rate
        self.fft = fft
        self.hop = hop
        self.identity, self.rise = identity, rise
        self.reach = fft + (layers * (kernel // 2) + 1 + (0 if rise is None else AROUND // 2)) * hop
        self.bins = fft // 2 + 1
        self.register_buffer("window", torch.hann_window(fft), persistent=False)
        self.enter = nn.Conv1d(3 * self.bins, width, 3, padding=1)
        self.norm = nn.LayerNorm(width)
        self.layers = nn.Sequential(*(ConvNeXt(width, kernel, expansion, 1 / layers) for _ in range(layers)))
        self.leave_norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, self._outputs() * self.bins)
        if identity:
            for parameter in self.leave.parameters():
                nn.init.zeros_(parameter)

    def forward(self, pair: Pair) -> Estimate:
        """Mend the pair's source."""
        return Estimate(self.restore(pair.source), pair.target)

    def restore(self, waveform: Tensor) -> Tensor:
        """Mend [batch, channels, samples] of any length from 1; each channel by itself, to the same shape."""
        batch, channels, samples = waveform.shape
        spectrum, window = self._spectrum(waveform.reshape(batch * channels, samples))
        change = self._network(self._features(spectrum)).to(window.dtype)
        with torch.autocast(waveform.device.type, enabled=False):
            mended = self._mended(spectrum, change)
            if self.rise is not None:
                mended = limited(mended, spectrum, self.rise)
            # Of the padded length, so that the last samples have all their frames.
            length = (spectrum.shape[-1] - 1) * self.hop
            output = torch.istft(mended, self.fft, self.hop, window=window, center=True, length=length)
        return output[..., :samples].reshape(batch, channels, samples)

    def _spectrum(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """Transform [n, samples] to [n, bins, frames], and give the window, whose precision is the transform's."""
        source = pad_to_multiple(waveform, self.hop)
        # Transforms stay in full precision under autocast; float64 stays float64.
        with torch.autocast(waveform.device.type, enabled=False):
            source = source if source.dtype == torch.float64 else source.float()
            window = self.get_buffer("window").to(source.dtype)
            spectrum = torch.stft(
                source, self.fft, self.hop, window=window, center=True, pad_mode="constant", return_complex=True
            )
        return spectrum, window

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

    def _outputs(self) -> int:
        """Say how many numbers the head needs for a bin."""
        return 3 if self.identity else 2

    def _mended(self, spectrum: Tensor, change: Tensor) -> Tensor:
        """Make the output's spectrum of the input's and the head's numbers, [batch, outputs * bins, frames]."""
        *gain, real, imaginary = change.chunk(self._outputs(), dim=1)
        level = local_level(spectrum)
        added = torch.complex(level * real, level * imaginary)
        return spectrum * bounded_gain(gain[0]) + added if self.identity else added


def local_level(spectrum: Tensor) -> Tensor:
    """Give the mean magnitude of each bin and four to either side, of [batch, bins, frames]."""
    return nn.functional.avg_pool1d(spectrum.abs().transpose(1, 2), 9, 1, 4).transpose(1, 2)


def limited(mended: Tensor, spectrum: Tensor, rise: float) -> Tensor:
    """Bring a spectrum down where the mean magnitude around a bin is more than `rise` dB above the input's.

    A shifter takes little from the level of what is loud, and a network that learned from few voices gives strong
    partials of others too much: by 6 dB where the input lacked 0.1.

    Args:
        mended: [batch, bins, frames], complex.
        spectrum: of the input, the same shape.
        rise: in dB.

    Returns:
        The same shape.
    """

    def around(one: Tensor) -> Tensor:
        level = one.abs()
        for sides in ((AROUND, 1), (1, AROUND)):  # one after the other they are the mean of a square, for less
            padding = (sides[0] // 2, sides[1] // 2)
            level = nn.functional.avg_pool2d(level, sides, 1, padding, count_include_pad=False)
        return level + 1e-6

    return mended * (around(spectrum) / around(mended) * 10 ** (rise / 20)).clamp(max=1)


def bounded_gain(nepers: Tensor) -> Tensor:
    """Give the factor of a gain, at most 3 nepers, 26 dB, either way: more is a matter of what is added."""
    return torch.exp(3 * torch.tanh(nepers / 3))
