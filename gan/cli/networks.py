"""The network that a command is to work with: one place where names become folders."""

import argparse
from pathlib import Path

import torch
from torch import nn

from gan.cli.worker import say
from generators import store
from generators.contract import ModelError

NO_MODEL = (
    "no model: a codec is needed, and none comes with unshift; train one (`unshift --help` says how) and name its "
    "folder, as in --model runs/codec3, or one that `unshift import` made"
)
ENDINGS = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".aif", ".aiff", ".m4a")
SHIPPED = f"no --model is named: taking {store.SHIPPED}, the restorer that comes with unshift"


def fetch_named(parsed: argparse.Namespace) -> None:
    """Bring what the command line names "user/name" from the Hugging Face hub, and say so.

    Only what a user names is fetched, here and nowhere else: what results or runs name is not.

    Raises:
        ModelError: the hub does not have it, or cannot be reached.
    """
    named = [parsed.model] if "model" in parsed else []
    # Without pairs the two of `unshift compare` are results, which are on no hub.
    named += [parsed.first, parsed.second] if getattr(parsed, "pairs", None) and "first" in parsed else []
    for path in named:
        # A file's name that was mistyped is nobody's model, and is told to nobody.
        if path is not None and store.on_hub(path) and path.suffix.lower() not in {*ENDINGS, ".unshift"}:
            say(f"{path}: there is no such folder here, so the Hugging Face hub is asked for it")
            store.fetch(path)


def is_name(path: Path) -> bool:
    """Whether a model is meant by its name, not its folder: what comes with unshift, or one on the hub."""
    return not path.exists() and (path == Path(store.SHIPPED) or store.on_hub(path))


def load_network(parsed: argparse.Namespace, *, shipped: bool = False) -> tuple[nn.Module, Path]:
    """Load what --model names, onto what --device names.

    Args:
        parsed: the command line.
        shipped: where no model is named, take the restorer that comes with unshift, and say so.

    Returns:
        The network in eval mode, and its folder.

    Raises:
        ModelError: no model is named, or it cannot be loaded, or there is no such device.
    """
    named: Path | None = parsed.model
    if named is None and not shipped:
        raise ModelError(NO_MODEL)
    if parsed.device == "cuda" and not torch.cuda.is_available():
        raise ModelError("--device cuda: this machine has no usable CUDA device; take --device cpu")
    device = "cuda" if parsed.device != "cpu" and torch.cuda.is_available() else "cpu"
    folder = store.resolve(named or store.SHIPPED_FOLDER)
    network = store.load(folder, trust=parsed.trust).to(device)
    if named is None:
        say(SHIPPED)
    return network, folder
