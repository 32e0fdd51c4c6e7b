"""A generator on disk: a folder of weights.safetensors and generator.yaml. Nothing in it is ever executed.

generator.yaml    format: 1
                  class_path: generators.restorer.Restorer
                  init_args: {...}
                  sample_rate: 48000          Hz
"""

import os
import shutil
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from generators.contract import ModelError

WEIGHTS, DESCRIPTION = "weights.safetensors", "generator.yaml"
FORMAT = 1


def save(folder: Path, module: nn.Module, spec: Mapping[str, Any]) -> None:
    """Write a generator's folder: whole or not at all.

    Args:
        folder: is replaced where it stands already.
        module: its state is kept, and its `sample_rate` (Hz).
        spec: "class_path" and "init_args" that build the module anew.

    Raises:
        OSError: it cannot be written; what stood there before still stands.
    """
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
        save_file(state, partial / WEIGHTS)
        words = {"format": FORMAT, **spec, "sample_rate": getattr(module, "sample_rate", None)}
        (partial / DESCRIPTION).write_text(yaml.safe_dump(words, sort_keys=False))
        for file in partial.iterdir():
            sync(file)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def load(folder: Path, *, trust: bool = False) -> nn.Module:
    """Build a generator from its folder, ready to be used: in eval mode, on the CPU.

    Args:
        folder: a generator's own; see `resolve` for runs and checkpoints.
        trust: build classes from outside the `generators` package too, which runs their module's code.

    Raises:
        ModelError: a file is missing or damaged, the class is unknown or not trusted, or weights do not fit or are not
            finite.
    """
    words = describe(folder)
    module = _build(folder / DESCRIPTION, words, trust)
    load_weights(folder, module)
    return module.eval()


def describe(folder: Path) -> dict[str, Any]:
    """Read generator.yaml.

    Raises:
        ModelError: it is missing, damaged, or of a format that this version does not know.
    """
    file = folder / DESCRIPTION
    try:
        words = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ModelError(f"{folder} is no model folder: cannot read {DESCRIPTION} ({_line(error)})") from error
    if not isinstance(words, dict) or not isinstance(words.get("class_path"), str):
        raise ModelError(f"{file} names no class_path: it is not a model's description")
    if words.get("format") != FORMAT:
        raise ModelError(f"{file} has format {words.get('format')!r}, this version reads {FORMAT}: update unshift")
    return words


def load_weights(folder: Path, module: nn.Module) -> None:
    """Fill a module with a folder's weights, all of them, by name.

    Raises:
        ModelError: the file is missing or damaged, or its tensors are of another network or not finite.
    """
    file = folder / WEIGHTS
    try:
        state = load_file(file)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"cannot read the weights {file}: {_line(error)}") from error
    for name, tensor in state.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ModelError(f"{file} holds numbers that are not finite ({name}): take an earlier checkpoint")
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(f"{file} holds the weights of another network: {_line(error)}") from error


def resolve(path: Path) -> Path:
    """Find the generator's folder in what a user names.

    Args:
        path: a generator's folder; a checkpoint, of which the average is preferred; or a run, of which the best
            checkpoint is, then the latest, then the newest whole one.

    Raises:
        ModelError: there is none.
    """
    newest = sorted(f for f in (path / "checkpoints").glob("*") if f.name.isdigit())[-1:]
    for root in (path, path / "best", path / "latest", *newest):
        for folder in (root, root / "average", root / "generator"):
            if (folder / DESCRIPTION).is_file():
                return folder
    kind = "is not there" if not path.exists() else "holds no model"
    raise ModelError(f"{path} {kind}: name a run, a checkpoint or a folder with {DESCRIPTION}")


def sync(path: Path) -> None:
    """Have the disk hold a file, or a folder's entries, before going on."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _build(file: Path, words: Mapping[str, Any], trust: bool) -> nn.Module:
    room, _, name = words["class_path"].rpartition(".")
    if not trust and not room.startswith("generators."):
        raise ModelError(f"{file} wants to run {words['class_path']}: use --trust if you know where it is from")
    try:
        kind = getattr(import_module(room), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ModelError(f"{file} names the class {words['class_path']}, which is not to be had here") from error
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise ModelError(f"{file} names {words['class_path']}, which is no network")
    try:
        return kind(**(words.get("init_args") or {}))
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"{file} gives {name} arguments that it does not take: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
