"""Blocks of DAC-style networks (Kumar et al. 2023), written once; every block knows how far it reaches.

A strided convolution has a kernel of 2s and pads s/2 on both sides (rounded up), so that n*s samples become n exactly.
For s = 4, o padding, x input, each output sees 8:

    o o x x x x x x x x x x x x o o
    [-------------]
            [-------------]
                    [-------------]

The transposed one is its mirror: n samples become n*s. Odd strides pad one more on the left and round down.
Reach is the largest distance, in samples at the block's input rate (for `up`, at its output rate), between an output
sample and an input sample that it depends on.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

Upsample = Literal["nearest", "transposed"]


SMALLEST = 1e-9


class Snake(nn.Module):
    """x + sin(a x)^2 / a with an `a` for each channel (Ziyin et al. 2020), on [batch, channels, samples]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, channels, 1))

    def forward(self, hidden: Tensor) -> Tensor:
        """Bend every channel."""
        if torch.compiler.is_compiling():  # it fuses the formula and its way back by itself
            return hidden + torch.sin(self.alpha * hidden).square() / (self.alpha + SMALLEST)
        bent: Tensor = _Bend.apply(hidden, self.alpha)  # type: ignore[no-untyped-call]
        return bent


class _Bend(torch.autograd.Function):
    """Snake, which keeps its input alone for the way back: written out, torch would keep four maps of that size.

    Its slope along x is 1 + sin(2 a x), and along a it is x sin(2 a x) / a - (sin(a x) / a)^2.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, alpha: Tensor) -> Tensor:
        """Bend [batch, channels, samples] by [1, channels, 1]."""
        ctx.save_for_backward(hidden, alpha)
        return (alpha * hidden).sin_().square_().div_(alpha + SMALLEST).add_(hidden)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Give the gradients of both; nothing in place, so that they have gradients themselves."""
        hidden, alpha = ctx.saved_tensors
        part = 1 / (alpha + SMALLEST)
        steep = gradient * torch.sin(2 * alpha * hidden)
        of_hidden = of_alpha = None
        if ctx.needs_input_grad[0]:
            of_hidden = (gradient + steep * (alpha * part)).to(hidden.dtype)
        if ctx.needs_input_grad[1]:
            # The square of the sine itself: 1 - cos(2 a x), its double, would lose all digits where a is small.
            bent = gradient * torch.sin(alpha * hidden).square()
            along, across = (one.sum(dim=(0, 2), keepdim=True) for one in (steep * hidden, bent))
            of_alpha = (part * along - part.square() * across).to(alpha.dtype)
        return of_hidden, of_alpha


class ResidualUnit(nn.Module):
    """Snake, dilated convolution of 7, snake, convolution of 1, plus the input."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            Snake(channels),
            nn.Conv1d(channels, channels, 7, dilation=dilation, padding=3 * dilation),
            Snake(channels),
            nn.Conv1d(channels, channels, 1),
        )
        self.reach = 3 * dilation

    def forward(self, hidden: Tensor) -> Tensor:
        """[batch, channels, samples] to the same shape."""
        result: Tensor = hidden + self.layers(hidden)
        return result


class ResidualUnits(nn.Sequential):
    """Residual units one after another, one for each dilation."""

    def __init__(self, channels: int, dilations: Sequence[int]) -> None:
        units = [ResidualUnit(channels, dilation) for dilation in dilations]
        super().__init__(*units)
        self.reach = sum(unit.reach for unit in units)


class Down(nn.Sequential):
    """Snake and a strided convolution: [batch, channels, n * stride] to [batch, wider, n]."""

    def __init__(self, channels: int, wider: int, stride: int) -> None:
        padding = (stride + 1) // 2
        super().__init__(Snake(channels), nn.Conv1d(channels, wider, 2 * stride, stride, padding))
        self.reach = 2 * stride - 1 - stride // 2


class Up(nn.Module):
    """[batch, channels, n] to [batch, narrower, n * stride].

    Args:
        channels: in.
        narrower: channels out.
        stride: how many samples one becomes.
        kind: "nearest" repeats every sample and mixes channels by a convolution of 1; "transposed" is DAC's snake and
            transposed convolution, with a kernel of 2 * stride.
    """

    def __init__(self, channels: int, narrower: int, stride: int, kind: Upsample) -> None:
        super().__init__()
        if kind == "nearest":
            # The convolution of 1 commutes with the repetition: before it, it costs 1/stride.
            self.layers = nn.Sequential(nn.Conv1d(channels, narrower, 1), nn.Upsample(scale_factor=stride))
            self.reach = stride - 1
        else:
            padding = (stride + 1) // 2
            up = nn.ConvTranspose1d(channels, narrower, 2 * stride, stride, padding, output_padding=stride % 2)
            self.layers = nn.Sequential(Snake(channels), up)
            self.reach = 2 * stride - 1 - stride // 2

    def forward(self, hidden: Tensor) -> Tensor:
        """Lengthen."""
        result: Tensor = self.layers(hidden)
        return result


def pad_to_multiple(waveform: Tensor, multiple: int) -> Tensor:
    """Lengthen [..., samples] with silence at the end, to a multiple of so many samples, one multiple at least."""
    samples = waveform.shape[-1]
    return nn.functional.pad(waveform, (0, max(1, -(-samples // multiple)) * multiple - samples))
