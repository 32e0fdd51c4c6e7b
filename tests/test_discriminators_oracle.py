"""Our discriminators against Descript's own, and against EnCodec's written out: same weights, same opinions."""

import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor, nn

from discriminators.ensemble import Ensemble
from discriminators.period import Period
from discriminators.scale import WaveformScale
from discriminators.spectrogram import MultiBandSpectrogram, STFTDiscriminator
from features.torchaudio_extension import allow_torchaudio_without_extension

CLIP = Path(__file__).parents[1] / "demo/clips/sms_singer/singing_female_sms.flac"
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)


@pytest.fixture(scope="module")
def theirs() -> ModuleType:
    allow_torchaudio_without_extension()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("dac.model.discriminator")


@pytest.fixture(scope="module")
def singing() -> Tensor:
    """Two sections of a real voice, [2, 1, samples], of a length that no period and no hop divides."""
    waveform, _ = soundfile.read(CLIP, dtype="float32")
    return torch.from_numpy(np.stack([waveform[20_000:25_003], waveform[30_000:35_003]]))[:, None]


def build(make: Callable[..., nn.Module], *arguments: object) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # their weight_norm is deprecated
        torch.manual_seed(0)
        return make(*arguments)


def convolutions(network: nn.Module) -> list[nn.Module]:
    return [layer for layer in network.modules() if isinstance(layer, CONVOLUTIONS)]


@torch.no_grad()
def give_weights(ours: nn.Module, theirs: nn.Module) -> None:
    """Copy lengths and directions where ours has them, and their product where it has not."""
    for mine, other in zip(convolutions(ours), convolutions(theirs), strict=True):
        if hasattr(mine, "parametrizations"):
            mine.parametrizations.weight.original0.copy_(other.weight_g)
            mine.parametrizations.weight.original1.copy_(other.weight_v)
        else:
            norm = other.weight_v.flatten(1).norm(dim=1).view_as(other.weight_g)
            mine.weight.copy_(other.weight_v * other.weight_g / norm)
        mine.bias.copy_(other.bias)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


PARAMETERS = {Period: 8.22e6, MultiBandSpectrogram: 0.47e6, WaveformScale: 5.64e6}
MEMBERS = [
    (Period, "MPD", 2),
    (Period, "MPD", 7),
    (MultiBandSpectrogram, "MRD", 2048),
    (MultiBandSpectrogram, "MRD", 512),
    (WaveformScale, "MSD", 1),
    (WaveformScale, "MSD", 2),
    (WaveformScale, "MSD", 4),
]


@pytest.mark.parametrize("weight_norm", [True, False])
@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: f"{member[1]}-{member[2]}")
@torch.no_grad()
def test_equals_descripts(
    theirs: ModuleType, singing: Tensor, member: tuple[type[nn.Module], str, int], weight_norm: bool
) -> None:
    ours, name, argument = member
    other = build(getattr(theirs, name), argument)
    mine = ours(argument, weight_norm=weight_norm)
    give_weights(mine, other)
    expected = other(singing)
    opinion = mine(singing)
    assert len(opinion.features) == len(expected) - 1
    for got, wanted in zip([*opinion.features, opinion.score], expected, strict=True):
        assert got.shape == wanted.shape
        assert (got - wanted).abs().max() < 1e-5 * max(1.0, float(wanted.abs().max()))
    if weight_norm:
        assert count(mine) == count(other) == pytest.approx(PARAMETERS[ours], rel=0.01)


@pytest.mark.parametrize("samples", [2048, 2050, 2100, 2304])
@torch.no_grad()
def test_pads_as_descripts(theirs: ModuleType, singing: Tensor, samples: int) -> None:
    waveform = singing[..., :samples]
    period = build(theirs.MPD, 5)
    mine = Period(5)
    give_weights(mine, period)
    assert torch.allclose(mine(waveform).score, period(waveform)[-1], atol=1e-5)
    bands = build(theirs.MRD, 2048)
    mine = MultiBandSpectrogram(2048)
    give_weights(mine, bands)
    assert torch.allclose(mine(waveform).score, bands(waveform)[-1], atol=1e-5)


@torch.no_grad()
def test_ensemble_equals_descripts(theirs: ModuleType, singing: Tensor) -> None:
    other = build(theirs.Discriminator, [], [3], [1024], 48_000)
    mine = Ensemble({"period3": Period(3), "bands1024": MultiBandSpectrogram(1024)})
    give_weights(mine, other)
    waveform = 0.1 * singing + 0.05
    for opinion, expected in zip(mine(waveform).values(), other(waveform), strict=True):
        assert torch.allclose(opinion.score, expected[-1], atol=1e-5)


def test_descripts_set_has_42_and_a_half_million_parameters(theirs: ModuleType) -> None:
    with torch.device("meta"):
        other = build(theirs.Discriminator)
        members: dict[str, nn.Module] = {f"period{period}": Period(period) for period in (2, 3, 5, 7, 11)}
        members |= {f"bands{window}": MultiBandSpectrogram(window) for window in (2048, 1024, 512)}
        panel = Ensemble(members)
    assert count(panel) == count(other) == 42_519_760


@torch.no_grad()
def test_stft_discriminator_equals_encodecs_description(singing: Tensor) -> None:
    """EnCodec, written out: torchaudio's normalised spectrogram, then five convolutions and a score."""
    allow_torchaudio_without_extension()
    from torchaudio.transforms import Spectrogram

    mine = STFTDiscriminator(window=512)
    spectrogram = Spectrogram(512, 512, 128, power=None, normalized=True, center=False)
    spectrum = spectrogram(singing)
    hidden = torch.cat([spectrum.real, spectrum.imag], dim=1).transpose(-1, -2)
    *layers, last = convolutions(mine)
    opinion = mine(singing)
    for layer, feature in zip(layers, opinion.features, strict=True):
        hidden = nn.functional.leaky_relu(layer(hidden), 0.2)
        assert torch.allclose(feature, hidden, atol=1e-5)
        assert feature.shape[1] == 32
    assert torch.allclose(opinion.score, last(hidden), atol=1e-5)
    assert [layer.stride for layer in layers] == [(1, 1), (1, 2), (1, 2), (1, 2), (1, 1)]
    assert [layer.dilation for layer in layers] == [(1, 1), (1, 1), (2, 1), (4, 1), (1, 1)]


def test_stft_discriminator_has_encodecs_size() -> None:
    plain = STFTDiscriminator(weight_norm=False)
    assert count(plain) == 2 * 32 * 27 + 32 + 3 * (32 * 32 * 27 + 32) + (32 * 32 * 9 + 32) + (32 * 9 + 1)
    assert 5 * count(plain) == pytest.approx(0.47e6, rel=0.01)
