"""How a codec's codebooks are used: counted while it learns, shown in the journal, and what its range coder expects."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from generators.joined import add_up


class Usage(nn.Module):
    """Running shares of every codebook's entries, alike on every process; a generators.contract.Learner.

    Codes are noted as they come, and counted together once per call of `learn`.

    Args:
        codebooks: how many entries each codebook has.
        decay: of the running shares, a call of `learn` or `count`; 0.99 looks back over some hundred.
    """

    def __init__(self, codebooks: Sequence[int], decay: float = 0.99) -> None:
        super().__init__()
        self.codebooks = tuple(codebooks)
        self.decay = decay
        for number, size in enumerate(self.codebooks):
            self.register_buffer(f"share{number}", torch.full((size,), 1 / size))
        self.noted: Tensor | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What a copy takes over: notes are not the copy's."""
        return self.__dict__ | {"noted": None}

    @property
    def shares(self) -> list[Tensor]:
        """Of each codebook, [entries], summing up to 1."""
        return [cast(Tensor, getattr(self, f"share{number}")) for number in range(len(self.codebooks))]

    def note(self, codes: Tensor) -> None:
        """Note codes for `learn`, [batch, codebooks, frames]; negative ones were left out."""
        counts = self._counts(codes)
        self.noted = counts if self.noted is None else self.noted + counts

    def learn(self) -> None:
        """Count what was noted since the last call."""
        if self.noted is not None:
            self._take(self.noted)
        self.forget()

    def forget(self) -> None:
        """Drop the notes."""
        self.noted = None

    def count(self, codes: Tensor) -> None:
        """Count codes at once, [batch, codebooks, frames]; negative ones were left out."""
        self._take(self._counts(codes))

    def _counts(self, codes: Tensor) -> Tensor:
        """How often each entry was chosen, one codebook after the other, on this process."""
        counts = []
        for number, size in enumerate(self.codebooks):
            chosen = codes[:, number].flatten()
            counts.append(torch.bincount(chosen[chosen >= 0], minlength=size))
        return torch.cat(counts)

    @torch.no_grad()
    def _take(self, joined: Tensor) -> None:
        """Move the shares towards counts, which are added up over processes in place."""
        add_up(joined)
        for share, count in zip(self.shares, torch.split(joined, list(self.codebooks)), strict=True):
            total = count.sum()
            # Without a branch on the device's number: a codebook that nobody used keeps its shares.
            share.lerp_(count.to(share) / total.clamp(min=1), (1 - self.decay) * (total > 0).to(share))

    def facts(self, frame_rate: float) -> dict[str, Tensor]:
        """Describe the shares.

        Args:
            frame_rate: frames a second.

        Returns:
            "codebook/<number>/entropy" in bits, "codebook/<number>/used", the share of entries in use (those chosen at
            least a tenth as often as if all were alike), and "bitrate" in kbit/s: what an ideal entropy coder needs.
        """
        facts: dict[str, Tensor] = {}
        total = torch.zeros((), device=self.shares[0].device)
        for number, share in enumerate(self.shares):
            entropy = -torch.special.xlogy(share, share).sum() / torch.log(torch.tensor(2.0))
            facts[f"codebook/{number}/entropy"] = entropy
            facts[f"codebook/{number}/used"] = (share > 0.1 / len(share)).float().mean()
            total = total + entropy
        return facts | {"bitrate": total * frame_rate / 1000}
