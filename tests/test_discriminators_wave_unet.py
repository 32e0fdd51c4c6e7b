"""The Wave-U-Net critic: a score of every sample, each example by itself, the paper's blocks and size; it learns."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonargparse import ArgumentParser
from torch import Tensor, nn

from discriminators.contract import Opinion
from discriminators.wave_unet import Down, Up, WaveUNet, globally_normalised
from gan.adversarial import LeastSquares
from gan.config import load

RECIPES = Path(__file__).parents[1] / "recipes"


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def tiny() -> WaveUNet:
    return WaveUNet(channels=4, depth=3)


def noise(*shape: int) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def equal(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=0.0, atol=1e-12)


def maps(opinion: Opinion) -> list[Tensor]:
    return [opinion.score, *opinion.features]


@given(samples=st.integers(1, 700))
@settings(max_examples=25, deadline=None)
def test_any_length_has_a_score_for_every_sample(samples: int) -> None:
    opinion = tiny()(noise(2, 1, samples))
    assert opinion.score.shape == (2, 1, samples)
    assert all(torch.isfinite(one).all() for one in maps(opinion))


def test_the_features_are_the_blocks_down_and_up() -> None:
    features = tiny()(noise(1, 1, 270)).features
    shapes = [(4, 90), (8, 30), (16, 10), (8, 30), (4, 90), (4, 270)]
    assert [tuple(feature.shape[1:]) for feature in features] == shapes


def test_the_paper_s_size() -> None:
    """Kaneko et al. count a 14.5th of the 70.7 M of HiFi-GAN's critics."""
    network = WaveUNet()
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == 4_856_127
    assert 70.7e6 / count == pytest.approx(14.5, abs=0.1)
    assert len(network(noise(1, 1, 500)).features) == 10


@pytest.mark.parametrize(("channels", "depth"), [(1, 3), (4, 0)])
def test_too_small_is_refused(channels: int, depth: int) -> None:
    with pytest.raises(ValueError, match="2 channels and a depth of 1 at least"):
        WaveUNet(channels, depth)


@pytest.mark.parametrize("width", [1, 4])
def test_a_block_down_is_the_paper_s(width: int) -> None:
    block, hidden = Down(width, 8).double(), noise(2, width, 27).double()
    pooled, active = F.avg_pool1d(hidden, 3), F.leaky_relu(hidden, 0.1)
    duplicated = F.avg_pool1d(active, 3).repeat(1, 8 // width, 1)
    residual = block.even(F.leaky_relu(block.strided(active) + duplicated, 0.1))
    expected = torch.cat([block.further(pooled), pooled], dim=1) + 0.4 * residual
    expected = expected / (expected.square().mean(dim=(1, 2), keepdim=True) + 1e-8).sqrt()
    equal(block(hidden), expected)


@pytest.mark.parametrize("width", [4, 16])
def test_a_block_up_is_the_paper_s(width: int) -> None:
    block, hidden = Up(width, 4).double(), noise(2, width, 9).double()
    active = F.leaky_relu(hidden, 0.1)
    dropped = F.interpolate(active, scale_factor=3, mode="nearest")[:, :4]
    residual = block.even(F.leaky_relu(block.strided(active) + dropped, 0.1))
    expected = F.interpolate(block.fewer(hidden), scale_factor=3, mode="nearest") + 0.4 * residual
    expected = expected / (expected.square().mean(dim=(1, 2), keepdim=True) + 1e-8).sqrt()
    equal(block(hidden), expected)


def test_the_gradient_is_what_differences_say() -> None:
    """What is done in place must not be needed afterwards."""
    network = WaveUNet(channels=2, depth=2).double()
    waveform = noise(2, 1, 20).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda heard: tuple(maps(network(heard))), waveform)


def test_each_channel_is_judged_by_itself() -> None:
    network, stereo = tiny().double(), noise(2, 2, 901).double()
    together = network(stereo)
    apart = [network(one[None, None]) for example in stereo for one in example]
    for index, opinion in enumerate(apart):
        for whole, part in zip(maps(together), maps(opinion), strict=True):
            equal(whole[index], part[0])


def test_an_example_does_not_hear_its_neighbours() -> None:
    network, batch = tiny().double(), noise(3, 1, 500).double()
    louder = batch * torch.tensor([1.0, 50.0, 0.0]).view(3, 1, 1)
    for one, other in zip(maps(network(batch)), maps(network(louder)), strict=True):
        equal(one[0], other[0])
        assert not torch.allclose(one[1], other[1], atol=1e-3)


def test_double_precision_stays() -> None:
    assert {one.dtype for one in maps(tiny().double()(noise(1, 1, 901).double()))} == {torch.float64}


def test_half_precision_keeps_the_norm() -> None:
    """Squares of ten thousands do not fit into float16, and sums of many do not fit into bfloat16's eight bits."""
    loud = 1e4 * noise(1, 8, 9000)
    expected = globally_normalised(loud)
    for dtype, precision in ((torch.float16, 2e-3), (torch.bfloat16, 2e-2)):
        given = globally_normalised(loud.to(dtype))
        assert given.dtype == dtype
        torch.testing.assert_close(given.float(), expected, rtol=precision, atol=1e-3)
    network, waveform = tiny(), noise(1, 1, 901)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        score = network(waveform).score
    assert torch.allclose(score.float(), network(waveform).score, atol=0.05)


def test_everything_learns_from_the_critic_s_loss_alone() -> None:
    network = tiny()
    LeastSquares().learn(network(noise(2, 1, 901)).score, network(noise(2, 1, 901).flip(-1)).score).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


def test_every_sample_is_heard_and_silence_has_a_finite_gradient() -> None:
    for waveform in (noise(2, 1, 901), torch.zeros(2, 1, 901)):
        waveform.requires_grad_()
        LeastSquares().judge(tiny()(waveform).score).backward()
        assert waveform.grad is not None
        assert (waveform.grad != 0).float().mean() > 0.9
        assert waveform.grad.abs().max() < 10


def test_every_map_has_a_level_of_one() -> None:
    for gain in (0.01, 1.0, 100.0):
        for feature in tiny()(gain * noise(2, 1, 540)).features:
            torch.testing.assert_close(feature.square().mean(dim=(1, 2)), torch.ones(2), rtol=1e-3, atol=0.0)


def test_without_biases_a_gain_changes_nothing() -> None:
    network, waveform = tiny().double(), noise(2, 1, 540).double()
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
    for one, other in zip(maps(network(waveform)), maps(network(30 * waveform)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(network(waveform).score, network(-waveform).score, atol=1e-2)


def test_a_score_is_of_the_samples_around_it() -> None:
    """What is far away is heard through the norms alone."""
    network, waveform = tiny().double(), noise(1, 1, 2700).double().requires_grad_()
    for place in (1000, 1400, 1700):
        gradient = torch.autograd.grad(network(waveform).score[0, 0, place], waveform)[0][0, 0]
        energy = gradient.square() / gradient.square().sum()
        offset = torch.arange(2700) - place
        assert energy[offset.abs() < 27].sum() > 0.9
        assert (offset * energy).sum().abs() < 9
        assert energy[offset.abs() > 200].sum() < 1e-3


def test_what_moves_moves_its_scores() -> None:
    """A sound in silence, 27 samples later: the same scores, 27 samples later; the ends hear the same zeros."""
    network, waveform = tiny().double(), torch.zeros(1, 1, 1350).double()
    waveform[..., 540:810] = 10 * noise(270)
    score = network(waveform).score
    later = network(waveform.roll(27, dims=-1)).score
    equal(later[..., 300:-300], score.roll(27, dims=-1)[..., 300:-300])
    assert not torch.allclose(later[..., 540:810], score[..., 540:810], atol=0.1)


def test_one_graph_for_the_compiler() -> None:
    network, waveform = tiny(), noise(1, 1, 901)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    assert torch.allclose(compiled(waveform).score, network(waveform).score, atol=1e-6)


def test_a_configuration_names_it_as_a_member() -> None:
    parser = ArgumentParser()
    parser.add_argument("--panel", type=nn.Module)
    member = {"class_path": "discriminators.wave_unet.WaveUNet", "init_args": {"channels": 4, "depth": 2}}
    panel = {"class_path": "discriminators.ensemble.Ensemble", "init_args": {"members": {"wave_unet": member}}}
    built = parser.instantiate(parser.parse_object({"panel": panel})).panel
    assert built(noise(2, 1, 300))["wave_unet"].score.shape == (2, 1, 300)


def test_its_recipe_is_a_panel_of_a_stage() -> None:
    panel = RECIPES / "critics" / "wave_unet.yaml"
    recipe = load(["--adversary.panel", str(panel)], RECIPES / "tiny" / "stage3.yaml").build()
    assert recipe.adversary is not None
    member = recipe.adversary.panel.members["wave_unet"]
    assert isinstance(member, WaveUNet)
    assert (len(member.downs), member.last.in_channels) == (5, 32)


def tones(hertz: float, generator: torch.Generator) -> Tensor:
    """Eight tones at 8 kHz, [8, 1, 800], of any phase."""
    phases = 2 * torch.pi * torch.rand(8, 1, 1, generator=generator)
    return 0.5 * torch.sin(2 * torch.pi * hertz * torch.arange(800) / 8000 + phases)


def test_it_learns_to_tell_two_tones_apart() -> None:
    network, generator = WaveUNet(channels=8, depth=3), torch.Generator().manual_seed(2)
    optimiser = torch.optim.Adam(network.parameters(), 5e-3)
    for _ in range(80):
        loss = LeastSquares().learn(network(tones(500, generator)).score, network(tones(1500, generator)).score)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        real, fake = (network(tones(hertz, generator)).score.mean(dim=(1, 2)) for hertz in (500, 1500))
    assert real.min() > 0.75
    assert fake.max() < 0.25
