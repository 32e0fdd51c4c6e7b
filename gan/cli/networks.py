"""The network that a command is to work with."""

import argparse
from pathlib import Path

import torch
from torch import nn

from generators import store
from generators.contract import ModelError

NO_MODEL = (
    "no model: unshift ships no trained one yet; train it (`unshift --help` says how) and name its folder, "
    "as in --model runs/stage3 (a codec: runs/codec3, or one that `unshift import` made)"
)


def load_network(parsed: argparse.Namespace) -> tuple[nn.Module, Path]:
    """Load what --model names, onto what --device names.

    Returns:
        The network in eval mode, and its folder.

    Raises:
        ModelError: no model is named, or it cannot be loaded, or there is no such device.
    """
    if parsed.model is None:
        raise ModelError(NO_MODEL)
    if parsed.device == "cuda" and not torch.cuda.is_available():
        raise ModelError("--device cuda: this machine has no usable CUDA device; take --device cpu")
    device = "cuda" if parsed.device != "cpu" and torch.cuda.is_available() else "cpu"
    folder = store.resolve(parsed.model)
    return store.load(folder, trust=parsed.trust).to(device), folder
