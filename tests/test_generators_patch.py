"""The wave U-Net on patches: what a patch is, its start, its parts in chunks, and sizes that are refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from gan.audio import read
from generators.contract import ModelError
from generators.patch import PatchRestorer
from generators.store import build
from generators.streaming import restore_stream

ROOT = Path(__file__).parents[1]


def speech(samples: int) -> torch.Tensor:
    """Real speech, [1, 1, samples]."""
    waveform, _ = read(ROOT / "demo" / "clips" / "kathleen" / "speech_en_kathleen_0.flac")
    return torch.from_numpy(waveform)[None, :, 20_000 : 20_000 + samples]


def test_a_patch_is_consecutive_samples() -> None:
    # With nothing between the two convolutions that pick a patch's own samples, what went in comes out.
    network = PatchRestorer(patch=3, channels=[3, 4], strides=[2], identity=False)
    wide = torch.arange(24.0).reshape(2, 1, 12)
    seen = []

    def watch(_: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        seen.append(inputs[0])

    network.enter.register_forward_pre_hook(watch)
    network._network(wide)
    assert seen[0].shape == (2, 3, 4)
    for patch in range(4):
        assert torch.equal(seen[0][1, :, patch], wide[1, 0, 3 * patch : 3 * patch + 3])
    network.leave.register_forward_hook(lambda *_: seen[0])
    assert torch.equal(network._network(wide), wide), "and they go back where they came from"


def test_the_shipped_recipe_starts_as_the_identity_in_chunks_too() -> None:
    network = build(yaml.safe_load((ROOT / "recipes" / "models" / "patch48.yaml").read_text())).eval()
    assert isinstance(network, PatchRestorer)
    assert sum(p.numel() for p in network.parameters()) == 4_570_984
    source = speech(9001)
    blocks = restore_stream(network, source[0].split(1234, dim=-1), 4000)
    assert torch.allclose(torch.cat(list(blocks), dim=-1), source[0], atol=1e-5)


@pytest.mark.parametrize("identity", [True, False])
@pytest.mark.parametrize("chunk", [1, 7777])
def test_chunks_of_speech_equal_the_whole(identity: bool, chunk: int) -> None:
    torch.manual_seed(0)
    network = PatchRestorer(patch=8, channels=[3, 4, 5], strides=[2, 4], identity=identity).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    source = speech(20_001)
    with torch.inference_mode():
        whole = network.restore(source)[0]
    assert (whole - source[0]).std() > 0.01
    pieces = list(restore_stream(network, source[0].split(5000, dim=-1), chunk))
    assert torch.allclose(torch.cat(pieces, dim=-1), whole, atol=1e-5)


@pytest.mark.parametrize("identity", [True, False])
@pytest.mark.parametrize("upsample", ["nearest", "transposed"])
def test_gradient_reaches_every_parameter(identity: bool, upsample: Any) -> None:
    torch.manual_seed(0)
    network = PatchRestorer(patch=4, channels=[3, 4, 5], strides=[2, 3], upsample=upsample, identity=identity)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    network.restore(speech(3000)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("identity", [True, False])
def test_precision_is_kept(identity: bool) -> None:
    network = PatchRestorer(channels=[3, 4], strides=[2], identity=identity).double()
    assert network.restore(speech(100).double()).dtype == torch.float64


@pytest.mark.parametrize(
    "words", [{"patch": 0}, {"patch": -3}, {"channels": [2, 3], "strides": [2, 2]}, {"strides": [0, 4, 4]}]
)
def test_sizes_that_do_not_fit_are_refused(words: dict[str, Any]) -> None:
    with pytest.raises(ModelError):
        PatchRestorer(**words)
