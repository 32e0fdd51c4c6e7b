"""Winograd's convolution agrees with torch's, both ways, for any length."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from discriminators.period import ENOUGH, Period
from discriminators.winograd import _numbers, convolve, transforms


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(1, 4),
    channels=st.integers(1, 7),
    wider=st.integers(1, 7),
    places=st.integers(1, 40),
    biased=st.booleans(),
)
def test_it_is_torchs_convolution(batch: int, channels: int, wider: int, places: int, biased: bool) -> None:
    draw = torch.Generator().manual_seed(places)
    shapes = [(batch, channels, places), (wider, channels, 5), (wider,)]
    given = [torch.randn(shape, generator=draw, dtype=torch.float64) for shape in shapes][: 3 if biased else 2]
    ours, theirs = ([tensor.clone().requires_grad_() for tensor in given] for _ in range(2))
    made = convolve(*ours, *([] if biased else [None]))
    wanted = F.conv1d(*theirs, padding=2)
    assert made.shape == wanted.shape
    assert torch.allclose(made, wanted, rtol=0, atol=1e-12)
    weights = torch.randn(wanted.shape, generator=draw, dtype=torch.float64)
    (made * weights).sum().backward()
    (wanted * weights).sum().backward()
    for one, other in zip(ours, theirs, strict=True):
        assert one.grad is not None
        assert torch.allclose(one.grad, other.grad, rtol=0, atol=1e-11)


def test_single_precision_is_enough() -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(2, 512, 50), torch.randn(256, 512, 5) / 50
    exact = F.conv1d(hidden.double(), weight.double(), padding=2)
    assert (convolve(hidden, weight, None) - exact).abs().max() < 1e-5 * exact.abs().max()


def test_eight_products_make_four_outputs() -> None:
    of_input, of_weight, of_output = transforms(torch.float64, torch.device("cpu"))
    assert (of_input.shape, of_weight.shape, of_output.shape) == ((8, 8), (8, 5), (4, 8))


@pytest.mark.parametrize("weight_norm", [True, False])
def test_a_period_judges_the_same_by_it(weight_norm: bool) -> None:
    torch.manual_seed(0)
    wide, waveform = (
        Period(3, channels=ENOUGH // 32, weight_norm=weight_norm).double(),
        torch.randn(2, 1, 1000).double(),
    )
    assert wide.layers[-1].in_channels == ENOUGH
    used = []
    for layer in wide.layers:
        layer.register_forward_hook(lambda *_: used.append(1))
    opinion = wide(waveform)
    assert len(used) == 4, "the fifth layer works by itself"
    plain = [opinion.features[-2]]
    plain.append(F.leaky_relu(wide.layers[-1](plain[0]), 0.1))
    assert torch.allclose(opinion.features[-1], plain[1], rtol=0, atol=1e-12)
    assert opinion.features[-1].shape == plain[1].shape


def test_who_only_listens_first_does_not_keep_others_from_learning() -> None:
    _numbers.cache_clear()
    period, waveform = Period(2, channels=ENOUGH // 32), torch.randn(1, 1, 500)
    with torch.inference_mode():
        period(waveform)
    period(waveform).score.sum().backward()
    assert all(parameter.grad is not None for parameter in period.parameters())


def test_half_precision_is_left_to_torch() -> None:
    period, waveform = Period(2, channels=ENOUGH // 32), torch.randn(1, 1, 500)
    half = period.to(torch.bfloat16)(waveform.bfloat16())
    assert half.score.dtype == torch.bfloat16
    used = []
    period.layers[-1].register_forward_hook(lambda *_: used.append(1))
    period(waveform.bfloat16())
    assert used
