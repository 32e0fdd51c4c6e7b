"""Factorised VQ: Descript's codes, losses, gradients and dropout with its weights, and what a bottleneck promises."""

from typing import Any

import descript
import pytest
import torch
from torch import Tensor

from generators.contract import Bottleneck, ModelError
from generators.factorised import FactorisedVQ

DIMENSION = 32


def pair(dropout: float = 0.0, books: int = 3) -> tuple[FactorisedVQ, Any]:
    """Build ours and Descript's with the same weights."""
    theirs = descript.build(n_codebooks=books, quantizer_dropout=dropout).quantizer
    ours = FactorisedVQ(DIMENSION, books, 20, 4, dropout).eval()
    with torch.no_grad():
        for mine, other in zip(ours.books, theirs.quantizers, strict=True):
            for layer, source in ((mine.enter, other.in_proj), (mine.leave, other.out_proj)):
                layer.weight.copy_(torch._weight_norm(source.weight_v, source.weight_g, 0))
                layer.bias.copy_(source.bias)
            mine.entries.copy_(other.codebook.weight)
    return ours, theirs


def latents(examples: int = 4, frames: int = 50) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(examples, DIMENSION, frames, generator=generator)


def assert_alike(ours: FactorisedVQ, theirs: Any, seed: int = 0) -> Tensor:
    """Hold values, losses and gradients to Descript's; give the codes."""
    hidden, other = latents().requires_grad_(), latents().requires_grad_()
    torch.manual_seed(seed)
    latent = ours(hidden)
    torch.manual_seed(seed)
    values, codes, _, commitment, codebook = theirs(other)
    assert latent.codes is not None
    kept = latent.codes >= 0
    assert torch.equal(latent.codes[kept], codes[kept])
    torch.testing.assert_close(latent.values, values, atol=1e-5, rtol=0)
    torch.testing.assert_close(latent.penalties["commitment"], commitment)
    torch.testing.assert_close(latent.penalties["codebook"], codebook)
    weights = torch.randn(values.shape, generator=torch.Generator().manual_seed(6))
    loss = (latent.values * weights).sum() + 25 * latent.penalties["commitment"] + 100 * latent.penalties["codebook"]
    loss.backward()
    ((values * weights).sum() + 25 * commitment + 100 * codebook).backward()
    assert hidden.grad is not None and hidden.grad.abs().max() > 0.1
    torch.testing.assert_close(hidden.grad, other.grad, atol=1e-4, rtol=1e-4)
    for mine, source in zip(ours.books, theirs.quantizers, strict=True):
        torch.testing.assert_close(mine.entries.grad, source.codebook.weight.grad, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(mine.enter.bias.grad, source.in_proj.bias.grad, atol=1e-3, rtol=1e-4)
        torch.testing.assert_close(mine.leave.bias.grad, source.out_proj.bias.grad, atol=1e-3, rtol=1e-4)
    return latent.codes


def test_is_descripts_in_use() -> None:
    ours, theirs = pair(dropout=0.5)
    codes = assert_alike(ours, theirs)
    assert codes.min() == 0 and codes.unique().numel() > 15


def test_is_descripts_in_training() -> None:
    ours, theirs = pair()
    assert_alike(ours.train(), theirs.train())


@pytest.mark.parametrize("dropout", [0.5, 0.75, 1.0])
def test_is_descripts_in_training_with_dropout(dropout: float) -> None:
    ours, theirs = pair(dropout)
    ours.train()
    theirs.train()
    codes = torch.cat([assert_alike(ours, theirs, seed) for seed in range(3)])
    assert (codes == -1).any()


@torch.no_grad()
def test_codes_and_values_with_any_number_of_codebooks_are_descripts() -> None:
    ours, theirs = pair()
    hidden = latents()
    codes = ours.encode(hidden)
    for books in (1, 2, 3):
        values, expected, *_ = theirs(hidden, books)
        assert torch.equal(codes[:, :books], expected)
        torch.testing.assert_close(ours.decode(codes[:, :books]), values, atol=1e-5, rtol=0)


@torch.no_grad()
def test_passing_through_is_encoding_and_decoding() -> None:
    ours, _ = pair()
    assert isinstance(ours, Bottleneck)
    assert (ours.dimension, ours.codebooks, ours.width, ours.block) == (DIMENSION, (20, 20, 20), 3, 1)
    latent = ours(latents())
    assert latent.codes is not None
    assert torch.equal(ours.encode(latents()), latent.codes)
    torch.testing.assert_close(ours.decode(latent.codes), latent.values)


@torch.no_grad()
def test_each_frame_stands_for_itself() -> None:
    ours, _ = pair()
    hidden = latents()
    codes = ours.encode(hidden)
    for frame in (0, 7, 49):
        assert torch.equal(ours.encode(hidden[1:2, :, frame : frame + 1]), codes[1:2, :, frame : frame + 1])


@torch.no_grad()
def test_dropout_leaves_out_the_last_codebooks_of_a_share_of_the_examples() -> None:
    ours, _ = pair(dropout=0.5, books=4)
    ours.train()
    torch.manual_seed(0)
    lengths = []
    for _ in range(100):
        latent = ours(latents(8, 2))
        assert latent.codes is not None
        used = latent.codes >= 0
        assert (used == used[:, :, :1]).all()
        assert (used[:, 1:] <= used[:, :-1]).all() and used[:, 0].all()
        assert used[4:].all()
        torch.testing.assert_close(ours.decode(latent.codes), latent.values)
        lengths.append(used[:4, :, 0].sum(dim=1))
    counts = torch.bincount(torch.cat(lengths), minlength=5)
    assert counts[0] == 0
    assert (counts[1:] > 70).all() and (counts[1:] < 130).all()
    ours.eval()
    assert (ours(latents()).codes >= 0).all()


@torch.no_grad()
def test_a_share_that_is_no_whole_number_is_met_on_average() -> None:
    ours, _ = pair(dropout=0.3)
    ours.train()
    torch.manual_seed(0)
    short = [(ours._draw(1, torch.device("cpu")) < 3).sum() for _ in range(600)]
    # 0.3 of them draw a number, of which a third is all three.
    assert 90 < int(torch.stack(short).sum()) < 150


def test_it_learns() -> None:
    torch.manual_seed(0)
    ours = FactorisedVQ(DIMENSION, 3, 20, 4, dropout=0.0)
    hidden = torch.randn(20, DIMENSION)[torch.randint(0, 20, (4, 50))].transpose(1, 2)
    optimiser = torch.optim.Adam(ours.parameters(), 1e-2)
    errors = []
    for _ in range(60):
        latent = ours(hidden)
        error = (latent.values - hidden).square().mean()
        errors.append(float(error.detach()))
        optimiser.zero_grad()
        (error + 0.25 * latent.penalties["commitment"] + latent.penalties["codebook"]).backward()
        optimiser.step()
    assert errors[-1] < 0.2 * errors[0]


@torch.no_grad()
def test_autocast_changes_nothing() -> None:
    ours, _ = pair()
    expected = ours(latents())
    with torch.autocast("cpu", torch.bfloat16):
        found = ours(latents())
        assert torch.equal(ours.encode(latents()), expected.codes)
    assert torch.equal(found.values, expected.values) and torch.equal(found.codes, expected.codes)
    assert found.values.dtype == torch.float32


def test_more_codes_than_codebooks_are_refused() -> None:
    ours, _ = pair()
    with pytest.raises(ModelError, match="4 codes a frame"):
        ours.decode(torch.zeros(1, 4, 2, dtype=torch.int64))


@pytest.mark.parametrize(
    "arguments",
    [{"dimension": 0}, {"codebooks": 0}, {"entries": 1}, {"code_dimension": 0}, {"dropout": 1.5}, {"codebooks": 1}],
    ids=str,
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ModelError):
        FactorisedVQ(**arguments)
