"""Spectra and mel filters against librosa and numpy."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from features.spectrum import MelSpectrogram, STFTMagnitude, mel_filters, stft_magnitude

CLIP = Path(__file__).parents[1] / "demo/clips/kathleen/speech_en_kathleen_0.flac"


@pytest.fixture(scope="module")
def speech() -> Tensor:
    waveform, _ = soundfile.read(CLIP, dtype="float32")
    return torch.from_numpy(np.stack([waveform[10_000:20_001], waveform[20_000:30_001]]))[:, None]


SETTINGS = [
    (48_000, 2048, 320, 0, None),
    (44_100, 32, 5, 0, None),
    (16_000, 512, 80, 60, 7600),
    (48_000, 64, 40, 0, 900),
]


@pytest.mark.parametrize(("rate", "window", "bands", "fmin", "fmax"), SETTINGS)
def test_mel_filters_equal_librosas(rate: int, window: int, bands: int, fmin: float, fmax: float | None) -> None:
    librosa = pytest.importorskip("librosa")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about empty filters, which are wanted
        expected = librosa.filters.mel(sr=rate, n_fft=window, n_mels=bands, fmin=fmin, fmax=fmax)
    ours = mel_filters(rate, window, bands, fmin, fmax).numpy()
    assert ours.shape == expected.shape
    assert np.abs(ours - expected).max() < 1e-6 * expected.max()


@pytest.mark.parametrize(("fft", "hop", "window"), [(512, 128, 512), (1024, 120, 600)])
def test_magnitude_equals_numpys(speech: Tensor, fft: int, hop: int, window: int) -> None:
    margin = (fft - window) // 2
    shape = np.pad(np.hanning(window + 1)[:-1], (margin, fft - window - margin))
    padded = np.pad(speech[:, 0].double().numpy(), ((0, 0), (fft // 2, fft // 2)), mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, fft, axis=-1)[:, ::hop]
    expected = np.abs(np.fft.rfft(frames * shape)).swapaxes(1, 2)
    magnitude = stft_magnitude(speech.double(), fft, hop, window).numpy()
    assert magnitude.shape == (2, fft // 2 + 1, 1 + 10_001 // hop)
    assert np.abs(magnitude - expected).max() < 1e-5  # the window function is kept in single precision
    assert np.abs(STFTMagnitude(fft, hop, window)(speech).numpy() - expected).max() < 1e-4


def test_mel_spectrogram_is_filters_on_magnitudes(speech: Tensor) -> None:
    mel = MelSpectrogram(48_000, 1024, 256, 80, fmin=50, fmax=20_000)
    magnitude = stft_magnitude(speech, 1024, 256, 1024).numpy()
    expected = mel_filters(48_000, 1024, 80, 50, 20_000).numpy() @ magnitude
    assert np.abs(mel(speech).numpy() - expected).max() < 1e-5 * expected.max()


def test_floor_is_the_least_magnitude_and_stops_gradients() -> None:
    silence = torch.zeros(1, 1, 512, requires_grad=True)
    magnitude = stft_magnitude(silence, 64, 16, 64, floor=1e-3)
    assert torch.equal(magnitude.detach(), torch.full_like(magnitude, 1e-3))
    magnitude.sum().backward()
    assert not silence.grad.any()


@pytest.mark.parametrize("samples", [1, 2, 32, 33, 64])
def test_short_waveforms_count_as_followed_by_silence(samples: int) -> None:
    waveform = torch.rand(2, 3, samples)
    magnitude = stft_magnitude(waveform, 64, 16, 64)
    longer = torch.nn.functional.pad(waveform, (0, max(0, 33 - samples)))
    assert torch.equal(magnitude, stft_magnitude(longer, 64, 16, 64))
    assert magnitude.shape[:2] == (6, 33)


def test_precision_stays_or_rises(speech: Tensor) -> None:
    mel = MelSpectrogram(48_000, 512, 128, 40)
    assert mel(speech.double()).dtype == torch.float64
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(mel(speech), mel(speech.clone()))
        assert mel(speech).dtype == torch.float32
        assert mel(speech.half()).dtype == torch.float32
    assert torch.allclose(mel(speech.double()).float(), mel(speech), atol=1e-4)


def test_one_graph_for_the_compiler(speech: Tensor) -> None:
    mel = MelSpectrogram(48_000, 512, 128, 40)
    assert torch.equal(torch.compile(mel, backend="eager", fullgraph=True)(speech), mel(speech))
