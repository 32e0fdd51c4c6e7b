"""One codebook of vectors: which entry is nearest, how entries start, follow what chose them, and are revived.

Parts of a batch leave sums behind, not frames: the notes are as large as the codebook, whatever the batch.

The start by k-means, the moving averages, the revival and its synchronisation over processes are
vector-quantize-pytorch's.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor
from vector_quantize_pytorch.vector_quantize_pytorch import (
    Codebook,
    batched_sample_vectors,
    ema_inplace,
    sample_vectors_distributed,
)

from generators.joined import all_finite

# Up to so many numbers an entry, distances are added up difference by difference: a frame's codes then depend neither
# on its neighbours in the batch nor on TF32, and it costs little. Beyond, a matrix product is ten times faster.
EXACT_WIDTH = 64
# 2**32 by the golden ratio: multiples of it, modulo 2**32, are spread evenly whichever stretch of them is looked at.
SPREADING = 2654435769


@dataclass
class Notes:
    """What a codebook has seen since it moved last.

    Attributes:
        counts: how many frames chose each entry, [entries].
        sums: of these frames, [entries, width].
        seen: how many frames there were.
        spare: some of them from all over, to revive entries with, [up to entries, width].
        ranks: of these, [up to entries]; a frame's follows from how many came before it, the lowest are kept. So the
            same frames are spare, whatever parts a batch comes in.
    """

    counts: Tensor
    sums: Tensor
    seen: int
    spare: Tensor
    ranks: Tensor


class Book(Codebook):  # type: ignore[misc]  # the library has no types
    """A codebook that notes what chose its entries, and moves them once for all notes.

    Args:
        width: numbers an entry has.
        entries: how many.
        learning: "ema" or "gradient", see generators.residual_vq.ResidualVQ for all that follow.
        decay: of the moving averages.
        kmeans: wait for `start`; entries are random until then.
        iterations: of k-means.
        revive: share of the even use below which an entry is replaced.
    """

    initted: Tensor
    cluster_size: Tensor
    embed_avg: Tensor
    notes: Notes | None
    started: bool  # since the last `move`

    def __init__(
        self,
        width: int,
        entries: int,
        learning: Literal["ema", "gradient"],
        decay: float,
        kmeans: bool,
        iterations: int,
        revive: float,
    ) -> None:
        super().__init__(
            dim=width,
            codebook_size=entries,
            kmeans_iters=iterations,
            decay=decay,
            threshold_ema_dead_code=revive,
            learnable_codebook=learning == "gradient",
            ema_update=learning == "ema",
        )
        self.revive = revive
        # Not by the library's kmeans_init: that has zeros for entries until then, and starts in eval mode too.
        self.initted.fill_(not kmeans)
        self.notes, self.started = None, False

    def __getstate__(self) -> dict[str, Any]:
        """What a copy takes over: notes are not the copy's."""
        return self.__dict__ | {"notes": None}

    @torch.no_grad()
    def start(self, flat: Tensor) -> None:
        """Start by k-means of [n, width], unless that would spoil the codebook for good."""
        if all_finite(flat):
            self._synchronise()
            self.init_embed_(flat.unsqueeze(0))
            self.started = True

    @torch.no_grad()
    def note(self, flat: Tensor, chosen: Tensor) -> None:
        """Count who chose what: [n, width] and [n]."""
        if not (self.ema_update or self.revive):
            return
        entries, width = self.codebook_size, flat.shape[1]
        if self.notes is None:
            empty = flat.new_zeros(entries), flat.new_zeros(entries, width)
            self.notes = Notes(*empty, 0, flat.new_empty(0, width), chosen.new_empty(0))
        notes = self.notes
        notes.counts.index_add_(0, chosen, flat.new_ones(len(flat)))
        notes.sums.index_add_(0, chosen, flat)
        if self.revive:
            places = torch.arange(notes.seen, notes.seen + len(flat), device=flat.device)
            ranks = torch.cat([notes.ranks, places * SPREADING % 2**32])
            lowest = ranks.topk(min(len(ranks), entries), largest=False).indices
            notes.spare, notes.ranks = torch.cat([notes.spare, flat])[lowest], ranks[lowest]
        notes.seen += len(flat)

    @torch.no_grad()
    def move(self) -> None:
        """Move the averages on, the entries with them (unless they learn by gradient), and revive the dead.

        This is the library's `update_codebook`, but for sums that are there already. It would make them anew as a
        matrix product of frames and choices: as many numbers as there are frames times entries, and inexact in TF32.
        """
        if self.notes is not None:
            self._synchronise()
            # The library's threshold is in frames a call; a share of the even use holds for every size of batch.
            even = self.cluster_size.mean()
            self.threshold_ema_dead_code, self.reset_cluster_size = self.revive * even, even
            for average, noted in ((self.cluster_size, self.notes.counts), (self.embed_avg, self.notes.sums)):
                self.all_reduce_fn(noted)
                ema_inplace(average, noted.unsqueeze(0), self.decay)
            if self.ema_update:
                self.update_ema()
            self.expire_codes_(self.notes.spare.unsqueeze(0))
        self.notes, self.started = None, False

    def forget(self) -> None:
        """Drop the notes, and take back a start since the last `move`: the next one makes all of it anew."""
        if self.started:
            self.initted.fill_(False)
        self.notes, self.started = None, False

    def _synchronise(self) -> None:
        """Learn from all processes, whether the codebook was built before they met or after.

        The library asks when a codebook is built, and remembers the first answer for all that follow.
        """
        joined = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        self.sample_fn = self.replace_sample_fn = sample_vectors_distributed if joined else batched_sample_vectors
        self.all_reduce_fn = self.kmeans_all_reduce_fn = dist.all_reduce if joined else _alone


def _alone(_: Tensor) -> None:
    """Add up over one process."""


def nearest(vectors: Tensor, entries: Tensor) -> Tensor:
    """Find the nearest of [entries, width] to each of [n, width]: [n], int64; of equals the first."""
    exact = entries.shape[1] <= EXACT_WIDTH
    mode = "donot_use_mm_for_euclid_dist" if exact else "use_mm_for_euclid_dist"
    return torch.cdist(vectors, entries, compute_mode=mode).argmin(dim=-1)
