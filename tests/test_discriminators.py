"""What every discriminator has to keep: any length, any number of channels, float64, autocast."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonargparse import ArgumentParser
from torch import Tensor, nn

from discriminators.ensemble import Ensemble, normalised
from discriminators.frames import SpectrogramFrames
from discriminators.period import Period
from discriminators.scale import WaveformScale, decimation_filter
from discriminators.spectrogram import MultiBandSpectrogram, STFTDiscriminator

TINY: dict[str, Callable[[], nn.Module]] = {
    "period": lambda: Period(3, channels=2),
    "bands": lambda: MultiBandSpectrogram(128, channels=2),
    "stft": lambda: STFTDiscriminator(128, channels=2),
    "scale": lambda: WaveformScale(2, channels=4),
    "frames": lambda: SpectrogramFrames(128, width=4, layers=2),
}
each = pytest.mark.parametrize("name", TINY)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def noise(*shape: int) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@each
@given(samples=st.integers(1, 700))
@settings(max_examples=25, deadline=None)
def test_any_length_from_one_sample(name: str, samples: int) -> None:
    opinion = TINY[name]()(noise(1, 1, samples))
    assert opinion.score.numel() > 0
    assert all(torch.isfinite(feature).all() for feature in [opinion.score, *opinion.features])


@each
def test_each_channel_is_judged_by_itself(name: str) -> None:
    network = TINY[name]().double()
    stereo = noise(2, 2, 901).double()
    together = network(stereo)
    apart = [network(one[None, None]) for example in stereo for one in example]
    for index, opinion in enumerate(apart):
        pairs = zip([together.score, *together.features], [opinion.score, *opinion.features], strict=True)
        assert all(torch.allclose(whole[index], part[0], atol=1e-12) for whole, part in pairs)


@each
def test_double_precision_stays(name: str) -> None:
    opinion = TINY[name]().double()(noise(1, 1, 901).double())
    assert {feature.dtype for feature in [opinion.score, *opinion.features]} == {torch.float64}


@each
def test_everything_learns_and_hears(name: str) -> None:
    network = TINY[name]()
    waveform = noise(2, 1, 901).requires_grad_()
    opinion = network(waveform)
    (opinion.score.square().mean() + sum(feature.abs().mean() for feature in opinion.features)).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())
    assert waveform.grad is not None
    assert (waveform.grad != 0).float().mean() > 0.9


@each
def test_one_graph_for_the_compiler(name: str) -> None:
    network = TINY[name]()
    waveform = noise(1, 1, 901)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    assert torch.allclose(compiled(waveform).score, network(waveform).score, atol=1e-6)


@each
def test_weight_norm_is_an_option_and_batch_norm_is_not(name: str) -> None:
    layers = list(TINY[name]().modules())
    assert any(hasattr(layer, "parametrizations") for layer in layers)
    assert not any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in layers)


@pytest.mark.parametrize("name", ["bands", "stft"])
def test_spectra_are_in_single_precision_under_autocast(name: str) -> None:
    """Convolutions may run in half precision there; an FFT would lose a tone 80 dB under another."""
    network = TINY[name]()
    seen: list[Tensor] = []
    first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    waveform = noise(1, 1, 901)
    network(waveform)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        network(waveform)
    network(waveform.bfloat16())
    assert [spectrum.dtype for spectrum in seen] == [torch.float32] * 3
    assert torch.equal(seen[0], seen[1])
    assert torch.allclose(seen[0], seen[2], atol=0.05)


@each
def test_silence_gives_finite_gradients(name: str) -> None:
    silence = torch.zeros(1, 1, 901, requires_grad=True)
    opinion = Ensemble({name: TINY[name]()})(silence)[name]
    (1 - opinion.score).square().mean().backward()
    assert silence.grad is not None
    assert silence.grad.abs().max() < 1e4


def test_normalised_removes_level_and_offset() -> None:
    waveform = noise(3, 2, 500)
    expected = normalised(waveform)
    assert torch.allclose(normalised(0.01 * waveform + 0.3), expected, atol=1e-4)
    assert torch.allclose(expected.abs().amax(dim=-1), torch.full((3, 2), 0.8))
    assert expected.mean(dim=-1).abs().max() < 1e-6
    assert normalised(1e-6 * waveform).abs().max() < 0.01  # too quiet to be worth judging


def test_ensemble_keeps_names_and_refuses_none() -> None:
    panel = Ensemble({name: make() for name, make in TINY.items()}, normalise=False)
    opinions = panel(noise(1, 1, 901))
    assert list(opinions) == list(TINY)
    assert torch.equal(opinions["stft"].score, panel.members["stft"](noise(1, 1, 901)).score)
    with pytest.raises(ValueError, match="needs a member"):
        Ensemble({})


def test_decimation_keeps_what_fits_and_stops_what_would_alias() -> None:
    taps = decimation_filter(4)
    response = torch.fft.rfft(taps, 8192).abs()
    new_nyquist = 4096 // 4
    assert taps.sum() == pytest.approx(1)
    assert (response[: int(0.85 * new_nyquist)] - 1).abs().max() < 3e-3
    assert response[int(1.05 * new_nyquist) :].max() < 3e-3


@pytest.mark.parametrize("network", [MultiBandSpectrogram, STFTDiscriminator])
def test_an_odd_window_is_refused(network: type[nn.Module]) -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        network(window=130)


def test_a_configuration_builds_an_ensemble() -> None:
    parser = ArgumentParser()
    parser.add_argument("--panel", type=nn.Module)
    members = {
        "period5": {"class_path": "discriminators.period.Period", "init_args": {"period": 5, "channels": 2}},
        "bands": {
            "class_path": "discriminators.spectrogram.MultiBandSpectrogram",
            "init_args": {"window": 64, "channels": 2, "bands": [[0.0, 0.5], [0.5, 1.0]]},
        },
        "stft": {"class_path": "discriminators.spectrogram.STFTDiscriminator", "init_args": {"dilations": [1]}},
        "scale": {"class_path": "discriminators.scale.WaveformScale", "init_args": {"factor": 2, "channels": 4}},
    }
    panel = {"class_path": "discriminators.ensemble.Ensemble", "init_args": {"members": members, "normalise": True}}
    built = parser.instantiate(parser.parse_object({"panel": panel})).panel
    assert list(built(noise(1, 1, 300))) == ["period5", "bands", "stft", "scale"]


@torch.no_grad()
def test_judges_of_frames_hear_the_fine_structure_and_hardly_the_level() -> None:
    """Contrast: twice the level changes what is heard by little, another noise of the same level by much."""
    draw = torch.Generator().manual_seed(2)
    one, other = (torch.randn(1, 1, 4000, generator=draw) for _ in range(2))
    for _ in range(5):  # whatever the weights
        network = SpectrogramFrames(128, width=8, layers=2)
        heard = network(one).features[0]
        louder, apart = (float((network(wave).features[0] - heard).norm()) for wave in (2 * one, other))
        assert louder < 0.1 * apart
