"""Layers that look back only, so that a waveform can be worked on while it is still coming.

What a layer looks back on is its memory: the last few of its inputs, silence at the start. A whole waveform and its
pieces therefore run through the same lines. For a stride of 4, o memory, x input, each output sees 8:

    o o o o x x x x x x x x x x x x
    [-------------]
            [-------------]
                    [-------------]
"""

import torch
from torch import Tensor, nn


class Layer(nn.Module):
    """A layer that looks back. Called with [batch, channels, n] and its memory, it gives its output and a new memory.

    Attributes:
        context: how many of its inputs it remembers.
    """

    context: int

    def earliest(self, position: int) -> int:
        """Say which is the first input that an output's position depends on."""
        raise NotImplementedError

    def _joined(self, hidden: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor]:
        """Put the memory before the input; and what is to be remembered next."""
        if memory is None:
            memory = hidden.new_zeros(*hidden.shape[:2], self.context)
        joined = torch.cat([memory, hidden], dim=-1)
        return joined, joined[..., joined.shape[-1] - self.context :]


class CausalConvolution(Layer):
    """A convolution whose outputs end with the last of their inputs: [batch, channels, n * stride] to [.., wider, n].

    Args:
        channels: in.
        wider: channels out.
        kernel: taps, at least as many as the stride.
        stride: how many inputs become one output.
        dilation: inputs from one tap to the next.
        bend: an ELU before.
    """

    def __init__(
        self, channels: int, wider: int, kernel: int, stride: int = 1, dilation: int = 1, bend: bool = True
    ) -> None:
        super().__init__()
        self.bend = nn.ELU() if bend else nn.Identity()
        self.convolution = nn.Conv1d(channels, wider, kernel, stride, dilation=dilation)
        self.stride = stride
        self.context = (kernel - 1) * dilation - (stride - 1)

    def forward(self, hidden: Tensor, memory: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Go on from a memory, or from silence."""
        joined, memory = self._joined(hidden, memory)
        return self.convolution(self.bend(joined)), memory

    def earliest(self, position: int) -> int:
        """Say which is the first input that an output's position depends on."""
        return position * self.stride - self.context


class CausalUnit(Layer):
    """ELU, dilated convolution, ELU, convolution of 1, plus the input (Zeghidour et al. 2021)."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.wide = CausalConvolution(channels, channels, 7, dilation=dilation)
        self.mix = nn.Sequential(nn.ELU(), nn.Conv1d(channels, channels, 1))
        self.context = self.wide.context

    def forward(self, hidden: Tensor, memory: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Go on from a memory, or from silence."""
        inner, memory = self.wide(hidden, memory)
        return hidden + self.mix(inner), memory

    def earliest(self, position: int) -> int:
        """Say which is the first input that an output's position depends on."""
        return self.wide.earliest(position)


class CausalUp(Layer):
    """ELU and a transposed convolution of 2 * stride: [batch, channels, n] to [batch, narrower, n * stride].

    An input reaches the outputs in its own place and those in the next input's. That the last input is remembered comes
    to the same as carrying the tail of its outputs over, and the bias is added once.
    """

    def __init__(self, channels: int, narrower: int, stride: int) -> None:
        super().__init__()
        self.bend = nn.ELU()
        self.convolution = nn.ConvTranspose1d(channels, narrower, 2 * stride, stride)
        self.stride = stride
        self.context = 1

    def forward(self, hidden: Tensor, memory: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Go on from a memory, or from silence."""
        joined, memory = self._joined(hidden, memory)
        return self.convolution(self.bend(joined))[..., self.stride : -self.stride], memory

    def earliest(self, position: int) -> int:
        """Say which is the first input that an output's position depends on."""
        return position // self.stride - 1
