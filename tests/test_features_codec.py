"""A codec of our own as a frozen ear: the maps are the encoder's own, gradients reach the waveform alone."""

from pathlib import Path

import pytest
import torch

from features.codec import CodecEncoder
from features.contract import EarError
from generators import store
from generators.codec import Codec
from generators.scalar import FSQ
from generators.spectral_codec import SpectralDecoder, SpectralEncoder

SIZES = {"audio": 1, "dimension": 4, "frame": 32, "fft": 128, "width": 8, "layers": 2}


def part(path: str, **arguments: object) -> dict[str, object]:
    return {"class_path": f"generators.{path}", "init_args": arguments}


def saved(folder: Path, channels: int = 1) -> Codec:
    sizes = SIZES | {"audio": channels}
    codec = Codec(SpectralEncoder(**sizes), FSQ(4), SpectralDecoder(**sizes), 16_000)
    parts = {
        "encoder": part("spectral_codec.SpectralEncoder", **sizes),
        "bottleneck": part("scalar.FSQ", dimension=4),
        "decoder": part("spectral_codec.SpectralDecoder", **sizes),
    }
    store.save(folder, codec, part("codec.Codec", sample_rate=16_000, **parts))
    return codec


def test_maps_are_the_encoders_own(tmp_path: Path) -> None:
    codec = saved(tmp_path / "codec").eval()
    ear = CodecEncoder(16_000, str(tmp_path / "codec"), ["layers.layers.0", "layers.layers.1"])
    x = torch.randn(2, 1, 7 * 32, requires_grad=True)
    first, second = ear(x)
    assert first.shape == second.shape == (2, 8, 7)
    layers = codec.encoder.layers
    assert torch.equal(second, layers.layers[1](first))
    assert torch.allclose(layers.leave(layers.leave_norm(second.transpose(1, 2))).transpose(1, 2), codec.encoder(x))
    second.square().sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in ear.parameters())
    assert not ear.train().training
    ear(x)  # no hook is left behind
    assert not any(module._forward_hooks for module in ear.modules())


@pytest.mark.parametrize(("channels", "samples"), [(1, 1), (3, 33), (2, 1000)])
def test_any_sound_can_be_heard(channels: int, samples: int, tmp_path: Path) -> None:
    saved(tmp_path / "codec", channels=2)
    ear = CodecEncoder(48_000, str(tmp_path / "codec"), ["layers.layers.0"])
    (heard,) = ear(torch.randn(2, channels, samples))
    assert heard.shape[0] == 2 * channels
    assert torch.isfinite(heard).all()


def test_what_cannot_be_heard_is_told(tmp_path: Path) -> None:
    saved(tmp_path / "codec")
    with pytest.raises(EarError, match=r"layers\.layers\.0, "):
        CodecEncoder(16_000, str(tmp_path / "codec"), ["layers.layers.9"])
    with pytest.raises(EarError, match="is not there"):
        CodecEncoder(16_000, str(tmp_path / "nothing"), ["layers"])
