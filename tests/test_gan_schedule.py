"""Learning rates as functions of the step, the average of the weights, and Muon's split."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from gan.averaging import Average
from gan.optimisers import Muon
from gan.schedule import Constant, ExponentialDecay, LinearDecay, set_rate


@given(steps=st.integers(1, 10_000), warm_up=st.integers(0, 100))
def test_linear_decay_falls_to_almost_zero(steps: int, warm_up: int) -> None:
    rate = LinearDecay(warm_up)
    assert 0 < rate(steps - 1, steps) <= 1 / steps + 1e-12
    assert rate(steps, steps) == 0
    assert rate(0, steps) == pytest.approx(1 / (warm_up + 1))


def test_rates_match_their_formulas() -> None:
    assert ExponentialDecay(0.5)(3, 100) == 0.125
    assert [Constant(3)(step, 9) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_setting_the_rate_twice_does_not_compound() -> None:
    optimiser = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=2.0)
    for factor in (0.5, 0.5, 0.25):
        set_rate(optimiser, factor)
    assert optimiser.param_groups[0]["lr"] == 0.5


def test_the_average_takes_buffers_over() -> None:
    norm = nn.BatchNorm1d(2)
    average = Average(norm, decay=0.9)
    norm(torch.randn(5, 2) + 3)
    average.update(norm)
    assert float(norm.running_mean.abs().sum()) > 0.1
    assert torch.equal(average.module.running_mean, norm.running_mean)
    assert int(average.module.num_batches_tracked) == 1


def test_the_average_is_the_sum_by_hand() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(layer.weight)
    average = Average(layer, decay=0.5)
    expected = 0.0
    for update in range(8):
        nn.init.constant_(layer.weight, update + 1.0)
        average.update(layer)
        decay = min(0.5, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * (update + 1.0)
    assert float(average.module.weight) == pytest.approx(expected, rel=1e-6)
    assert not average.module.weight.requires_grad
    with pytest.raises(ValueError, match="decay"):
        Average(layer, decay=1.0)


def test_muon_takes_matrices_and_adamw_the_rest() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv1d(2, 4, 3), nn.Conv1d(4, 4, 3, groups=4))
    network.register_parameter("alpha", nn.Parameter(torch.ones(1, 4, 1)))
    optimiser = Muon(network.parameters(), lr=0.1, adamw_lr=0.01, weight_decay=0.0)
    groups = {group["use_muon"]: group["params"] for group in optimiser.param_groups}
    assert [tuple(p.shape) for p in groups[True]] == [(4, 2, 3), (4, 1, 3)]
    assert [tuple(p.shape) for p in groups[False]] == [(1, 4, 1), (4,), (4,)]
    before = network[0].weight.detach().clone()
    network.alpha.grad = torch.ones_like(network.alpha)
    for parameter in network[0].parameters():
        parameter.grad = torch.randn_like(parameter)
    for parameter in network[1].parameters():
        parameter.grad = torch.randn_like(parameter)
    optimiser.step()
    # The update of a matrix is near orthogonal: its singular values are near the learning rate.
    singular = torch.linalg.svdvals((network[0].weight - before).detach().flatten(1)) / 0.1
    assert singular.min() > 0.5
    assert singular.max() < 1.5
    assert torch.allclose(network.alpha.detach(), torch.full((1, 4, 1), 0.99), atol=1e-5)
