"""Finite scalar quantisation (Mentzer et al. 2023): no codebook is learned, every number is rounded to a few levels.

A latent is projected to a few numbers, each is bounded and rounded to one of its levels; the code counts all
combinations, (8, 5, 5, 5): 1000 entries, as digits of a number, the first one running fastest. The rounding is
vector-quantize-pytorch's.
"""

from collections.abc import Sequence
from math import prod

import torch
import vector_quantize_pytorch
from torch import Tensor, nn

from generators.contract import Latent, ModelError
from generators.residual_vq import channels_last, check_dropout, check_width, follow, kept

# The library counts entries in float32, where whole numbers are exact up to here.
MOST_ENTRIES = 2**24


class FSQ(nn.Module):
    """A generators.contract.Bottleneck of one codebook that is a grid (Mentzer et al. 2023).

    It works in float32 (float64 if it is given that) under any autocast; the same in training as in use, without
    penalties. The encoder gets gradients through the bound and straight through the rounding.

    Args:
        dimension: channels of the latent; a linear layer leads to as many numbers as there are levels and one back,
            unless there are as many.
        levels: how many values each number may take, 3 or more.

    Raises:
        ModelError: an argument out of range.
    """

    def __init__(self, dimension: int, levels: Sequence[int] = (8, 5, 5, 5)) -> None:
        super().__init__()
        entries = check_levels(dimension, levels, least=3)
        self.dimension, self.width, self.block = dimension, 1, 1
        self.codebooks = (entries,)
        self.enter, self.leave = projections(dimension, len(levels))
        self.grid = vector_quantize_pytorch.FSQ(levels=list(levels))

    def forward(self, hidden: Tensor) -> Latent:
        """Pass [batch, dimension, frames] through."""
        with torch.autocast(hidden.device.type, enabled=False):
            bounded = self._round(channels_last(hidden))
            code = self.grid.codes_to_indices(bounded.detach()).long()
            # The rounded values anew from their code: what a decoder reads is what this one was given, bit for bit.
            values = self.leave(follow(self._values(code), bounded))
        return Latent(values.transpose(1, 2), code.unsqueeze(1))

    @torch.no_grad()
    def encode(self, hidden: Tensor) -> Tensor:
        """Write down [batch, dimension, frames]: [batch, 1, frames], int64."""
        with torch.autocast(hidden.device.type, enabled=False):
            code: Tensor = self.grid.codes_to_indices(self._round(channels_last(hidden))).long()
            return code.unsqueeze(1)

    def decode(self, code: Tensor) -> Tensor:
        """Read [batch, 1, frames] back.

        Raises:
            ModelError: there is not one code a frame.
        """
        if code.shape[1] != 1:
            raise ModelError(f"there is one codebook, but {code.shape[1]} codes a frame")
        with torch.autocast(code.device.type, enabled=False):
            values: Tensor = self.leave(self._values(code[:, 0])).transpose(1, 2)
            return values

    def _round(self, hidden: Tensor) -> Tensor:
        rounded: Tensor = self.grid.quantize(self.enter(hidden))
        return rounded

    def _values(self, code: Tensor) -> Tensor:
        values: Tensor = self.grid.implicit_codebook[code]
        return values


class ResidualFSQ(nn.Module):
    """A generators.contract.Bottleneck of grids, each finer than the one before it by the number of its levels.

    It works in float32 (float64 if it is given that) under any autocast, without penalties. The encoder gets gradients
    through the bound and once straight through all roundings.

    Args:
        dimension: channels of the latent; a linear layer leads to as many numbers as there are levels and one back,
            unless there are as many.
        levels: how many values each number may take in one codebook, 2 or more.
        codebooks: how many.
        dropout: probability that an example is written down with its first codebooks only, one to all but one, equally
            likely. In training mode only.

    Raises:
        ModelError: an argument out of range.
    """

    learning_arguments = frozenset({"dropout"})

    def __init__(
        self, dimension: int, levels: Sequence[int] = (8, 5, 5, 5), codebooks: int = 4, dropout: float = 0.0
    ) -> None:
        super().__init__()
        entries = check_levels(dimension, levels, least=2)
        if codebooks < 1:
            raise ModelError(f"codebooks are to be 1 or more, not {codebooks}")
        check_dropout(dropout, codebooks)
        self.dimension, self.width, self.block = dimension, codebooks, 1
        self.codebooks = (entries,) * codebooks
        self.dropout = dropout
        self.enter, self.leave = projections(dimension, len(levels))
        self.grids = vector_quantize_pytorch.ResidualFSQ(levels=list(levels), num_quantizers=codebooks)

    def forward(self, hidden: Tensor) -> Latent:
        """Pass [batch, dimension, frames] through."""
        with torch.autocast(hidden.device.type, enabled=False):
            bounded = self._bound(channels_last(hidden))
            keeps = kept(self.codebooks, len(hidden), self.dropout if self.training else 0.0, hidden.device)
            codes = torch.where(torch.cat(keeps, dim=1), self._codes(bounded), -1)
            values = self.leave(follow(self._sum(codes), bounded))
        return Latent(values.transpose(1, 2), codes)

    @torch.no_grad()
    def encode(self, hidden: Tensor) -> Tensor:
        """Write down [batch, dimension, frames] with all codebooks: [batch, codebooks, frames], int64."""
        with torch.autocast(hidden.device.type, enabled=False):
            return self._codes(self._bound(channels_last(hidden)))

    def decode(self, code: Tensor) -> Tensor:
        """Read [batch, up to codebooks, frames] back; codes of -1 add nothing.

        Raises:
            ModelError: there are more codes a frame than codebooks.
        """
        check_width(code, self.width)
        with torch.autocast(code.device.type, enabled=False):
            values: Tensor = self.leave(self._sum(code)).transpose(1, 2)
            return values

    def _bound(self, hidden: Tensor) -> Tensor:
        """Bend to a little beyond -1..1, so that the outermost values can be reached."""
        edge: Tensor = self.grids.soft_clamp_input_value
        bounded: Tensor = edge * torch.tanh(self.enter(hidden) / edge)
        return bounded

    @torch.no_grad()
    def _codes(self, bounded: Tensor) -> Tensor:
        """[batch, frames, numbers] to [batch, codebooks, frames]."""
        residual, codes = bounded, []
        for grid, scale in zip(self.grids.layers, self.grids.scales, strict=True):
            rounded = grid.quantize(residual / scale)
            codes.append(grid.codes_to_indices(rounded).long())
            residual = residual - rounded * scale
        return torch.stack(codes, dim=1)

    def _sum(self, code: Tensor) -> Tensor:
        """[batch, up to codebooks, frames] to [batch, frames, numbers]."""
        values: Tensor = self.grids.scales.new_zeros(code.shape[0], code.shape[2], self.grids.scales.shape[1])
        for grid, scale, chosen in zip(self.grids.layers, self.grids.scales, code.unbind(dim=1), strict=False):
            values = values + grid.implicit_codebook[chosen.clamp(min=0)] * scale * (chosen >= 0).unsqueeze(-1)
        return values


def projections(dimension: int, numbers: int) -> tuple[nn.Module, nn.Module]:
    """Lead from the latent's channels to so many numbers and back, by nothing where there are as many."""
    if dimension == numbers:
        return nn.Identity(), nn.Identity()
    return nn.Linear(dimension, numbers), nn.Linear(numbers, dimension)


def check_levels(dimension: int, levels: Sequence[int], least: int) -> int:
    """Count the entries that levels make.

    Raises:
        ModelError: the dimension or a level is too small, or there are too many entries.
    """
    if dimension < 1 or not levels or min(levels) < least:
        raise ModelError(f"dimension is to be 1 or more, levels are to be {least} or more, not {dimension}, {levels}")
    if prod(levels) > MOST_ENTRIES:
        raise ModelError(f"levels of {levels} make more than {MOST_ENTRIES} entries: take fewer or smaller ones")
    return prod(levels)
