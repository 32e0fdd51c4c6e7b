"""Residual vector quantisation (Zeghidour et al. 2021): each codebook writes down what the ones before it left over.

projected - book 0 - residual - book 1 - residual - ...        values = entry of book 0 + entry of book 1 + ...
              |                   |
            code 0              code 1

A single codebook is in generators.codebook; what a book left out means and which gradients flow is decided here.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from vector_quantize_pytorch.vector_quantize_pytorch import rotate_to

from generators.codebook import Book, nearest
from generators.contract import Latent, ModelError


class ResidualVQ(nn.Module):
    """A generators.contract.Bottleneck of residual codebooks, each with the same number of entries; and a Learner.

    Forward passes in training mode while gradients are on note what chose which entry; codebooks learn from all notes
    together, once per call of `learn`. In eval mode, under `torch.no_grad` and in `encode` nothing is noted. With
    `enter` or `books` in eval mode (frozen) codebooks keep still and dropout goes on. It works in float32 (float64 if
    it is given that) under any autocast.

    Gradients: the encoder gets the decoder's gradient once, whatever the number of codebooks; entries get none of it.

    Over several processes the k-means start, the averages and the revival work on the joined batch, and entries are
    the same bit for bit on all of them; every process has to make the same calls. Which codebooks are left out is each
    process's own random choice: it changes nothing of what the codebooks learn, and penalties are means over examples,
    so their mean over processes is that of the joined batch.

    Args:
        dimension: channels of the latent.
        codebooks: how many.
        entries: of each codebook.
        code_dimension: numbers an entry has: one linear layer leads into so many, one back (factorised codes, Yu et
            al. 2022). None: `dimension`, and no such layers.
        learning: "ema": entries follow the mean of what chose them (van den Oord et al. 2017, appendix A.1), and the
            only penalty is "commitment". "gradient": entries are weights of the optimiser's; a penalty "codebook"
            beside "commitment" pulls them to what chose them.
        decay: of the moving averages, a call of `learn`. By gradient it holds for the revival's counts alone.
        kmeans: start every codebook with the means of what the first forward pass that learns shows it (of a batch in
            parts the first part), which should have more frames than there are entries. Frames that are not all finite
            start nothing, and `forget` takes a start back that nothing was learned from yet. If not, at random.
        iterations: of k-means.
        revive: an entry chosen less than this share of how often it would be if all were chosen alike is replaced by
            one of the frames noted (Dhariwal et al. 2020). The counts are moving averages: a new entry has time to
            prove itself. 0: never.
        dropout: probability that an example is written down with its first codebooks only, one to all but one,
            equally likely (Kumar et al. 2023). In training mode only.
        rotation: send gradients to the encoder through the rotation that leads from its output to the entries' sum
            (Fifty et al. 2024), instead of straight through.

    Penalties (unweighted): "commitment", and "codebook" if learning by gradient: the mean squared difference between a
    residual and its entry, summed over codebooks; examples that left a codebook out are held to no commitment there.

    Raises:
        ModelError: an argument out of range.
    """

    learning_arguments = frozenset({"learning", "decay", "kmeans", "iterations", "revive", "dropout", "rotation"})

    def __init__(
        self,
        dimension: int = 1024,
        codebooks: int = 9,
        entries: int = 1024,
        code_dimension: int | None = None,
        learning: Literal["ema", "gradient"] = "ema",
        decay: float = 0.99,
        kmeans: bool = True,
        iterations: int = 10,
        revive: float = 0.1,
        dropout: float = 0.0,
        rotation: bool = False,
    ) -> None:
        super().__init__()
        width = dimension if code_dimension is None else code_dimension
        if min(dimension, width, codebooks, iterations) < 1 or entries < 2:
            raise ModelError(
                "dimension, code_dimension, codebooks and iterations are to be 1 or more, entries 2 or more"
            )
        if learning not in ("ema", "gradient"):
            raise ModelError(f"a codebook's learning is 'ema' or 'gradient', not {learning!r}")
        if not (0 <= decay < 1 and 0 <= revive < 1):
            raise ModelError(f"decay and revive are to be in [0, 1), not {decay} and {revive}")
        check_dropout(dropout, codebooks)
        self.dimension, self.width, self.block = dimension, codebooks, 1
        self.codebooks = (entries,) * codebooks
        self.learning, self.kmeans = learning, kmeans
        self.dropout, self.rotation = dropout, rotation
        self.enter = nn.Identity() if code_dimension is None else nn.Linear(dimension, width)
        self.leave = nn.Identity() if code_dimension is None else nn.Linear(width, dimension)
        self.books = nn.ModuleList(
            Book(width, entries, learning, decay, kmeans, iterations, revive) for _ in range(codebooks)
        )

    @property
    def learns(self) -> bool:
        """Whether forward passes are noted now."""
        return self.enter.training and self.books.training and torch.is_grad_enabled()

    def forward(self, hidden: Tensor) -> Latent:
        """Pass [batch, dimension, frames] through."""
        with torch.autocast(hidden.device.type, enabled=False):
            projected = self.enter(channels_last(hidden))
            keeps = kept(self.codebooks, len(hidden), self.dropout if self.training else 0.0, hidden.device)
            total = torch.zeros_like(projected)
            commitment = codebook = projected.new_zeros(())
            codes, seen = [], []
            for (residual, entry, code), keep in zip(self._residuals(projected, self.learns), keeps, strict=True):
                fixed = entry.detach()
                total = total + fixed * keep
                codes.append(torch.where(keep[..., 0], code, -1))
                seen.append((residual.detach().flatten(0, 1), code.flatten()))
                commitment = commitment + ((residual - fixed).square() * keep).mean()
                codebook = codebook + F.mse_loss(entry, residual.detach())
            carrier = rotate_to(projected, total) if self.rotation else projected
            values = self.leave(follow(total, carrier)).transpose(1, 2)
        if self.learns:
            self._note(seen)
        penalties = {"commitment": commitment}
        if self.learning == "gradient":
            penalties["codebook"] = codebook
        return Latent(values, torch.stack(codes, dim=1), penalties)

    @torch.no_grad()
    def encode(self, hidden: Tensor) -> Tensor:
        """Write down [batch, dimension, frames] with all codebooks: [batch, codebooks, frames], int64."""
        with torch.autocast(hidden.device.type, enabled=False):
            projected = self.enter(channels_last(hidden))
            return torch.stack([code for _, _, code in self._residuals(projected, starts=False)], dim=1)

    def decode(self, code: Tensor) -> Tensor:
        """Read [batch, up to codebooks, frames] back; codes of -1 add nothing.

        Raises:
            ModelError: there are more codes a frame than codebooks.
        """
        check_width(code, self.width)
        with torch.autocast(code.device.type, enabled=False):
            total = self._entries(0).new_zeros(code.shape[0], code.shape[2], self._entries(0).shape[1])
            for number, chosen in enumerate(code.unbind(dim=1)):
                entry = F.embedding(chosen.clamp(min=0), self._entries(number))
                total = total + entry * (chosen >= 0).unsqueeze(-1)
            result: Tensor = self.leave(total).transpose(1, 2)
            return result

    def learn(self) -> None:
        """Have every codebook count who chose what, move its entries (by averages) and revive the dead."""
        for book in self._books:
            book.move()

    def forget(self) -> None:
        """Drop the notes, and take back a start by k-means that nothing was learned from yet."""
        for book in self._books:
            book.forget()

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # what is noted already is no matter of the compiler's
    def _note(self, seen: list[tuple[Tensor, Tensor]]) -> None:
        """Have each codebook note its frames and their codes of a forward pass."""
        for book, (flat, chosen) in zip(self._books, seen, strict=True):
            book.note(flat, chosen)

    @property
    def _books(self) -> Sequence[Book]:
        return cast(Sequence[Book], self.books)

    def _entries(self, number: int) -> Tensor:
        """Of a codebook, [entries, width]."""
        entries: Tensor = self._books[number].embed[0]
        return entries

    def _residuals(self, projected: Tensor, starts: bool) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Give each codebook's residual and its nearest entry, [batch, frames, width], and code, [batch, frames].

        Every residual is a tensor of its own. `starts`: codebooks that wait for their start by k-means get it.
        """
        residual = projected
        for number, book in enumerate(self._books):
            flat = residual.detach().flatten(0, 1)
            if starts and self.kmeans and not book.initted:
                book.start(flat)
            entries = self._entries(number)
            chosen = nearest(flat, entries.detach())
            code = chosen.view(residual.shape[:-1])
            entry = F.embedding(code, entries)
            yield residual, entry, code
            residual = residual - entry.detach()


def channels_last(hidden: Tensor) -> Tensor:
    """[batch, dimension, frames] as [batch, frames, dimension], float32 at least."""
    return hidden.transpose(1, 2).to(torch.promote_types(hidden.dtype, torch.float32))


def follow(value: Tensor, carrier: Tensor) -> Tensor:
    """Give the value, exactly, with the carrier's gradient (Bengio et al. 2013)."""
    return value.detach() + (carrier - carrier.detach())


def check_dropout(dropout: float, codebooks: int) -> None:
    """Refuse what is no probability, or has nothing to leave out.

    Raises:
        ModelError: it is so.
    """
    if not 0 <= dropout <= 1:
        raise ModelError(f"dropout is a probability, not {dropout}")
    if dropout and codebooks == 1:
        raise ModelError("a single codebook cannot be left out: set dropout to 0")


def check_width(code: Tensor, width: int) -> None:
    """Refuse more codes a frame than there are codebooks.

    Raises:
        ModelError: it is so.
    """
    if code.shape[1] > width:
        raise ModelError(f"there are {code.shape[1]} codes a frame, but only {width} codebooks")


def kept(codebooks: tuple[int, ...], examples: int, dropout: float, device: torch.device) -> list[Tensor]:
    """Draw which examples use each codebook: [examples, 1, 1], bool, for each; every example uses the first."""
    books = len(codebooks)
    count = torch.full((examples, 1, 1), books, device=device)
    if dropout:
        short = torch.rand(count.shape, device=device) < dropout
        count = torch.where(short, torch.randint(1, books, count.shape, device=device), count)
    return [number < count for number in range(books)]
