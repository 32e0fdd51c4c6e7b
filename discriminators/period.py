"""Judge a waveform folded at a period, as HiFi-GAN's multi-period discriminator does."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from discriminators.contract import Opinion
from discriminators.convolution import fold, lengthen, listen, normed
from discriminators.winograd import convolve

EXACT = (torch.float32, torch.float64)
# From so many channels on the matrix products outweigh what leads to them and away.
ENOUGH = 256


class Period(nn.Module):
    """One member of a multi-period discriminator (Kong et al., HiFi-GAN, 2020), with DAC's sizes.

    The waveform is written in rows of `period` samples and convolved down the columns, so that each column is a
    subsampled waveform. Prime periods overlap least: 2, 3, 5, 7, 11. There are 8.22 M parameters at 32 channels.

    Args:
        period: samples in a row.
        channels: of the first layer; the others have 4, 16, 32 and 32 times as many.
        weight_norm: as DAC trains it.
    """

    def __init__(self, period: int = 2, channels: int = 32, weight_norm: bool = True) -> None:
        super().__init__()
        self.period = period
        widths = [1, channels, 4 * channels, 16 * channels, 32 * channels, 32 * channels]
        self.layers = nn.ModuleList(
            normed(nn.Conv2d(width, wider, (5, 1), (stride, 1), padding=(2, 0)), weight_norm)
            for width, wider, stride in zip(widths, widths[1:], (3, 3, 3, 3, 1), strict=False)
        )
        self.last = normed(nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)), weight_norm)

    def _fifth(self, hidden: Tensor) -> Tensor:
        """Do the last hidden layer, which is more than half of the work: on a CPU by Winograd, column by column."""
        layer = cast(nn.Conv2d, self.layers[-1])
        if hidden.device.type != "cpu" or hidden.dtype not in EXACT or layer.in_channels < ENOUGH:
            return cast(Tensor, layer(hidden))
        columns = hidden.permute(0, 3, 1, 2).flatten(0, 1)
        made = convolve(columns, layer.weight.squeeze(-1), layer.bias)
        return made.view(-1, self.period, *made.shape[1:]).permute(0, 2, 3, 1)

    def forward(self, waveform: Tensor) -> Opinion:
        """Judge [batch, channels, samples], any length from 1; score [batch * channels, 1, rows, period].

        The end is reflected up to a full row; a whole row more where none is missing, as DAC does.
        """
        missing = self.period - waveform.shape[-1] % self.period
        waveform = F.pad(lengthen(fold(waveform), missing + 1), (0, missing), mode="reflect")
        samples = waveform.shape[-1] // self.period * self.period
        rows = waveform[..., :samples].reshape(waveform.shape[0], 1, -1, self.period)
        features = listen([*self.layers[:-1], self._fifth], rows, slope=0.1)
        return Opinion(self.last(features[-1]), features)
