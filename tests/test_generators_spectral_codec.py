"""The codec's halves at the frame rate: exact lengths, transforms that give everything back, a true reach."""

import pytest
import torch

from generators.contract import ModelError
from generators.spectral_codec import SpectralDecoder, SpectralEncoder

SIZES = {"frame": 32, "fft": 128, "dimension": 6, "width": 8, "layers": 2, "kernel": 5}


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("frames", [1, 2, 7])
def test_lengths_are_exact(channels: int, frames: int) -> None:
    latent = SpectralEncoder(channels, **SIZES)(torch.randn(3, channels, frames * 32))
    assert latent.shape == (3, 6, frames)
    assert SpectralDecoder(channels, **SIZES)(latent).shape == (3, channels, frames * 32)


@pytest.mark.parametrize(("frame", "fft"), [(32, 64), (32, 128), (30, 90)])
def test_overlapping_gives_the_waveform_back(frame: int, fft: int) -> None:
    decoder = SpectralDecoder(**SIZES | {"frame": frame, "fft": fft}).double()
    x = torch.randn(2, 1, 9 * frame, dtype=torch.float64)
    padded = torch.nn.functional.pad(x, (decoder.padding, decoder.padding))
    pieces = padded.unfold(-1, fft, frame) * torch.hann_window(fft, dtype=torch.float64)
    assert torch.allclose(decoder._overlapped(pieces), x, atol=1e-6)


def test_the_encoder_hears_as_far_as_it_says() -> None:
    encoder = SpectralEncoder(**SIZES).double()
    x = torch.randn(1, 1, 40 * 32, dtype=torch.float64, requires_grad=True)
    encoder(x)[..., 20].sum().backward()
    assert x.grad is not None
    heard = x.grad[0, 0].nonzero()[:, 0]
    first, last = 20 * 32 - int(heard[0]), int(heard[-1]) - (21 * 32 - 1)
    assert encoder.reach - 2 <= max(first, last) <= encoder.reach  # a Hann window begins with zero


def test_the_decoder_hears_as_far_as_it_says() -> None:
    decoder = SpectralDecoder(**SIZES).double()
    latent = torch.randn(1, 6, 40, dtype=torch.float64, requires_grad=True)
    for sample in (20 * 32, 20 * 32 + 31):
        (gradient,) = torch.autograd.grad(decoder(latent)[..., sample].sum(), latent)
        heard = gradient[0].abs().sum(0).nonzero()[:, 0]
        before, after = sample - (int(heard[0]) * 32 + 31), int(heard[-1]) * 32 - sample
        assert max(before, after) <= decoder.reach
        assert max(before, after) > decoder.reach - 2 * 32


def test_a_wild_latent_stays_finite() -> None:
    assert torch.isfinite(SpectralDecoder(**SIZES)(1e6 * torch.randn(1, 6, 5))).all()


@pytest.mark.parametrize("wrong", [{"fft": 40}, {"fft": 127}, {"kernel": 4}])
def test_sizes_that_do_not_fit_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ModelError, match="must be"):
        SpectralEncoder(**SIZES | wrong)
