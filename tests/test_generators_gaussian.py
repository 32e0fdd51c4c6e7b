"""The Gaussian bottleneck: its divergence against torch's, draws as they should be, components against numpy's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from generators import store
from generators.codec import Codec
from generators.contract import Bottleneck, ModelError, Pair
from generators.gaussian import Gaussian, divergence, fidelity, principal_axes, truncate


def network(dimension: int = 6, width: int = 4) -> Gaussian:
    torch.manual_seed(0)
    return Gaussian(dimension, width)


def test_the_divergence_is_torchs() -> None:
    mean, scale = torch.randn(3, 4, 50).double(), torch.rand(3, 4, 50).double() * 3 + 1e-3
    expected = kl_divergence(Normal(mean, scale), Normal(torch.zeros(()).double(), 1.0))
    torch.testing.assert_close(divergence(mean, scale), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_the_penalty_is_a_sum_over_width_and_a_mean_over_frames(training: bool) -> None:
    made, hidden = network().train(training), torch.randn(2, 6, 30)
    mean, scale = made.posterior(hidden)
    expected = kl_divergence(Normal(mean, scale), Normal(torch.zeros(()), 1.0)).sum(dim=1).mean()
    torch.testing.assert_close(made(hidden).penalties["kl"], expected)


def test_channels_that_say_something_are_counted() -> None:
    made = network()
    with torch.no_grad():
        made.enter.weight.zero_()
        made.enter.weight[1] = 1
        made.enter.bias.zero_()
        # The inverse of softplus at 1, and a mean that says 0.0098, then 0.0113 nats.
        made.enter.bias[4:] = np.log(np.expm1(1 - 1e-4))
        made.enter.bias[2], made.enter.bias[3] = 0.14, 0.15
    latent = made(torch.randn(4, 6, 50))
    assert latent.facts["active"] == 2 and latent.codes is None


def test_draws_are_those_of_the_posterior() -> None:
    made = network(6, 6)
    with torch.no_grad():
        made.leave.weight.copy_(torch.eye(6)[..., None])
        made.leave.bias.zero_()
    hidden = torch.randn(1, 6, 1)
    mean, scale = (part.detach() for part in made.posterior(hidden))
    drawn = made(hidden.expand(1, 6, 40_000)).values.detach()
    assert ((drawn.mean(dim=-1) - mean[..., 0]).abs() < 5 * scale[..., 0] / 200).all()
    torch.testing.assert_close(drawn.std(dim=-1), scale[..., 0], rtol=0.03, atol=0)
    # One draw for each number: no two channels or frames share their noise.
    noise = ((drawn - mean) / scale)[0]
    assert (torch.corrcoef(noise) - torch.eye(6)).abs().max() < 0.03
    assert abs(float((noise[:, 1:] * noise[:, :-1]).mean())) < 0.02


def test_gradients_reach_mean_and_scale() -> None:
    made = network()
    made(torch.randn(1, 6, 20)).values.square().sum().backward()
    assert (made.enter.weight.grad.flatten(1).norm(dim=1) > 0).all()


def test_in_use_it_is_the_mean_every_time() -> None:
    made, hidden = network(), torch.randn(2, 6, 9)
    written = made.encode(hidden)
    assert torch.equal(written, made.encode(hidden)) and torch.equal(written, made.posterior(hidden)[0])
    assert not torch.equal(made(hidden).values, made(hidden).values)
    made.eval()
    assert torch.equal(made(hidden).values, made(hidden).values)
    assert torch.equal(made(hidden).values, made.decode(written))


def test_under_autocast_the_divergence_is_in_float32() -> None:
    made, hidden = network(), torch.randn(2, 6, 9)
    with torch.autocast("cpu", torch.bfloat16):
        latent = made(hidden)
    assert latent.penalties["kl"].dtype == torch.float32
    torch.testing.assert_close(latent.penalties["kl"], made(hidden).penalties["kl"], rtol=0.02, atol=0)


def spread(frames: int = 4000, seed: int = 3) -> Tensor:
    """Draw frames with variances of 100, 9, 4 and 0.01 along turned axes, off the middle."""
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(4, 4, generator=generator).double())[0]
    deviations = torch.tensor([10, 3, 2, 0.1]).double()
    return torch.randn(frames, 4, generator=generator).double() * deviations @ turn + torch.arange(4)


def test_components_are_those_of_numpys_svd() -> None:
    means = spread()
    middle, axes, variances = principal_axes(means)
    array = means.numpy()
    _, deviations, expected = np.linalg.svd(array - array.mean(0), full_matrices=False)
    np.testing.assert_allclose(middle, array.mean(0))
    np.testing.assert_allclose(variances, deviations**2 / len(array), rtol=1e-9)
    np.testing.assert_allclose(np.abs(axes.numpy() @ expected.T), np.eye(4), atol=1e-9)


def test_fidelity_counts_components() -> None:
    """Of 113.01 in all, the first holds .885, two .965 and three .9999."""
    assert fidelity(spread()) == {0.8: 1, 0.9: 2, 0.95: 2, 0.99: 3}
    assert fidelity(spread(), [0.0, 0.99999, 1.0]) == {0.0: 1, 0.99999: 4, 1.0: 4}
    assert fidelity(torch.ones(9, 3)) == dict.fromkeys((0.8, 0.9, 0.95, 0.99), 0)
    assert fidelity(torch.eye(2)[:, :1], [1.0]) == {1.0: 1}


@pytest.mark.parametrize("wrong", [torch.zeros(1, 3), torch.zeros(3), torch.full((4, 2), float("nan"))])
def test_what_is_no_table_is_refused(wrong: Tensor) -> None:
    with pytest.raises(ModelError, match="means"):
        fidelity(wrong)


def test_truncated_to_all_components_it_decodes_alike() -> None:
    made, hidden = network().eval(), torch.randn(3, 6, 400)
    means = made.encode(hidden).transpose(1, 2).flatten(0, 1).detach()
    narrow = truncate(made, means, 4)
    torch.testing.assert_close(
        narrow.decode(narrow.encode(hidden)), made.decode(made.encode(hidden)), rtol=0, atol=1e-4
    )
    torch.testing.assert_close(narrow.posterior(hidden)[1], torch.full((3, 4, 400), 0.1))
    assert not narrow.training and narrow.enter.weight.requires_grad


def test_truncated_to_two_components_it_keeps_their_share_of_the_latent() -> None:
    made, hidden = network().eval(), torch.randn(3, 6, 400)
    rows = made.encode(hidden).transpose(1, 2).flatten(0, 1).detach().numpy().astype(np.float64)
    narrow = truncate(made, torch.from_numpy(rows), 2)
    code = narrow.encode(hidden).transpose(1, 2).flatten(0, 1).detach().numpy()
    np.testing.assert_allclose(code.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(np.cov(code.T, bias=True), np.eye(2), atol=1e-4)
    _, _, axes = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    kept = (rows - rows.mean(0)) @ axes[:2].T @ axes[:2] + rows.mean(0)
    expected = made.decode(torch.from_numpy(kept).float().view(3, 400, 4).transpose(1, 2))
    torch.testing.assert_close(narrow.decode(narrow.encode(hidden)), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kept", [0, 5])
def test_more_components_than_there_are_cannot_be_kept(kept: int) -> None:
    with pytest.raises(ModelError, match="keep 1 to 4"):
        truncate(network(), spread(), kept)


class Frames(nn.Module):
    """A half that only cuts, or joins."""

    channels, dimension, frame, reach = 1, 6, 6, 0

    def __init__(self, back: bool) -> None:
        super().__init__()
        self.back = back

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).reshape(len(x), 1, -1) if self.back else x.view(len(x), -1, 6).transpose(1, 2)


def test_it_serves_in_a_codec(tmp_path: Path) -> None:
    made = network()
    assert isinstance(made, Bottleneck) and made.codebooks == () and (made.width, made.block) == (4, 1)
    codec = Codec(Frames(False), made, Frames(True), 8000)
    wave = torch.randn(2, 1, 100)
    assert codec(Pair(wave, wave, 8000)).penalties.keys() == {"kl"}
    code = codec.eval().encode(wave)
    assert code.shape == (2, 4, 17) and codec.decode(code, 100).shape == wave.shape
    spec = {"class_path": "generators.gaussian.Gaussian", "init_args": {"dimension": 6, "width": 4}}
    store.save(tmp_path / "m", made, spec)
    again = store.load(tmp_path / "m")
    assert isinstance(again, Gaussian) and torch.equal(
        again.encode(torch.ones(1, 6, 2)), made.encode(torch.ones(1, 6, 2))
    )


def test_arguments_and_codes_out_of_range_are_refused() -> None:
    with pytest.raises(ModelError):
        Gaussian(4, 0)
    with pytest.raises(ModelError, match="4 numbers"):
        network().decode(torch.zeros(1, 5, 3))
