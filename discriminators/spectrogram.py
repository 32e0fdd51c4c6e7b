"""Judge a waveform's complex spectrogram: in bands as DAC does, or whole as EnCodec does."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from discriminators.contract import Opinion
from discriminators.convolution import fold, lengthen, listen, normed

DAC_BANDS = ((0.0, 0.1), (0.1, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0))


class MultiBandSpectrogram(nn.Module):
    """One resolution of DAC's complex multi-band spectrogram discriminator (Kumar et al., 2023).

    Each band of the spectrum has convolutions of its own; the last one sees all bands side by side. DAC takes windows
    of 2048, 1024 and 512 samples. There are 0.47 M parameters at 32 channels.

    Args:
        window: of the STFT, in samples, a multiple of 4; the hop is a quarter of it.
        channels: of every hidden layer.
        bands: from and to, as shares of the spectrum.
        weight_norm: as DAC trains it.
    """

    window_function: Tensor

    def __init__(
        self,
        window: int = 2048,
        channels: int = 32,
        bands: Sequence[tuple[float, float]] = DAC_BANDS,
        weight_norm: bool = True,
    ) -> None:
        super().__init__()
        if window % 4:
            raise ValueError(f"the window has to be a multiple of 4 samples, not {window}")
        self.register_buffer("window_function", torch.hann_window(window), persistent=False)
        bins = window // 2 + 1
        self.bands = [(int(low * bins), int(high * bins)) for low, high in bands]
        self.stacks = nn.ModuleList(_band_layers(channels, weight_norm) for _ in bands)
        self.last = normed(nn.Conv2d(channels, 1, (3, 3), padding=(1, 1)), weight_norm)

    def forward(self, waveform: Tensor) -> Opinion:
        """Judge [batch, channels, samples], any length from 1; score [batch * channels, 1, frames, bins].

        Features come band by band, lowest first. What is shorter than the window is filled up with zeros.
        """
        spectrum = self._spectrum(fold(waveform))
        judged = [
            listen(layers, spectrum[..., low:high], slope=0.1)
            for (low, high), layers in zip(self.bands, map(_layers_of, self.stacks), strict=True)
        ]
        score = self.last(torch.cat([maps[-1] for maps in judged], dim=-1))
        return Opinion(score, [hidden for maps in judged for hidden in maps])

    def _spectrum(self, waveform: Tensor) -> Tensor:
        """[n, 1, samples] to [n, 2, frames, bins], one frame per hop, with the alignment of a strided convolution."""
        window = self.window_function.numel()
        hop = window // 4
        waveform = lengthen(waveform, window)
        margin = (window - hop) // 2
        waveform = F.pad(waveform, (margin, margin + -waveform.shape[-1] % hop), mode="reflect")
        # The centring below adds half a window more to either end; the frames that lie in it are dropped again.
        return complex_spectrum(waveform, hop, self.window_function, center=True)[:, :, 2:-2]


class STFTDiscriminator(nn.Module):
    """One scale of EnCodec's multi-scale STFT discriminator (Défossez et al., 2022).

    EnCodec takes windows of 2048, 1024, 512, 256 and 128 samples at 24 kHz. There are 0.09 M parameters at 32 channels.
    Its published code leaves the first layer without weight norm; so does this one.

    Args:
        window: of the STFT, in samples, a multiple of 4; the hop is a quarter of it.
        channels: of every hidden layer.
        dilations: over time, one layer each.
        weight_norm: as EnCodec trains it.
    """

    window_function: Tensor

    def __init__(
        self,
        window: int = 1024,
        channels: int = 32,
        dilations: Sequence[int] = (1, 2, 4),
        weight_norm: bool = True,
    ) -> None:
        super().__init__()
        if window % 4:
            raise ValueError(f"the window has to be a multiple of 4 samples, not {window}")
        self.register_buffer("window_function", torch.hann_window(window), persistent=False)
        self.layers = nn.ModuleList([nn.Conv2d(2, channels, (3, 9), padding=(1, 4))])
        for dilation in dilations:
            layer = nn.Conv2d(channels, channels, (3, 9), (1, 2), padding=(dilation, 4), dilation=(dilation, 1))
            self.layers.append(normed(layer, weight_norm))
        self.layers.append(normed(nn.Conv2d(channels, channels, (3, 3), padding=(1, 1)), weight_norm))
        self.last = normed(nn.Conv2d(channels, 1, (3, 3), padding=(1, 1)), weight_norm)

    def forward(self, waveform: Tensor) -> Opinion:
        """Judge [batch, channels, samples], any length from 1; score [batch * channels, 1, frames, bins / 8].

        What is shorter than the window is filled up with zeros. The spectrum is divided by the window's norm.
        """
        window = self.window_function
        spectrum = complex_spectrum(lengthen(fold(waveform), window.numel()), window.numel() // 4, window, center=False)
        features = listen(self.layers, spectrum / window.square().sum().sqrt().to(spectrum), slope=0.2)
        return Opinion(self.last(features[-1]), features)


def complex_spectrum(waveform: Tensor, hop: int, window: Tensor, center: bool) -> Tensor:
    """Give real and imaginary parts as two channels, [n, 1, samples] to [n, 2, frames, bins].

    It works in single precision at least, whatever the waveform's: in half precision the quiet parts would be lost.
    """
    signal = waveform[:, 0] if waveform.dtype == torch.float64 else waveform[:, 0].float()
    spectrum = torch.stft(
        signal, window.numel(), hop, window=window.to(signal), center=center, pad_mode="reflect", return_complex=True
    )
    return torch.view_as_real(spectrum).permute(0, 3, 2, 1)


def _band_layers(channels: int, weight_norm: bool) -> nn.ModuleList:
    layers = [nn.Conv2d(2, channels, (3, 9), padding=(1, 4))]
    layers += [nn.Conv2d(channels, channels, (3, 9), (1, 2), padding=(1, 4)) for _ in range(3)]
    layers += [nn.Conv2d(channels, channels, (3, 3), padding=(1, 1))]
    return nn.ModuleList(normed(layer, weight_norm) for layer in layers)


def _layers_of(stack: nn.Module) -> nn.ModuleList:
    assert isinstance(stack, nn.ModuleList)
    return stack
