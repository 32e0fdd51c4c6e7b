"""A generator on disk: a folder of weights.safetensors and generator.yaml. Nothing in it is ever executed.

generator.yaml    format: 1
                  class_path: generators.restorer.Restorer
                  init_args: {...}
                  sample_rate: 48000          Hz

An argument that is itself a part (a codec's bottleneck) has a class_path and init_args of its own.

One such folder comes with unshift: generators/voice48, made by recipes/voice48/ship.py.
"""

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from generators.bounds import no_larger_than
from generators.contract import ModelError
from generators.describing import DESCRIPTION, FORMAT, PlainDumper, build, describe, essence, one_line

__all__ = ["DESCRIPTION", "SHIPPED", "SHIPPED_FOLDER", "WEIGHTS", "build", "describe", "essence", "fetch", "load"]
__all__ += ["load_weights", "on_hub", "put_in_place", "resolve", "save", "sync", "whole_checkpoints", "write"]

WEIGHTS = "weights.safetensors"
SHIPPED = "voice48"
"""What the restorer that comes with unshift is called."""
SHIPPED_FOLDER = Path(__file__).with_name(SHIPPED)
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
HIGHEST_RATE = 10_000_000  # Hz
SIZES = {"hop": 1, "reach": 0, "frame": 1, "encoder_reach": 0, "decoder_reach": 0}  # samples, and the least of each
EXACT_ENOUGH = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def save(folder: Path, module: nn.Module, spec: Mapping[str, Any], *, half: bool = False) -> None:
    """Write a generator's folder: whole or not at all.

    Args:
        folder: is replaced where it stands already.
        module: its state is kept, and its `sample_rate` (Hz).
        spec: "class_path" and "init_args" that build the module anew.
        half: keep 32-bit numbers as 16-bit ones, half the size; a network that they are loaded into has 32 bits again.

    Raises:
        ModelError: a number that is finite has no 16-bit form.
        OSError: it cannot be written; what stood there before still stands.
    """
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        write(partial, module, spec, half=half)
        put_in_place(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def write(folder: Path, module: nn.Module, spec: Mapping[str, Any], *, half: bool = False) -> None:
    """Write the two files into a folder that is there; else see `save`."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    if half:
        state = {name: _halved(name, tensor) for name, tensor in state.items()}
    _write(state, folder / WEIGHTS)
    # It writes for the owner alone; a model is as readable as what is beside it.
    (folder / WEIGHTS).chmod(0o666 & ~_umask())
    words = {"format": FORMAT, **spec, "sample_rate": getattr(module, "sample_rate", None)}
    (folder / DESCRIPTION).write_text(yaml.dump(words, Dumper=PlainDumper, sort_keys=False))
    for name in (WEIGHTS, DESCRIPTION):
        sync(folder / name)


def load(folder: Path, *, trust: bool = False) -> nn.Module:
    """Build a generator from its folder, ready to be used: in eval mode, on the CPU.

    Args:
        folder: a generator's own; see `resolve` for runs and checkpoints.
        trust: build classes from outside the `generators` package too, which runs their module's code.

    Raises:
        ModelError: a file is missing or damaged, the class is unknown or not trusted, its sample rate is none, or
            weights do not fit or are not finite.
    """
    words = describe(folder)
    file = folder / DESCRIPTION
    try:
        with no_larger_than(folder / WEIGHTS):
            module = build(words, trust=trust)
    except ModelError as error:
        raise ModelError(f"{file} {error}") from error
    except RecursionError as error:
        raise ModelError(f"{file} names parts within parts without end") from error
    _check_sizes(file, module)
    _check_rate(file, module, words.get("sample_rate"))
    load_weights(folder, module)
    return module.eval()


def load_weights(folder: Path, module: nn.Module, part: str = "") -> None:
    """Fill a module with a folder's weights, all of them, by name.

    Args:
        folder: a generator's own.
        module: what is filled.
        part: only the part of this name is filled, as "encoder" or "decoder.layers.0".

    Raises:
        ModelError: the file is missing or damaged, or its tensors are of another network or not finite.
    """
    file = folder / WEIGHTS
    if file.is_fifo():
        raise ModelError(f"cannot read the weights {file}: is a pipe, and no file")
    try:
        state = load_file(file)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"cannot read the weights {file}: {one_line(error)}") from error
    if part:
        try:
            module = module.get_submodule(part)
        except AttributeError as error:
            raise ModelError(f"the network has no part {part!r}") from error
        state = {name.removeprefix(f"{part}."): x for name, x in state.items() if name.startswith(f"{part}.")}
    own = module.state_dict()
    for name, tensor in state.items():
        _check_tensor(file, name, tensor, own.get(name))
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(
            f"{file} holds the weights of another network: {one_line(error)}; the generator of the recipe (or what "
            f"{DESCRIPTION} says) differs from that of the run which wrote them"
        ) from error


def _check_tensor(file: Path, name: str, tensor: Tensor, own: Tensor | None) -> None:
    """Refuse numbers of another kind than the network's, which would be cut in silence, and what is no number."""
    if (
        own is not None
        and own.dtype != tensor.dtype
        and not (own.dtype in EXACT_ENOUGH and tensor.dtype in EXACT_ENOUGH)
    ):
        raise ModelError(
            f"{file} holds {tensor.dtype} where the network has {own.dtype} ({name}): it is of another one"
        )
    # As the network will hold it: what is finite in 64 bits may not be in 32.
    if own is not None and tensor.is_floating_point() and not torch.isfinite(tensor.to(own.dtype)).all():
        raise ModelError(f"{file} holds numbers that are not finite ({name}): take an earlier checkpoint")


def resolve(path: Path) -> Path:
    """Find the generator's folder in what a user names. What is on this disk is looked at, and nothing is fetched.

    Args:
        path: a generator's folder; a checkpoint, of which the average is preferred; a run, of which the best
            checkpoint is, then the latest, then the newest whole one. Where nothing of that name is there: "voice48",
            which comes with unshift; or "user/name", which `fetch` has brought from the Hugging Face hub.

    Raises:
        ModelError: there is none.
    """
    there, kind = path, "holds no model"
    if not path.exists():
        kind = "is not there"
        if path == Path(SHIPPED):
            there = SHIPPED_FOLDER
        elif on_hub(path):
            from generators import hub

            there = hub.cached(str(path)) or path
    for root in (there, there / "best", there / "latest", *whole_checkpoints(there)[-1:]):
        for folder in (root, root / "average", root / "generator"):
            if (folder / DESCRIPTION).is_file():
                return folder
    raise ModelError(f"{path} {kind}: name a run, a checkpoint or a folder with {DESCRIPTION}")


def on_hub(path: Path) -> bool:
    """Whether a name can only be one on the Hugging Face hub: "user/name", and no folder "user" is here."""
    user, _, name = path.as_posix().partition("/")
    return bool(HUB_NAME.fullmatch(user) and HUB_NAME.fullmatch(name)) and not Path(user).exists()


def fetch(path: Path) -> None:
    """Bring a model from the Hugging Face hub to this disk, where `resolve` finds it. Nothing in it is executed.

    Raises:
        ModelError: the hub does not have it, or cannot be reached and it was never fetched before.
    """
    from generators import hub  # imports that only this needs

    hub.download(str(path))


def whole_checkpoints(run: Path) -> list[Path]:
    """Give a run's whole checkpoints, oldest first; a torn one is named differently."""
    return sorted(folder for folder in (run / "checkpoints").glob("*") if re.fullmatch(r"\d{8}", folder.name))


def sync(path: Path) -> None:
    """Have the disk hold a file, or a folder's entries, before going on."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(state: dict[str, Tensor], file: Path) -> None:
    try:
        save_file(state, file)
    except SafetensorError as error:
        raise OSError(f"{file} cannot be written: {one_line(error)}") from error


def _halved(name: str, tensor: Tensor) -> Tensor:
    if tensor.dtype != torch.float32:
        return tensor
    halved = tensor.half()
    if (torch.isfinite(tensor) & ~torch.isfinite(halved)).any():
        raise ModelError(f"{name} holds numbers beyond {torch.finfo(torch.float16).max:g}, which 16 bits cannot keep")
    return halved


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def put_in_place(partial: Path, folder: Path) -> None:
    """Let a whole new folder take an old one's place; the old one is gone only after that."""
    old = folder.with_name(folder.name + ".old.partial")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    try:
        partial.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _check_sizes(file: Path, module: nn.Module) -> None:
    """See that what a network says of its sizes can be counted with; classes take many a value as it is."""
    for name, least in SIZES.items():
        try:
            size = getattr(module, name, least)
        except Exception as error:  # computed from what its parts were given
            raise ModelError(f"{file} describes a network without a {name}: {one_line(error)}") from error
        if not isinstance(size, int) or size < least:
            raise ModelError(f"{file} gives the network the {name} {one_line(size)}: it is a whole number from {least}")


def _check_rate(file: Path, module: nn.Module, told: Any) -> None:
    if not hasattr(module, "sample_rate") and told is None:
        return
    rate = getattr(module, "sample_rate", None)
    if type(rate) is not int or not 1 <= rate <= HIGHEST_RATE:
        raise ModelError(f"{file} gives the network the sample rate {one_line(rate)}: it is in Hz, 1 to {HIGHEST_RATE}")
    if rate != told:
        raise ModelError(f"{file} says sample_rate {one_line(told)}, but its network works at {rate} Hz")
