"""The DAC-style U-Net that mends waveforms, in the layout of the best restorer known for shifted speech."""

from collections.abc import Sequence
from math import prod
from typing import cast

import torch
from torch import Tensor, nn

from generators.contract import Estimate, ModelError, Pair
from generators.convolution import Down, ResidualUnits, Snake, Up, Upsample, pad_to_multiple


class Restorer(nn.Module):
    """A U-Net of DAC's blocks (Kumar et al. 2023) whose skips are concatenated.

        wave - 7 - units - down - units - down - ... - units - up - skip - units - ... - 7 - tanh - wave
                     |_______________________________________________|

    Args:
        sample_rate: in Hz.
        channels: at each depth, the shallowest first.
        strides: between one depth and the next.
        dilations: of the residual units at each depth.
        stem: channels of one more stage around all, a convolution of 7 and a stride of 2: half the cost at nearly
            the same parameters; null for none.
        upsample: "nearest" or "transposed", see generators.convolution.Up.
        identity: add the input to the output instead of bounding it with tanh, and start as the identity. Networks that
            train for 100k steps are said to do worse with it; one that trains for minutes needs it.

    Raises:
        ModelError: lists that do not fit each other.
    """

    def __init__(
        self,
        sample_rate: int = 48000,
        channels: Sequence[int] = (32, 64, 128, 256, 512),
        strides: Sequence[int] = (2, 4, 8, 8),
        dilations: Sequence[int] = (1, 3, 9),
        stem: int | None = None,
        upsample: Upsample = "nearest",
        identity: bool = False,
    ) -> None:
        super().__init__()
        if len(channels) != len(strides) + 1 or min(*channels, *strides, *dilations) < 1:
            raise ModelError(f"a restorer has one more of channels {list(channels)} than of strides {list(strides)}")
        self.sample_rate = sample_rate
        self.identity = identity
        self.hop = prod(strides) * (2 if stem else 1)
        first, outer = channels[0], stem or channels[0]
        self.enter = nn.Sequential(nn.Conv1d(1, outer, 7, padding=3), *([Down(stem, first, 2)] if stem else []))
        steps = list(zip(channels, channels[1:], strides, strict=False))
        self.encoder = nn.ModuleList(ResidualUnits(c, dilations) for c in channels[:-1])
        self.downs = nn.ModuleList(Down(c, wider, stride) for c, wider, stride in steps)
        self.bottom = ResidualUnits(channels[-1], dilations)
        self.ups = nn.ModuleList(Up(wider, c, stride, upsample) for c, wider, stride in reversed(steps))
        self.decoder = nn.ModuleList(ResidualUnits(c, dilations) for c, _, _ in reversed(steps))
        self.bends = nn.ModuleList(Snake(c) for c, _, _ in reversed(steps))
        self.joins = nn.ModuleList(nn.Conv1d(2 * c, c, 1) for c, _, _ in reversed(steps))
        self.leave = nn.Sequential(
            *([Up(first, stem, 2, upsample)] if stem else []), Snake(outer), nn.Conv1d(outer, 1, 7, padding=3)
        )
        self.reach = self._measure_reach(strides)
        if identity:
            last = self.leave[-1]
            for parameter in last.parameters():
                nn.init.zeros_(parameter)

    def forward(self, pair: Pair) -> Estimate:
        """Mend the pair's source."""
        return Estimate(self.restore(pair.source), pair.target)

    def restore(self, waveform: Tensor) -> Tensor:
        """Mend [batch, channels, samples] of any length from 1; each channel by itself, to the same shape."""
        batch, channels, samples = waveform.shape
        source = waveform.reshape(batch * channels, 1, samples)
        output = self._network(pad_to_multiple(source, self.hop))[..., :samples]
        output = source + output if self.identity else torch.tanh(output)
        return output.reshape(batch, channels, samples)

    def _network(self, hidden: Tensor) -> Tensor:
        hidden = self.enter(hidden)
        skips = []
        for units, down in zip(self.encoder, self.downs, strict=True):
            skips.append(units(hidden))
            hidden = down(skips[-1])
        hidden = self.bottom(hidden)
        for up, units, bend, join in zip(self.ups, self.decoder, self.bends, self.joins, strict=True):
            hidden = join(torch.cat([bend(units(up(hidden))), skips.pop()], dim=1))
        result: Tensor = self.leave(hidden)
        return result

    def _measure_reach(self, strides: Sequence[int]) -> int:
        """Sum up the longest way through, every layer at its own rate."""
        ends = [layer for layer in [*self.enter, *self.leave] if isinstance(layer, Down | Up)]
        rates = [2 if ends else 1]
        for stride in strides:
            rates.append(rates[-1] * stride)
        layers = [*zip(rates, self.encoder, strict=False), *zip(rates, self.downs, strict=False)]
        layers += [*zip(rates, self.ups[::-1], strict=False), *zip(rates, self.decoder[::-1], strict=False)]
        layers += [(1, layer) for layer in ends] + [(rates[-1], self.bottom)]
        return 3 + 3 + sum(rate * cast(int, layer.reach) for rate, layer in layers)
