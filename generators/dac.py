"""The encoder and the decoder of the Descript Audio Codec (Kumar et al. 2023), in one layout for every sample rate.

    encoder    wave - 7 - [units - down] - ... - [units - down] - snake - 3 - latent
    decoder    latent - 7 - [up - units] - ... - [up - units] - snake - 7 - tanh - wave

    rate, kHz    encoder's strides    frame, samples    frames a second    codebooks of 1024
    16           2, 4, 5, 8           320               50                 12
    24           2, 4, 5, 8           320               75                 32
    44.1         2, 4, 8, 8           512               86.1               9
    48           2, 4, 8, 10          640               75                 our own choice

The first three are the published ones. Layers have no weight norm: published weights are folded when they are read, see
generators.published.
"""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from generators.contract import ModelError
from generators.convolution import Down, ResidualUnits, Snake, Up


class Encoder(nn.Module):
    """[batch, channels, n * frame] to [batch, dimension, n]; each stride doubles the width. A generators.codec.Half.

    Args:
        width: channels of the network at the waveform's rate.
        strides: from one depth to the next, the waveform's end first; 2 or more.
        dimension: channels of the latent.
        dilations: of the residual units at each depth.
        audio: channels of the waveform, coded together: 1 or 2. The attribute `channels` tells it.

    Raises:
        ModelError: sizes that no network has.
    """

    def __init__(
        self,
        width: int = 64,
        strides: Sequence[int] = (2, 4, 8, 8),
        dimension: int = 1024,
        dilations: Sequence[int] = (1, 3, 9),
        audio: int = 1,
    ) -> None:
        super().__init__()
        _check(width, strides, dimension, dilations, audio)
        self.channels, self.dimension, self.frame = audio, dimension, prod(strides)
        widths = [width * 2**depth for depth in range(len(strides) + 1)]
        steps = zip(widths, widths[1:], strides, strict=False)
        self.enter = nn.Conv1d(audio, width, 7, padding=3)
        self.stages = nn.Sequential(
            *(nn.Sequential(ResidualUnits(c, dilations), Down(c, wider, stride)) for c, wider, stride in steps)
        )
        self.leave = nn.Sequential(Snake(widths[-1]), nn.Conv1d(widths[-1], dimension, 3, padding=1))
        first, last = _inputs_of(self, 0)
        self.reach = max(-first, last - (self.frame - 1))

    def forward(self, hidden: Tensor) -> Tensor:
        """Go from the waveform to the latent."""
        result: Tensor = self.leave(self.stages(self.enter(hidden)))
        return result


class Longer(nn.Module):
    """[batch, channels, n] to [batch, narrower, n * stride - lost], with residual units behind.

    Args:
        channels: in.
        narrower: channels out.
        stride: how many samples one becomes.
        lost: samples that are left out at the end.
        dilations: of the residual units.
    """

    def __init__(self, channels: int, narrower: int, stride: int, lost: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.up = Up(channels, narrower, stride, "transposed")
        self.units = ResidualUnits(narrower, dilations)
        self.lost = lost

    def forward(self, hidden: Tensor) -> Tensor:
        """Lengthen."""
        longer = self.up(hidden)
        result: Tensor = self.units(longer[..., : longer.shape[-1] - self.lost])
        return result


class Decoder(nn.Module):
    """[batch, dimension, n] to [batch, channels, n * frame] in -1..1; each stride halves the width.

    A generators.codec.Half.

    Args:
        width: channels of the network at the frame rate.
        strides: the encoder's, in the encoder's order: the last one comes first here.
        dimension: channels of the latent.
        dilations: of the residual units at each depth.
        audio: channels of the waveform, coded together: 1 or 2. The attribute `channels` tells it.
        published_end: end as the network that the published weights are of. There, every odd stride loses one sample
            at the end, so that strides of 2, 4, 5, 8 give n * 320 - 8 samples. If true, all of these are the same
            number for number, and the last one is held for as long as samples are lacking. If false, no sample is
            lost on the way: only so the end sounds like the rest, and critics do not learn to hear it. It makes no
            difference to even strides, nor, by more than `reach`, to what is before the end.

    Raises:
        ModelError: sizes that no network has.
    """

    def __init__(
        self,
        width: int = 1536,
        strides: Sequence[int] = (2, 4, 8, 8),
        dimension: int = 1024,
        dilations: Sequence[int] = (1, 3, 9),
        audio: int = 1,
        published_end: bool = False,
    ) -> None:
        super().__init__()
        _check(width // 2 ** len(strides), strides, dimension, dilations, audio)
        self.channels, self.dimension, self.frame = audio, dimension, prod(strides)
        widths = [width // 2**depth for depth in range(len(strides) + 1)]
        strides = strides[::-1]
        lost = [stride % 2 if published_end else 0 for stride in strides]
        steps = zip(widths, widths[1:], strides, lost, strict=False)
        self.enter = nn.Conv1d(dimension, width, 7, padding=3)
        self.stages = nn.Sequential(*(Longer(*step, dilations) for step in steps))
        self.leave = nn.Sequential(Snake(widths[-1]), nn.Conv1d(widths[-1], audio, 7, padding=3))
        self.lacking = 0
        for stride, each in zip(strides, lost, strict=True):
            self.lacking = self.lacking * stride + each
        # The sample that is held lies so far back from the last one that it stands for.
        self.reach = max(self._reach_at(place) for place in range(self.frame)) + self.lacking

    def forward(self, hidden: Tensor) -> Tensor:
        """Go from the latent to the waveform."""
        waveform = torch.tanh(self.leave(self.stages(self.enter(hidden))))
        return F.pad(waveform, (0, self.lacking), mode="replicate") if self.lacking else waveform

    def _reach_at(self, place: int) -> int:
        """Say how far frame 0's sample is from the nearest samples of the farthest frames that it depends on."""
        first, last = _inputs_of(self, place)
        return max(place - (first * self.frame + self.frame - 1), last * self.frame - place)


def _check(narrowest: int, strides: Sequence[int], dimension: int, dilations: Sequence[int], audio: int) -> None:
    if not strides or min(strides) < 2:
        raise ModelError(f"a DAC layout has strides of 2 or more, not {list(strides)}")
    if min(narrowest, dimension, *dilations) < 1:
        raise ModelError(
            f"a DAC layout has 1 or more channels where it is narrowest, not {narrowest}, a dimension of 1 or more, "
            f"not {dimension}, and dilations of 1 or more, not {list(dilations)}"
        )
    if audio not in (1, 2):
        raise ModelError(f"audio is coded in 1 or 2 channels, not {audio}")


def _inputs_of(network: nn.Module, place: int) -> tuple[int, int]:
    """Say which are the first and the last input that an output depends on, far from both ends.

    Convolutions are walked back from the last one; what they are added to lies in what they depend on.
    """
    first = last = place
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d)]
    for layer in reversed(layers):
        stride, padding = layer.stride[0], int(layer.padding[0])
        spread = (layer.kernel_size[0] - 1) * layer.dilation[0]
        if isinstance(layer, nn.ConvTranspose1d):
            first, last = -((spread - padding - first) // stride), (last + padding) // stride
        else:
            first, last = first * stride - padding, last * stride - padding + spread
    return first, last
