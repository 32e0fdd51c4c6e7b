"""Scalar quantisation: all entries can be reached, errors are bounded, what is written down is what was passed on."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from generators import store
from generators.contract import Bottleneck, ModelError
from generators.scalar import FSQ, ResidualFSQ

KINDS = [
    FSQ(4, (8, 5, 5, 5)),
    FSQ(6, (4, 3)),
    ResidualFSQ(4, (8, 5, 5, 5), 3),
    ResidualFSQ(6, (2, 3), 4),
    ResidualFSQ(6, (2, 3), 1),
]


def rounded(hidden: np.ndarray, levels: tuple[int, ...]) -> np.ndarray:
    """Mentzer et al.'s rule in float64: bend to a width of L - 1, shift even L by half a step, round, scale to 1."""
    level = np.array(levels)
    half = (level - 1) * 1.001 / 2
    offset = np.where(level % 2 == 0, 0.5, 0.0)
    return np.round(np.tanh(hidden + np.arctanh(offset / half)) * half - offset) / (level // 2)


@pytest.mark.parametrize("quantiser", KINDS)
def test_what_is_written_down_is_what_was_passed_on(quantiser: FSQ | ResidualFSQ) -> None:
    torch.manual_seed(0)
    quantiser = deepcopy(quantiser)
    hidden = 2 * torch.randn(3, quantiser.dimension, 50)
    kept = hidden.clone()
    for latent in (quantiser.train()(hidden), quantiser.eval()(hidden)):
        assert isinstance(quantiser, Bottleneck)
        assert latent.codes.shape == (3, quantiser.width, 50) and latent.codes.dtype == torch.int64
        assert latent.penalties == {}
        assert torch.equal(latent.codes, quantiser.encode(hidden))
        assert torch.equal(latent.values, quantiser.decode(latent.codes))
        assert latent.codes.min() >= 0 and latent.codes.max() < quantiser.codebooks[0]
    assert torch.equal(hidden, kept)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = quantiser(hidden)
        assert torch.equal(quantiser.decode(mixed.codes), latent.values)
    assert torch.equal(mixed.codes, latent.codes) and torch.equal(mixed.values, latent.values)
    assert mixed.values.dtype == torch.float32


def test_rounding_is_the_papers() -> None:
    levels = (8, 5, 5, 5)
    hidden = 2 * torch.randn(2, 4, 500, generator=torch.Generator().manual_seed(0))
    quantiser = FSQ(4, levels)
    expected = rounded(hidden.double().transpose(1, 2).numpy(), levels)
    values = quantiser(hidden).values.transpose(1, 2).numpy()
    np.testing.assert_allclose(values, expected, atol=1e-6)
    digits = expected * (np.array(levels) // 2) + np.array(levels) // 2
    np.testing.assert_array_equal(quantiser.encode(hidden)[:, 0], digits @ np.array([1, 8, 40, 200]))


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (3,), (4, 7, 3)])
def test_every_entry_is_another_one_and_is_reached(levels: tuple[int, ...]) -> None:
    quantiser = FSQ(len(levels), levels)
    entries = int(np.prod(levels))
    assert quantiser.codebooks == (entries,)
    code = torch.arange(entries).view(1, 1, -1)
    values = quantiser.decode(code)[0].T
    assert len(values.unique(dim=0)) == entries
    # The latent that bends to an entry, by the bound turned round: it is written down as that entry.
    level = torch.tensor(levels)
    half, offset = (level - 1) * 1.001 / 2, torch.where(level % 2 == 0, 0.5, 0.0)
    latent = torch.atanh((values * (level // 2) + offset) / half) - torch.atanh(offset / half)
    assert torch.equal(quantiser.encode(latent.T[None]), code)


def test_an_entry_is_at_most_half_a_step_from_the_bounded_latent() -> None:
    levels, step = (8, 5), torch.tensor([1 / 4, 1 / 2])
    hidden = 3 * torch.randn(1, 2, 2000, generator=torch.Generator().manual_seed(0))
    half, offset = torch.tensor([3.5035, 2.002]), torch.tensor([0.5, 0.0])
    bounded = (torch.tanh(hidden[0].T + torch.atanh(offset / half)) * half - offset) * step
    far = (FSQ(2, levels)(hidden).values[0].T - bounded).abs() / step
    assert far.max() <= 0.5 + 1e-4
    assert far.max() > 0.45


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (2, 3), (16,)])
def test_each_grid_divides_the_error_by_its_levels(levels: tuple[int, ...]) -> None:
    quantiser, level = ResidualFSQ(len(levels), levels, 4).double(), torch.tensor(levels).double()
    hidden = 3 * torch.randn(1, len(levels), 3000, generator=torch.Generator().manual_seed(0)).double()
    edge = 1 + 1 / (level - 1)
    bounded = edge * torch.tanh(hidden[0].T / edge)
    codes = quantiser.encode(hidden)
    for books in range(1, 5):
        far = (quantiser.decode(codes[:, :books])[0].T - bounded).abs().amax(0)
        # Half a step of the first grid, L - 1 steps over -1..1, for each later one over a width smaller by L.
        bound = level ** -(books - 1) / (level - 1)
        assert (far <= bound * (1 + 1e-6) + 1e-7).all()
        assert (far > 0.9 * bound).all()


def test_fewer_codes_and_left_out_ones_read_alike() -> None:
    quantiser = ResidualFSQ(6, (2, 3), 3)
    codes = quantiser.encode(torch.randn(2, 6, 40))
    short = torch.cat([codes[:, :1], torch.full_like(codes[:, 1:], -1)], dim=1)
    assert torch.equal(quantiser.decode(codes[:, :1]), quantiser.decode(short))
    with pytest.raises(ModelError, match="only 3 codebooks"):
        quantiser.decode(torch.cat([codes, codes], dim=1))
    with pytest.raises(ModelError, match="one codebook"):
        FSQ(6, (4, 3)).decode(codes)


def test_dropout_leaves_the_last_grids_out_for_its_share_of_examples() -> None:
    torch.manual_seed(0)
    quantiser = ResidualFSQ(2, (3, 3), 4, dropout=0.6)
    hidden = torch.randn(2000, 2, 3, requires_grad=True)
    latent = quantiser(hidden)
    count = (latent.codes >= 0).all(-1).sum(1)
    shares = torch.bincount(count, minlength=5) / 2000
    torch.testing.assert_close(shares, torch.tensor([0, 0.2, 0.2, 0.2, 0.4]), atol=0.04, rtol=0)
    assert torch.equal(latent.values, quantiser.decode(latent.codes))
    assert (quantiser.encode(hidden) >= 0).all() and (quantiser.eval()(hidden).codes >= 0).all()


@pytest.mark.parametrize("books", [1, 4])
def test_the_encoder_hears_the_decoder_once_through_the_bound(books: int) -> None:
    hidden = torch.randn(2, 2, 20, requires_grad=True)
    ResidualFSQ(2, (5, 5), books, dropout=0.5 * (books > 1))(hidden).values.sum().backward()
    edge = 1.25
    assert hidden.grad is not None
    torch.testing.assert_close(hidden.grad, 1 - torch.tanh(hidden.detach() / edge).square())
    hidden = torch.randn(2, 2, 20, requires_grad=True)
    FSQ(2, (5, 5))(hidden).values.sum().backward()
    torch.testing.assert_close(hidden.grad, 1.001 * (1 - torch.tanh(hidden.detach()).square()))


def test_projections_learn_and_entries_stay_in_use() -> None:
    torch.manual_seed(0)
    quantiser = ResidualFSQ(16, (5, 5), 2)
    encoder, spread = nn.Conv1d(16, 16, 1), nn.Conv1d(2, 16, 1).requires_grad_(False)
    optimiser = torch.optim.Adam([*encoder.parameters(), *quantiser.parameters()], 3e-2)
    losses = []
    for _ in range(200):
        hidden = spread(torch.randn(8, 2, 60))
        latent = quantiser(encoder(hidden))
        loss = (latent.values - hidden).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.1 * sum(losses[:10])
    assert latent.codes is not None
    assert len(latent.codes[:, 0].unique()) > 18


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    words = {"dimension": 6, "levels": [2, 3], "codebooks": 4}
    quantiser = ResidualFSQ(**words)  # type: ignore[arg-type]
    store.save(tmp_path / "model", quantiser, {"class_path": "generators.scalar.ResidualFSQ", "init_args": words})
    again = store.load(tmp_path / "model")
    hidden = torch.randn(1, 6, 30)
    assert torch.equal(again(hidden).values, quantiser(hidden).values)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        *((FSQ, {"levels": (2, 3)}), (FSQ, {"levels": ()}), (FSQ, {"dimension": 0}), (FSQ, {"levels": (256,) * 4})),
        *((ResidualFSQ, {"levels": (1,)}), (ResidualFSQ, {"codebooks": 0}), (ResidualFSQ, {"dropout": -1})),
        (ResidualFSQ, {"dropout": 0.5, "codebooks": 1}),
    ],
)
def test_arguments_out_of_range_are_refused(kind: type, wrong: dict[str, object]) -> None:
    with pytest.raises(ModelError):
        kind(**{"dimension": 4, "levels": (4, 4)} | wrong)
