"""Every loss against an independent implementation, and what all of them have to keep."""

import copy
import math
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from jsonargparse import ArgumentParser
from torch import Tensor, nn

from features.spectrum import STFTMagnitude
from features.torchaudio_extension import allow_torchaudio_without_extension
from gan.losses import (
    L1,
    SISDR,
    Distance,
    FeatureDistance,
    MagnitudeDistance,
    MelDistance,
    MultiScaleSTFTDistance,
    STFTDistance,
    si_sdr,
)
from generators.contract import Estimate

CLIP = Path(__file__).parents[1] / "demo/clips/sms_singer/singing_female_sms.flac"
RATE = 48_000
Voices = tuple[Tensor, Tensor]


class Spectra(nn.Module):
    """An ear that needs no weights: two spectra of different resolution."""

    sample_rate = RATE

    def __init__(self) -> None:
        super().__init__()
        self.spectra = nn.ModuleList([STFTMagnitude(256, 64, 256), STFTMagnitude(64, 16, 64)])

    def forward(self, waveform: Tensor) -> list[Tensor]:
        return [spectrum(waveform) for spectrum in self.spectra]


TERMS: dict[str, Distance] = {
    "l1": L1(),
    "si_sdr": SISDR(),
    "mel": MelDistance(RATE),
    "stft": STFTDistance(),
    "multi_scale": MultiScaleSTFTDistance(),
    "magnitude": MagnitudeDistance(),
    "features_mse": FeatureDistance(Spectra(), "mse"),
    "features_l1": FeatureDistance(Spectra(), "l1"),
}
each = pytest.mark.parametrize("term", TERMS.values(), ids=TERMS.keys())


@pytest.fixture(scope="module")
def voices() -> Voices:
    """Sections of a real voice and worse ones, [4, 1, samples], at levels 30 dB apart."""
    waveform, _ = soundfile.read(CLIP, dtype="float32")
    sections = np.stack([waveform[start : start + 6001] for start in (20_000, 30_000, 40_000, 50_000)])
    target = torch.from_numpy(sections)[:, None] * torch.tensor([1.0, 0.3, 0.1, 0.03])[:, None, None]
    hiss = torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
    return 0.8 * target + 0.01 * hiss, target


def descripts(module: str, name: str, **arguments: object) -> nn.Module:
    allow_torchaudio_without_extension()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(pytest.importorskip(module), name)(**arguments)


def test_mel_equals_descripts(voices: Voices) -> None:
    output, target = voices
    scales = {"n_mels": [5, 10, 20, 40, 80, 160, 320], "window_lengths": [32, 64, 128, 256, 512, 1024, 2048]}
    bounds = {"mel_fmin": [0] * 7, "mel_fmax": [None] * 7, "pow": 1.0, "clamp_eps": 1e-5, "mag_weight": 0.0}
    theirs = descripts("dac.nn.loss", "MelSpectrogramLoss", **scales, **bounds)
    signal = descripts("audiotools", "AudioSignal", audio_path_or_array=output, sample_rate=RATE)
    wanted = descripts("audiotools", "AudioSignal", audio_path_or_array=target, sample_rate=RATE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # librosa's, about empty filters
        expected = theirs(signal, wanted)
    assert MelDistance(RATE).distance(output, target).item() == pytest.approx(expected.item(), rel=1e-5)


def test_multi_scale_stft_equals_descripts(voices: Voices) -> None:
    signals = [descripts("audiotools", "AudioSignal", audio_path_or_array=x, sample_rate=RATE) for x in voices]
    theirs = descripts("dac.nn.loss", "MultiScaleSTFTLoss")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it keeps the last scale's spectrum in the signal
        expected = theirs(*signals)
    assert MultiScaleSTFTDistance().distance(*voices).item() == pytest.approx(expected.item(), rel=1e-5)


def test_stft_equals_auralosss_of_each_example(voices: Voices) -> None:
    auraloss = pytest.importorskip("auraloss.freq")
    theirs = auraloss.MultiResolutionSTFTLoss()
    output, target = voices
    apart = [theirs(output[[one]], target[[one]]).item() for one in range(len(output))]
    assert STFTDistance().distance(output[[0]], target[[0]]).item() == pytest.approx(apart[0], rel=1e-5)
    assert STFTDistance().distance(output, target).item() == pytest.approx(np.mean(apart), rel=1e-5)
    assert theirs(output, target).item() != pytest.approx(np.mean(apart), rel=1e-2)  # why each has its own


def test_si_sdr_equals_auralosss_and_the_definition(voices: Voices) -> None:
    auraloss = pytest.importorskip("auraloss.time")
    output, target = voices
    assert SISDR().distance(output, target).item() == pytest.approx(
        auraloss.SISDRLoss()(output, target).item(), rel=1e-5
    )
    seconds = torch.arange(4800, dtype=torch.float64) / RATE
    tone = torch.sin(2 * math.pi * 100 * seconds)
    error = 0.1 * torch.cos(2 * math.pi * 100 * seconds)  # orthogonal, 20 dB down
    measured = si_sdr(torch.stack([tone + error, 5 * tone + 5 * error + 1])[:, None], tone.expand(2, 1, -1))
    assert torch.allclose(measured, torch.tensor([20.0, 20.0], dtype=torch.float64), atol=1e-4)


def test_l1_and_magnitude_against_numpy(voices: Voices) -> None:
    output, target = voices
    assert L1().distance(output, target).item() == pytest.approx(
        np.abs(output.numpy() - target.numpy()).mean(), rel=1e-5
    )
    window = np.hanning(1025)[:-1]

    def spectrum(waveform: Tensor) -> np.ndarray:
        padded = np.pad(waveform[:, 0].numpy().astype(np.float64), ((0, 0), (512, 512)), mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(padded, 1024, axis=-1)[:, ::256]
        return np.abs(np.fft.rfft(frames * window))

    expected = np.abs(spectrum(output) - spectrum(target)).mean()
    assert MagnitudeDistance().distance(output, target).item() == pytest.approx(expected, rel=1e-5)


def test_features_are_averaged_over_maps(voices: Voices) -> None:
    output, target = voices
    pairs = list(zip(Spectra()(output), Spectra()(target), strict=True))
    squares = np.mean([float((one - other).square().mean()) for one, other in pairs])
    absolutes = np.mean([float((one - other).abs().mean()) for one, other in pairs])
    assert FeatureDistance(Spectra(), "mse").distance(output, target).item() == pytest.approx(squares, rel=1e-5)
    assert FeatureDistance(Spectra(), "l1").distance(output, target).item() == pytest.approx(absolutes, rel=1e-5)


@each
def test_a_batch_costs_the_mean_of_its_parts(term: Distance, voices: Voices) -> None:
    output, target = (waveform.double() for waveform in voices)
    whole = output.clone().requires_grad_()
    total = term(Estimate(whole, target))
    total.backward()
    parts = output.clone().requires_grad_()
    halves = [term(Estimate(parts[two], target[two])) for two in (slice(0, 2), slice(2, 4))]
    (sum(halves) / 2).backward()
    assert total.dtype == torch.float64
    assert total.item() == pytest.approx(sum(half.item() for half in halves) / 2, rel=1e-12)
    assert (whole.grad - parts.grad).abs().max() <= 1e-12 * max(1.0, float(whole.grad.abs().max()))


@each
def test_gradients_point_to_the_target_and_stay_off_it(term: Distance, voices: Voices) -> None:
    output, target = (waveform.double().requires_grad_() for waveform in voices)
    before = term.distance(output, target)
    before.backward()
    assert target.grad is None
    step = 1e-7 * output.grad / output.grad.norm()  # short: logarithms of quiet bins bend within a longer one
    after = term.distance(output - step, target)
    assert after < before
    assert (before - after).item() == pytest.approx(1e-7 * output.grad.norm().item(), rel=0.02)


@each
def test_equality_is_the_least_and_has_finite_gradients(term: Distance, voices: Voices) -> None:
    _, target = voices
    output = target.clone().requires_grad_()
    least = term.distance(output, target)
    least.backward()
    assert torch.isfinite(output.grad).all()
    if isinstance(term, SISDR):
        assert least < -50
    else:
        assert least == 0


@each
@pytest.mark.parametrize("samples", [1, 17, 1000])
def test_silence_and_short_waveforms_stay_finite(term: Distance, samples: int) -> None:
    silence = torch.zeros(2, 2, samples, requires_grad=True)
    something = torch.full((2, 2, samples), 0.1)
    for output, target in [(silence, something), (silence, torch.zeros(2, 2, samples)), (something, silence)]:
        loss = term.distance(output, target)
        assert torch.isfinite(loss)
        assert loss.shape == ()
    term.distance(silence, something).backward()
    assert torch.isfinite(silence.grad).all()


@each
def test_autocast_and_half_precision_waveforms_change_nothing_but_rounding(term: Distance, voices: Voices) -> None:
    output, target = voices
    expected = term.distance(output, target)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(term.distance(output, target), expected)
        rough = term.distance(output.bfloat16(), target)
    assert rough.dtype == torch.float32
    assert rough.item() == pytest.approx(expected.item(), rel=0.05)


@each
def test_a_term_has_nothing_to_save(term: Distance) -> None:
    assert copy.deepcopy(term).state_dict() == {}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MelDistance(RATE, bands=[5]), "1 and 7 given"),
        (lambda: STFTDistance(hops=[5]), "3, 1, 3 given"),
    ],
)
def test_unequal_lists_are_refused(make: Callable[[], Distance], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_configuration_builds_every_term(voices: Voices) -> None:
    parser = ArgumentParser()
    parser.add_argument("--terms", type=dict[str, nn.Module])
    ear = {"class_path": "features.spectrum.STFTMagnitude", "init_args": {"fft": 64, "hop": 16, "window": 64}}
    arguments = {"L1": {}, "SISDR": {}, "MelDistance": {"sample_rate": RATE, "bands": [4], "windows": [64]}}
    arguments |= {"STFTDistance": {"ffts": [64], "hops": [16], "windows": [32]}, "MagnitudeDistance": {"fft": 2048}}
    arguments |= {"FeatureDistance": {"ear": ear, "distance": "l1"}}
    terms = {name: {"class_path": f"gan.losses.{name}", "init_args": some} for name, some in arguments.items()}
    built = parser.instantiate(parser.parse_object({"terms": terms})).terms
    assert all(torch.isfinite(term(Estimate(*voices))) for term in built.values())
    terms["FeatureDistance"]["init_args"]["distance"] = "l3"
    with pytest.raises(SystemExit):
        parser.parse_object({"terms": terms})
