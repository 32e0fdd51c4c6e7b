"""The bottleneck of the Descript Audio Codec (Kumar et al. 2023): residual codebooks of few numbers, compared by angle.

    residual - enter - nearest entry by angle - leave - values of this book
        |________________________________________|
              minus: the next book's residual

Codes are looked up in a space of few dimensions, and entries and what they are compared with are brought to length 1
for that (Yu et al. 2022): codebooks then are used well without k-means, moving averages or revival. Every entry is a
weight of the optimiser's.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from generators.codebook import nearest
from generators.contract import Latent, ModelError
from generators.residual_vq import check_dropout, check_width, follow


class Book(nn.Module):
    """One codebook with the ways into its space and out of it.

    Args:
        dimension: channels of the latent.
        entries: how many.
        code_dimension: numbers an entry has.
    """

    def __init__(self, dimension: int, entries: int, code_dimension: int) -> None:
        super().__init__()
        self.enter = nn.Conv1d(dimension, code_dimension, 1)
        self.leave = nn.Conv1d(code_dimension, dimension, 1)
        self.entries = nn.Parameter(torch.randn(entries, code_dimension))

    def choose(self, projected: Tensor) -> Tensor:
        """Find the entries in the directions of [batch, code_dimension, frames]: [batch, frames], int64."""
        flat = projected.detach().transpose(1, 2).flatten(0, 1)
        chosen = nearest(F.normalize(flat), F.normalize(self.entries.detach()))
        return chosen.view(projected.shape[0], projected.shape[2])

    def look_up(self, code: Tensor) -> Tensor:
        """Give the entries of [batch, frames]: [batch, code_dimension, frames]."""
        return F.embedding(code, self.entries).transpose(1, 2)

    def project(self, residual: Tensor) -> Tensor:
        """[batch, dimension, frames] to [batch, code_dimension, frames]."""
        projected: Tensor = self.enter(residual)
        return projected

    def lift(self, entry: Tensor) -> Tensor:
        """[batch, code_dimension, frames] to [batch, dimension, frames]."""
        value: Tensor = self.leave(entry)
        return value


class FactorisedVQ(nn.Module):
    """A generators.contract.Bottleneck as DAC has it, trained by gradients alone.

    It works in float32 (float64 if it is given that) under any autocast.

    Gradients: they pass each codebook straight through (Bengio et al. 2013), from the values to the projection of
    the residual, and from each residual to the books before it.

    Args:
        dimension: channels of the latent.
        codebooks: how many.
        entries: of each codebook.
        code_dimension: numbers an entry has.
        dropout: in training mode, this share of a batch's examples, the first ones, is written down with its first
            codebooks only, from one to all, equally likely. Where it is no whole number of examples, one more gets its
            turn as often as the rest says.

    Penalties (unweighted): "commitment" holds projections to their entries, "codebook" entries to projections: the mean
    squared difference, summed over the codebooks that an example is written down with. DAC weighs them 0.25 and 1.

    Raises:
        ModelError: an argument out of range.
    """

    learning_arguments = frozenset({"dropout"})

    def __init__(
        self,
        dimension: int = 1024,
        codebooks: int = 9,
        entries: int = 1024,
        code_dimension: int = 8,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if min(dimension, codebooks, code_dimension) < 1 or entries < 2:
            raise ModelError("dimension, codebooks and code_dimension are to be 1 or more, entries 2 or more")
        check_dropout(dropout, codebooks)
        self.dimension, self.width, self.block = dimension, codebooks, 1
        self.codebooks = (entries,) * codebooks
        self.dropout = dropout
        self.books = nn.ModuleList(Book(dimension, entries, code_dimension) for _ in self.codebooks)

    def forward(self, hidden: Tensor) -> Latent:
        """Pass [batch, dimension, frames] through."""
        with torch.autocast(hidden.device.type, enabled=False):
            residual = _at_least_float32(hidden)
            used = self._draw(len(hidden), hidden.device)
            values = torch.zeros_like(residual)
            commitment = codebook = residual.new_zeros(())
            codes = []
            for number, book in enumerate(self._books):
                keep = used > number
                projected = book.project(residual)
                code = book.choose(projected)
                entry = book.look_up(code)
                commitment = commitment + _distance(projected, entry.detach(), keep)
                codebook = codebook + _distance(entry, projected.detach(), keep)
                value = book.lift(follow(entry, projected))
                values = values + value * keep[:, None, None]
                residual = residual - value
                codes.append(torch.where(keep[:, None], code, -1))
        return Latent(values, torch.stack(codes, dim=1), {"commitment": commitment, "codebook": codebook})

    @torch.no_grad()
    def encode(self, hidden: Tensor) -> Tensor:
        """Write down [batch, dimension, frames] with all codebooks: [batch, codebooks, frames], int64."""
        with torch.autocast(hidden.device.type, enabled=False):
            residual = _at_least_float32(hidden)
            codes = []
            for book in self._books:
                codes.append(book.choose(book.project(residual)))
                residual = residual - book.lift(book.look_up(codes[-1]))
            return torch.stack(codes, dim=1)

    def decode(self, code: Tensor) -> Tensor:
        """Read [batch, up to codebooks, frames] back; codes of -1 add nothing.

        Raises:
            ModelError: there are more codes a frame than codebooks.
        """
        check_width(code, self.width)
        with torch.autocast(code.device.type, enabled=False):
            values = self._books[0].leave.weight.new_zeros(code.shape[0], self.dimension, code.shape[2])
            for book, chosen in zip(self._books, code.unbind(dim=1), strict=False):
                value = book.lift(book.look_up(chosen.clamp(min=0)))
                values = values + value * (chosen >= 0).unsqueeze(1)
            return values

    @property
    def _books(self) -> list[Book]:
        return [cast(Book, book) for book in self.books]

    def _draw(self, examples: int, device: torch.device) -> Tensor:
        """Draw how many codebooks each example is written down with: [examples]."""
        used = torch.full((examples,), self.width, device=device)
        if not (self.training and self.dropout):
            return used
        fewer = torch.randint(1, self.width + 1, (examples,), device=device)
        turn = torch.arange(1, examples + 1, device=device, dtype=torch.float64) - torch.rand((), device=device)
        return torch.where(turn <= examples * self.dropout, fewer, used)


def _at_least_float32(hidden: Tensor) -> Tensor:
    return hidden.to(torch.promote_types(hidden.dtype, torch.float32))


def _distance(moved: Tensor, held: Tensor, keep: Tensor) -> Tensor:
    """Average the squared differences of [batch, channels, frames], those of examples that are not kept being none."""
    return ((moved - held).square().mean(dim=(1, 2)) * keep).mean()
