"""The frame-rate networks' heads: polar and complex, with and without the identity path, beside numpy and scipy."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from scipy.signal import istft, stft
from torch import nn

from gan.audio import read
from generators.contract import ModelError
from generators.polar import PolarRestorer
from generators.spectral import SpectralRestorer
from generators.store import build
from generators.streaming import restore_stream

ROOT = Path(__file__).parents[1]
FFT, HOP = 64, 16
BINS = FFT // 2 + 1
KINDS = [(kind, identity) for kind in (SpectralRestorer, PolarRestorer) for identity in (True, False)]


def small(kind: type[SpectralRestorer], identity: bool) -> SpectralRestorer:
    torch.manual_seed(1)
    network = kind(fft=FFT, hop=HOP, width=8, layers=2, identity=identity).double().eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    return network


def speech(samples: int) -> torch.Tensor:
    """Real speech, [1, 1, samples], float64."""
    waveform, _ = read(ROOT / "demo" / "clips" / "kathleen" / "speech_en_kathleen_0.flac")
    return torch.from_numpy(waveform)[None, :, 20_000 : 20_000 + samples].double()


def expected(network: SpectralRestorer, spectrum: np.ndarray, change: np.ndarray) -> np.ndarray:
    """What the heads say in words, written out bin by bin."""
    mended = np.zeros_like(spectrum)
    for place, frame in np.ndindex(spectrum.shape):
        heard = spectrum[place, frame]
        near = [abs(spectrum[k, frame]) if 0 <= k < BINS else 0.0 for k in range(place - 4, place + 5)]
        level = sum(near) / 9
        numbers = change[place::BINS, frame]
        gain = np.exp(3 * np.tanh(numbers[0] / 3))
        if isinstance(network, PolarRestorer):
            angle = np.arctan2(numbers[2], numbers[1] + network.identity)
            own = level * np.exp(min(numbers[0], 5.0))
            mended[place, frame] = (heard * gain if network.identity else own) * np.exp(1j * angle)
        else:
            added = level * (numbers[-2] + 1j * numbers[-1])
            mended[place, frame] = heard * gain + added if network.identity else added
    return mended


@pytest.mark.parametrize(("kind", "identity"), KINDS)
def test_heads_are_what_they_say(kind: type[SpectralRestorer], identity: bool) -> None:
    network = small(kind, identity)
    waveform = speech(40 * HOP)
    window = np.hanning(FFT + 1)[:-1]
    sizes = {"window": window, "nperseg": FFT, "noverlap": FFT - HOP}
    _, _, spectrum = stft(waveform[0, 0].numpy(), **sizes, boundary="zeros", padded=False)
    spectrum = spectrum * window.sum()  # scipy gives amplitudes
    with torch.inference_mode():
        change = network._network(network._features(torch.from_numpy(spectrum)[None]))[0].numpy()
        output = network.restore(waveform)[0, 0].numpy()
    assert change.shape == ((2 if kind is SpectralRestorer and not identity else 3) * BINS, spectrum.shape[1])
    _, wanted = istft(expected(network, spectrum, change) / window.sum(), **sizes, boundary=True)
    assert np.abs(wanted).max() > 0.01
    # A vector of two numbers near zero is a little short of length 1, by the floor under its square.
    assert np.allclose(output, wanted[: len(output)], atol=1e-4 * np.abs(wanted).max())


def test_a_polar_head_with_the_identity_only_turns_and_weighs() -> None:
    network = small(PolarRestorer, identity=True)
    spectrum = torch.complex(torch.randn(1, BINS, 9).double(), torch.randn(1, BINS, 9).double())
    spectrum[0, 5] = 0
    change = torch.randn(1, 3 * BINS, 9).double()
    quiet = change.clone()
    quiet[:, :BINS] = 0
    assert torch.allclose(network._mended(spectrum, quiet).abs(), spectrum.abs(), rtol=1e-3), "a turn keeps magnitudes"
    assert (network._mended(spectrum, change)[0, 5] == 0).all(), "silence stays silent"


@pytest.mark.parametrize(("kind", "identity"), KINDS)
def test_gradient_reaches_every_parameter(kind: type[SpectralRestorer], identity: bool) -> None:
    network = small(kind, identity)
    network.restore(speech(1000)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("kind", [SpectralRestorer, PolarRestorer])
def test_without_the_identity_a_start_is_neither_silent_nor_the_input(kind: type[SpectralRestorer]) -> None:
    torch.manual_seed(0)
    source = speech(4800).float()
    with torch.inference_mode():
        output = kind(identity=False).restore(source)
    assert 0.1 < output.std() / source.std() < 3
    assert torch.corrcoef(torch.stack([output.flatten(), source.flatten()]))[0, 1].abs() < 0.9


@pytest.mark.parametrize("gain", [0.1, 10.0])
@pytest.mark.parametrize(("kind", "identity"), KINDS)
def test_a_louder_input_gives_a_louder_output(kind: type[SpectralRestorer], identity: bool, gain: float) -> None:
    torch.manual_seed(0)
    network = kind(identity=identity)
    nn.init.normal_(network.leave.weight, std=0.05)
    source = speech(9600).float()
    with torch.inference_mode():
        once, louder = network.restore(source), network.restore(gain * source)
    assert 0.8 < louder.std() / once.std() / gain < 1.25


@pytest.mark.parametrize("chunk", [700, 4800, 20_000])
def test_the_shipped_recipe_starts_as_the_identity_in_chunks_too(chunk: int) -> None:
    network = build(yaml.safe_load((ROOT / "recipes" / "models" / "polar48.yaml").read_text())).eval()
    assert isinstance(network, PolarRestorer)
    assert sum(p.numel() for p in network.parameters()) == 4_749_059
    source = speech(9001).float()
    blocks = restore_stream(network, source[0].split(1234, dim=-1), chunk)
    assert torch.allclose(torch.cat(list(blocks), dim=-1), source[0], atol=1e-5)


@pytest.mark.parametrize("words", [{"fft": 100, "hop": 33}, {"fft": 1024, "hop": 512}, {"kernel": 4}])
def test_sizes_that_do_not_fit_are_refused(words: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="hop"):
        PolarRestorer(**words)
