"""Residual self-organising maps (Kohonen 1982): codebooks whose entries lie on a grid, alike where they are neighbours.

    entries of a grid       weights of what is learned, the choice at *, a radius that shrinks

    e00 e01 e02 e03 e04         . o o o .        . . o . .        . . . . .
    e10 e11 e12 e13 e14         o o * o o   ->   . o * o .   ->   . . * . .
    e20 e21 e22 e23 e24         . o o o .        . . o . .        . . . . .

A frame chooses the nearest entry, as in any vector quantisation; its neighbours on the grid learn along with it.
"""

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from generators.codebook import nearest
from generators.contract import Latent, ModelError
from generators.joined import add_up, all_finite
from generators.plane import plane
from generators.residual_vq import channels_last, check_dropout, check_width, follow, kept

# Entries that nobody near has chosen for so long that only this is left of their count stay where they are.
SMALLEST_COUNT = 1e-20


class SelfOrganisingMaps(nn.Module):
    """A generators.contract.Bottleneck of residual codebooks on grids, with neighbourhoods that shrink; and a Learner.

    Forward passes in training mode with gradients on note what chose which entry; maps learn from all notes together,
    once per call of `learn`. In eval mode, under `torch.no_grad` and in `encode` nothing is noted. With `enter` alone
    in eval mode (frozen) maps keep still and dropout goes on. Works in float32 (or given float64) under any autocast.

    The first pass that is noted and finite lays each map on the plane of its two principal components (Kohonen 2001,
    linear initialisation): so it is in order from the start, which random entries or frames would have to learn with a
    wide radius. Before anything is learned `forget` takes the start back: the next such pass lays the maps anew.

    Over several processes sums and counts, of the start too, are those of the joined batch, and entries are the same
    bit for bit on all of them; every process has to make the same calls.

    Args:
        dimension: channels of the latent.
        codebooks: how many.
        grid: height and width of each; 16 by 32 are 512 entries.
        code_dimension: numbers an entry has, 2 or more: one linear layer leads into so many, one back. None:
            `dimension`, and no such layers.
        neighbourhood: "hard": all entries at most a radius away from the chosen one count as much as it does.
            "gaussian": exp(-distance^2 / (2 radius^2)). Distances are Euclidean, between neighbours 1.
        radius: at the start. 0: the chosen one alone, as in plain vector quantisation.
        last_radius: at the end. A Gaussian one of 0.3 (neighbours count 0.004) still leaves no entry behind for good
            and costs next to no accuracy; 0.5 (0.14) keeps the grid in better order and costs some.
        shrinking: calls of `learn` over which the radius goes evenly from the one to the other.
        learning: "ema": entries follow the weighted mean of what chose them or a neighbour (van den Oord et al. 2017,
            appendix A.1, with the choice blurred over the grid), and the only penalty is "commitment". "gradient":
            entries are weights of the optimiser's, and a penalty "codebook" beside "commitment" pulls them.
        decay: of the moving averages, a call of `learn`.
        dropout: probability that an example is written down with its first codebooks only, one to all but one,
            equally likely. In training mode only.

    Penalties (unweighted), each summed over codebooks: "commitment": the mean squared difference between a residual and
    its entry, where the example uses the codebook; "codebook": the same between a residual and the neighbourhood's
    entries, whose weights add up to 1. The fact "radius" is the present one.

    Raises:
        ModelError: an argument out of range.
    """

    learning_arguments = frozenset(
        {"neighbourhood", "radius", "last_radius", "shrinking", "learning", "decay", "dropout"}
    )
    entries: Tensor
    counts: Tensor
    sums: Tensor
    calls: Tensor
    squared_distances: Tensor
    noted: Tensor | None  # since the last `learn`: who chose each entry, and their sum, [codebooks, entries, 1 + width]
    laid: bool  # since then; what came before is told by calls

    def __init__(
        self,
        dimension: int = 512,
        codebooks: int = 8,
        grid: Sequence[int] = (16, 32),
        code_dimension: int | None = None,
        neighbourhood: Literal["hard", "gaussian"] = "gaussian",
        radius: float = 4.0,
        last_radius: float = 0.3,
        shrinking: int = 10000,
        learning: Literal["ema", "gradient"] = "ema",
        decay: float = 0.99,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        width = dimension if code_dimension is None else code_dimension
        if dimension < 1 or width < 2 or codebooks < 1 or shrinking < 1:
            raise ModelError("codebooks and shrinking are to be 1 or more, an entry is to have 2 numbers or more")
        if len(grid) != 2 or min(grid) < 1 or prod(grid) < 2:
            raise ModelError(f"a grid has a height and a width and 2 entries or more, not {list(grid)}")
        if neighbourhood not in ("hard", "gaussian"):
            raise ModelError(f"a neighbourhood is 'hard' or 'gaussian', not {neighbourhood!r}")
        if learning not in ("ema", "gradient"):
            raise ModelError(f"a codebook's learning is 'ema' or 'gradient', not {learning!r}")
        if not (0 <= last_radius <= radius < float("inf") and 0 <= decay < 1):
            raise ModelError(f"0 <= last_radius <= radius and 0 <= decay < 1, not {last_radius}, {radius}, {decay}")
        check_dropout(dropout, codebooks)
        self.dimension, self.width, self.block = dimension, codebooks, 1
        self.grid = (grid[0], grid[1])
        self.codebooks = (prod(grid),) * codebooks
        self.neighbourhood, self.learning, self.decay, self.dropout = neighbourhood, learning, decay, dropout
        self.first_radius, self.last_radius, self.shrinking = radius, last_radius, shrinking
        self.enter = nn.Identity() if code_dimension is None else nn.Linear(dimension, width)
        self.leave = nn.Identity() if code_dimension is None else nn.Linear(width, dimension)
        self._register(torch.randn(codebooks, prod(grid), width) * width**-0.5)
        self.forget()

    def __getstate__(self) -> dict[str, Any]:
        """What a copy takes over: notes are not the copy's."""
        return self.__dict__ | {"noted": None}

    def _register(self, entries: Tensor) -> None:
        """Take on the entries, [codebooks, entries, width], and what goes with them."""
        if self.learning == "gradient":
            self.entries = nn.Parameter(entries)
        else:
            self.register_buffer("entries", entries)
            # As if each had been chosen once in every call before, by what it is.
            self.register_buffer("counts", torch.ones(entries.shape[:2]))
            self.register_buffer("sums", entries.clone())
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        places = torch.cartesian_prod(*map(torch.arange, self.grid)).to(entries)
        squares = (places[:, None] - places[None]).square().sum(dim=-1)
        self.register_buffer("squared_distances", squares, persistent=False)

    @property
    def learns(self) -> bool:
        """Whether forward passes are noted now."""
        return self.enter.training and torch.is_grad_enabled()

    @property
    def radius(self) -> Tensor:
        """The present one, a scalar."""
        share = (self.calls.to(self.squared_distances) / self.shrinking).clamp(max=1)
        return self.first_radius * (1 - share) + self.last_radius * share

    def neighbours(self) -> Tensor:
        """How much each entry learns from each choice, [entries, entries], symmetric, 1 for the chosen one."""
        square = self.radius.square()
        if self.neighbourhood == "hard":
            return (self.squared_distances <= square).to(self.squared_distances)
        return torch.exp(-self.squared_distances / (2 * square).clamp(min=1e-30))

    def draw(self, file: Path) -> None:
        """Draw every map, see generators.som_picture.draw_maps."""
        from generators.som_picture import draw_maps

        draw_maps(self, file)

    def forward(self, hidden: Tensor) -> Latent:
        """Pass [batch, dimension, frames] through."""
        with torch.autocast(hidden.device.type, enabled=False):
            projected = self.enter(channels_last(hidden))
            if self.learns and not self.laid and self.calls == 0:
                self._start(projected.detach())
            keeps = kept(self.codebooks, len(hidden), self.dropout if self.training else 0.0, hidden.device)
            residuals, codes = self._choose(projected.detach())
            total, residual = torch.zeros_like(projected), projected
            commitment = projected.new_zeros(())
            for number, (code, keep) in enumerate(zip(codes, keeps, strict=True)):
                fixed = F.embedding(code, self.entries[number].detach())
                total = total + fixed * keep
                commitment = commitment + ((residual - fixed).square() * keep).mean()
                residual = residual - fixed
            values = self.leave(follow(total, projected)).transpose(1, 2)
            penalties, radius = {"commitment": commitment}, self.radius
            if self.learning == "gradient":
                penalties["codebook"] = self._pull(residuals, codes)
            if self.learns:
                gathered = torch.stack([self._gather(*pair) for pair in zip(residuals, codes, strict=True)])
                self.noted = gathered if self.noted is None else self.noted + gathered
        written = torch.stack([torch.where(keep[..., 0], code, -1) for code, keep in zip(codes, keeps, strict=True)], 1)
        return Latent(values, written, penalties, {"radius": radius})

    @torch.no_grad()
    def encode(self, hidden: Tensor) -> Tensor:
        """Write down [batch, dimension, frames] with all codebooks: [batch, codebooks, frames], int64."""
        with torch.autocast(hidden.device.type, enabled=False):
            return torch.stack(self._choose(self.enter(channels_last(hidden)))[1], dim=1)

    def decode(self, code: Tensor) -> Tensor:
        """Read [batch, up to codebooks, frames] back; codes of -1 add nothing.

        Raises:
            ModelError: there are more codes a frame than codebooks.
        """
        check_width(code, self.width)
        with torch.autocast(code.device.type, enabled=False):
            total = self.entries.new_zeros(code.shape[0], code.shape[2], self.entries.shape[2])
            for entries, chosen in zip(self.entries, code.unbind(dim=1), strict=False):
                total = total + F.embedding(chosen.clamp(min=0), entries) * (chosen >= 0).unsqueeze(-1)
            values: Tensor = self.leave(total).transpose(1, 2)
            return values

    @torch.no_grad()
    def _choose(self, projected: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Give what each codebook is to write down, [batch, frames, width], and its choice, [batch, frames]."""
        residuals, codes = [projected], []
        for entries in self.entries:
            residual = residuals[-1]
            codes.append(nearest(residual.flatten(0, 1), entries).view(residual.shape[:-1]))
            residuals.append(residual - F.embedding(codes[-1], entries))
        return residuals[:-1], codes

    @torch.no_grad()
    def _start(self, projected: Tensor) -> None:
        """Lay every map on the plane of its residuals' principal components, two standard deviations to each side."""
        residual = projected.flatten(0, 1)
        if not all_finite(residual):
            return
        for entries in self.entries:
            entries.copy_(plane(residual, self.grid))
            residual = residual - F.embedding(nearest(residual, entries), entries)
        if self.learning == "ema":
            self.sums.copy_(self.entries)
        self.laid = True

    @torch.no_grad()
    def learn(self) -> None:
        """Move the averages on, and the entries with them; count the call."""
        if self.noted is None:
            return
        if self.learning == "ema":
            add_up(self.noted)
            counts, sums = torch.split(self.neighbours() @ self.noted, [1, self.entries.shape[2]], dim=-1)
            self.counts.lerp_(counts.squeeze(-1), 1 - self.decay)
            self.sums.lerp_(sums, 1 - self.decay)
            count = self.counts.unsqueeze(-1)
            moved = self.sums / count.clamp(min=SMALLEST_COUNT)
            self.entries.copy_(torch.where((count > SMALLEST_COUNT) & (counts > 0), moved, self.entries))
        self.calls.add_(1)
        self.forget()

    def forget(self) -> None:
        """Drop the notes."""
        self.noted, self.laid = None, False

    def _gather(self, residual: Tensor, code: Tensor) -> Tensor:
        """Count who chose each entry and add them up: [entries, 1 + width]."""
        flat = residual.flatten(0, 1)
        counted = torch.cat([flat.new_ones(len(flat), 1), flat], dim=1)
        table: Tensor = flat.new_zeros(self.codebooks[0], counted.shape[1])
        table.index_add_(0, code.flatten(), counted)
        return table

    def _pull(self, residuals: list[Tensor], codes: list[Tensor]) -> Tensor:
        """Mean squared difference between residuals and the entries of their neighbourhoods.

        sum_n w_n |e - x_n|^2 is W |e - M|^2 plus what the x_n vary around their mean M: no table of all differences.
        """
        weights = self.neighbours()
        weights = weights / weights.sum(dim=1, keepdim=True)  # of each choice, adding up to 1
        total = self.entries.new_zeros(())
        for residual, code, entries in zip(residuals, codes, self.entries, strict=True):
            middle = residual.mean(dim=(0, 1))
            centred = residual - middle
            count, sums = torch.split(weights.T @ self._gather(centred, code), [1, len(middle)], dim=1)
            mean = sums / count.clamp(min=SMALLEST_COUNT)
            spread = (centred.square().sum() - (count * mean.square()).sum()).clamp(min=0)
            pulled = (count * (entries - middle - mean).square()).sum()
            total = total + (pulled + spread) / residual.numel()
        return total
