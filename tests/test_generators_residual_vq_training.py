"""Residual VQ in training: no edits in place, gradients reach whom they should, codebooks do not collapse."""

from copy import deepcopy

import pytest
import torch
from test_generators_residual_vq import PLAIN, entries_of, fitted, mixture, taught
from torch import nn

from generators.residual_vq import ResidualVQ
from generators.usage import Usage


@pytest.mark.parametrize("learning", ["ema", "gradient"])
def test_usage_stays_high_on_clusters(learning: str) -> None:
    torch.manual_seed(0)
    quantiser = ResidualVQ(4, 2, 16, learning=learning, decay=0.9)  # type: ignore[arg-type]
    encoder = nn.Conv1d(4, 4, 1)
    usage = Usage(quantiser.codebooks, decay=0.9)
    optimiser = torch.optim.Adam([*encoder.parameters(), *quantiser.parameters()], 1e-3)
    for step in range(100):
        hidden = mixture(16, seed=step)
        latent = quantiser(encoder(hidden))
        optimiser.zero_grad()
        ((latent.values - hidden).square().mean() + sum(latent.penalties.values())).backward()
        optimiser.step()
        quantiser.learn()
        usage.count(latent.codes)
    facts = usage.facts(100)
    assert facts["codebook/0/used"] == 1.0 and facts["codebook/1/used"] > 0.9
    assert facts["codebook/0/entropy"] > 3.5 and facts["codebook/1/entropy"] > 3


@pytest.mark.parametrize("arguments", [{}, {"dropout": 0.9}, {"learning": "gradient"}, {"codebooks": 1}])
def test_the_encoder_hears_the_decoder_once_straight_through(arguments: dict[str, object]) -> None:
    quantiser = fitted(2, **arguments)
    hidden = mixture(16).requires_grad_()
    weight = torch.randn_like(hidden)
    (quantiser(hidden).values * weight).sum().backward()
    assert hidden.grad is not None
    assert torch.equal(hidden.grad, weight)
    assert all(parameter.grad is None for parameter in quantiser.parameters())


def test_rotation_carries_gradients_along_with_the_latent() -> None:
    quantiser = fitted(2, rotation=True)
    hidden = (mixture(16) + 0.5).requires_grad_()
    values = quantiser(hidden).values
    weight = torch.randn_like(hidden)
    (values * weight).sum().backward()
    assert hidden.grad is not None
    # A rotation and a scaling keep angles: what the gradient says along the entry, it says along the latent.
    with torch.no_grad():
        lengths = [x.norm(dim=1) for x in (hidden, values)]
        along_latent = (hidden.grad * hidden).sum(1) / lengths[0]
        along_entry = (weight * values).sum(1) / lengths[1]
        scale = lengths[1] / lengths[0]
        torch.testing.assert_close(along_latent, along_entry * scale, atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(hidden.grad.norm(dim=1), weight.norm(dim=1) * scale, atol=1e-3, rtol=1e-3)
    assert not torch.allclose(hidden.grad, weight, atol=0.1)


@pytest.mark.parametrize("learning", ["ema", "gradient"])
def test_penalties_are_unweighted_and_reach_only_whom_they_should(learning: str) -> None:
    quantiser = fitted(2, learning=learning, **PLAIN)
    books = [torch.from_numpy(book) for book in entries_of(quantiser)]
    hidden = mixture(16, seed=9).requires_grad_()
    latent = quantiser(hidden)
    residual, expected = hidden.detach().transpose(1, 2), 0.0
    for number, book in enumerate(books):
        residual = residual - book[latent.codes[:, number]]
        expected += float(residual.square().mean())
    assert set(latent.penalties) == ({"commitment"} if learning == "ema" else {"commitment", "codebook"})
    assert all(x.item() == pytest.approx(expected, rel=1e-5) for x in latent.penalties.values())
    latent.penalties["commitment"].backward()
    assert hidden.grad is not None and hidden.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in quantiser.parameters())
    if learning == "gradient":
        hidden.grad = None
        quantiser(hidden).penalties["codebook"].backward()
        assert hidden.grad is None
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in quantiser.parameters())


def test_the_input_and_the_residuals_are_left_as_they_were() -> None:
    quantiser = fitted(1)
    hidden = mixture(16, seed=3)
    kept, version = hidden.clone(), hidden._version
    quantiser(hidden)
    quantiser.encode(hidden)
    assert torch.equal(hidden, kept) and hidden._version == version
    projected = hidden.transpose(1, 2)
    residuals = [residual for residual, _, _ in quantiser._residuals(projected, starts=True)]
    assert len({one.data_ptr() for one in residuals}) == 3
    assert torch.equal(residuals[0], projected)


def test_a_critic_between_learning_and_judging_leaves_no_gradient_behind() -> None:
    quantiser, critic = fitted(2, learning="gradient", code_dimension=3), nn.Conv1d(4, 1, 1)
    latent = quantiser(mixture(16))
    critic(latent.values.detach()).mean().backward()
    assert all(parameter.grad is None for parameter in quantiser.parameters())
    for parameter in critic.parameters():
        parameter.requires_grad_(False).grad = None
    critic(latent.values).mean().backward()
    assert all(parameter.grad is None for parameter in critic.parameters())
    assert quantiser.enter.weight.grad is not None
    assert all(quantiser._books[number].embed.grad is None for number in range(3))


def test_dropout_leaves_the_last_codebooks_out_for_its_share_of_examples() -> None:
    torch.manual_seed(0)
    quantiser = ResidualVQ(4, 4, 8, dropout=0.6, **PLAIN)  # type: ignore[arg-type]
    before = deepcopy(quantiser)
    hidden = torch.randn(2000, 4, 3, requires_grad=True)
    latent = quantiser(hidden)
    codes = latent.codes
    assert ((codes >= 0).all(-1) == (codes >= 0).any(-1)).all()  # an example as a whole
    count = (codes[..., 0] >= 0).sum(1)
    assert (codes[torch.arange(2000), count - 1] >= 0).all()  # from the last one on
    shares = torch.bincount(count, minlength=5) / 2000
    torch.testing.assert_close(shares, torch.tensor([0, 0.2, 0.2, 0.2, 0.4]), atol=0.04, rtol=0)
    (latent.values.square().mean() + latent.penalties["commitment"]).backward()
    assert hidden.grad is not None and torch.isfinite(hidden.grad).all()
    torch.testing.assert_close(latent.values, before.decode(codes))


def test_dropout_changes_nothing_of_what_codebooks_learn() -> None:
    torch.manual_seed(0)
    one = ResidualVQ(4, 3, 16, **PLAIN)  # type: ignore[arg-type]
    two = deepcopy(one)
    two.dropout = 1.0
    before = entries_of(one)
    with_all, with_few = taught(one, mixture(16)), taught(two, mixture(16))
    assert (entries_of(one)[2] != before[2]).any()
    assert all(torch.equal(x, y) for x, y in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    assert with_few.penalties["commitment"] < with_all.penalties["commitment"]
