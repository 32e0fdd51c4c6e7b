"""One codebook's notes: bounded, and a fair picture of the batch, whatever its parts."""

from typing import Any

import pytest
import torch
from test_generators_residual_vq import mixture
from torch import Tensor
from torch._dynamo.testing import CompileCounter
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from generators.residual_vq import ResidualVQ


class Largest(TorchDispatchMode):
    """Remembers how many numbers the largest tensor has that anything makes."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.numbers = max([self.numbers, *(x.numel() for x in tree_leaves(made) if isinstance(x, Tensor))])
        return made


@pytest.mark.parametrize(
    ("learning", "revive", "spare"), [("ema", 0.1, 8), ("ema", 0.0, 0), ("gradient", 0.1, 8), ("gradient", 0.0, None)]
)
def test_notes_are_as_large_as_the_codebook(learning: str, revive: float, spare: int | None) -> None:
    quantiser = ResidualVQ(4, 2, 8, learning=learning, revive=revive)  # type: ignore[arg-type]
    for seed in range(3):
        quantiser(mixture(8, seed=seed))  # of 2400 frames
    for book in quantiser._books:
        assert (book.notes is None) == (spare is None)
        if book.notes:
            kept = [x for x in vars(book.notes).values() if isinstance(x, Tensor)]
            assert sum(x.untyped_storage().nbytes() for x in kept) <= 4 * 8 * (1 + 4 + 4) + 8 * 8
            assert len(book.notes.spare) == spare
            assert book.notes.counts.sum() == 3 * 2400
    with Largest() as largest:
        quantiser.learn()
    assert largest.numbers <= 8 * 8
    assert all(book.notes is None for book in quantiser._books)


def test_spare_frames_are_from_all_over_the_batch() -> None:
    quantiser = ResidualVQ(1, 1, 64, kmeans=False, revive=0.1)
    for part in torch.arange(6400.0).view(4, 1, 1600):
        quantiser(part[None])
    notes = quantiser._books[0].notes
    assert notes is not None
    gaps = notes.spare.flatten().sort().values.diff()
    assert len(gaps) == 63
    assert gaps.min() > 50 and gaps.max() < 200, "100 apart, roughly"


def test_by_gradient_entries_move_only_to_be_revived() -> None:
    quantiser = ResidualVQ(4, 1, 8, learning="gradient", revive=0.1, decay=0.5, kmeans=False)
    book = quantiser._books[0]
    book.embed.data[0, -1] = 1000.0  # chosen by nobody: half is left of its average after each call
    hidden = quantiser._entries(0)[:-1].detach().T[None].repeat(1, 1, 20)
    for call in range(1, 6):
        before = book.embed[0].detach().clone()
        quantiser(hidden)
        quantiser.learn()
        assert torch.equal(before[:-1], book.embed[0, :-1])
        assert (book.cluster_size[0, :-1] > 10 * (1 - 0.5**call)).all()
    assert book.embed[0, -1].abs().max() < 1


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")  # the compiler looks at all there is
def test_more_notes_are_no_reason_to_compile_anew() -> None:
    torch._dynamo.reset()
    graphs = CompileCounter()
    quantiser = ResidualVQ(4, 2, 8, kmeans=False)
    compiled = torch.compile(quantiser, backend=graphs)
    compiled(mixture(8))
    compiled(mixture(8))
    counted = graphs.frame_count
    for _ in range(3):
        compiled(mixture(8))
    quantiser.learn()
    compiled(mixture(8))
    assert 0 < counted == graphs.frame_count
