"""Descript's own codec at a small size, with weights as far from their start as training would leave them."""

import warnings
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from features.torchaudio_extension import allow_torchaudio_without_extension

SMALL = {"encoder_dim": 4, "decoder_dim": 48, "n_codebooks": 3, "codebook_size": 20, "codebook_dim": 4}
EVEN, ODD = (2, 4, 8), (2, 4, 5, 8)


def package() -> ModuleType:
    allow_torchaudio_without_extension()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("dac.model.dac")


def build(strides: tuple[int, ...] = EVEN, seed: int = 0, **sizes: Any) -> Any:
    arguments = SMALL | {"encoder_rates": list(strides), "decoder_rates": list(strides)[::-1]} | sizes
    theirs = package()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # their weight_norm is deprecated
        torch.manual_seed(seed)
        network = theirs.DAC(**arguments, sample_rate=16000)
    spread(network)
    return network.eval()


def build_bare(strides: tuple[int, ...]) -> Any:
    """Build the full size on the current device, weights as they come."""
    theirs = package()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return theirs.DAC(encoder_rates=list(strides), decoder_rates=list(strides)[::-1])


@torch.no_grad()
def spread(network: nn.Module) -> None:
    """Move every weight, lengths and directions apart: what is folded wrongly then shows."""
    for name, parameter in network.named_parameters():
        if name.endswith(("weight_g", "alpha")):
            parameter.mul_(torch.empty_like(parameter).uniform_(0.7, 1.5))
        elif name.endswith(("bias", "weight_v")):
            parameter.add_(0.1 * parameter.std(correction=0).clamp(min=0.1) * torch.randn_like(parameter))


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def lengths(network: nn.Module) -> int:
    """Count the lengths that weight norm keeps beside the directions."""
    return sum(parameter.numel() for name, parameter in network.named_parameters() if name.endswith("weight_g"))
