"""Judge a waveform at a lower sample rate, as MelGAN's and HiFi-GAN's multi-scale discriminators do."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from discriminators.contract import Opinion
from discriminators.convolution import fold, listen, normed


class WaveformScale(nn.Module):
    """One member of a multi-scale waveform discriminator (Kumar et al., MelGAN, 2019), with DAC's sizes.

    Where MelGAN averages neighbours, which aliases, this one resamples with a windowed sinc, as DAC does.
    There are 5.64 M parameters at 16 channels.

    Args:
        factor: the waveform is heard at its sample rate divided by this: 1, 2, 4.
        channels: of the first layer; the others have 4, 16 and then 64 times as many.
        weight_norm: as DAC trains it.
    """

    low_pass: Tensor

    def __init__(self, factor: int = 1, channels: int = 16, weight_norm: bool = True) -> None:
        super().__init__()
        self.factor = factor
        self.register_buffer("low_pass", decimation_filter(factor), persistent=False)
        widths = [1, channels, 4 * channels, 16 * channels, 64 * channels, 64 * channels, 64 * channels]
        kernels = (15, 41, 41, 41, 41, 5)
        strides = (1, 4, 4, 4, 4, 1)
        self.layers = nn.ModuleList()
        for width, wider, kernel, stride in zip(widths, widths[1:], kernels, strides, strict=False):
            groups = max(1, width // 4) if stride > 1 else 1
            layer = nn.Conv1d(width, wider, kernel, stride, padding=kernel // 2, groups=groups)
            self.layers.append(normed(layer, weight_norm))
        self.last = normed(nn.Conv1d(widths[-1], 1, 3, padding=1), weight_norm)

    def forward(self, waveform: Tensor) -> Opinion:
        """Judge [batch, channels, samples], any length from 1; score [batch * channels, 1, about samples / 256]."""
        features = listen(self.layers, self._slowed(fold(waveform)), slope=0.1)
        return Opinion(self.last(features[-1]), features)

    def _slowed(self, waveform: Tensor) -> Tensor:
        if self.factor == 1:
            return waveform
        margin = (self.low_pass.numel() - self.factor) // 2
        padded = F.pad(waveform, (margin, margin + self.factor), mode="replicate")
        slowed = F.conv1d(padded, self.low_pass.view(1, 1, -1), stride=self.factor)
        return slowed[..., : max(1, waveform.shape[-1] // self.factor)]


def decimation_filter(factor: int, crossings: int = 24, roll_off: float = 0.945) -> Tensor:
    """Give a low-pass of about `2 * crossings * factor` taps that sums to one: a sinc under a cosine-squared window.

    It is the filter of the julius package, which DAC's discriminator resamples with. The cut-off is `roll_off` times
    the new Nyquist frequency.
    """
    width = math.ceil(crossings * factor / roll_off)
    time = torch.arange(-width, width + factor, dtype=torch.float64) / factor * roll_off
    time = time.clamp(-crossings, crossings)
    taps = torch.sinc(time) * torch.cos(torch.pi * time / crossings / 2).square()
    return (taps / taps.sum()).float()
