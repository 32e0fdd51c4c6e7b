"""Files that codecs are published in: what they have to be, and which of it they are not, in plain words.

Nothing in a file is ever executed, and no library's own words reach the user.
"""

import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from generators.contract import ModelError

State = dict[str, Tensor]

CONFIG, WEIGHTS = "config.json", "model.safetensors"
DESCRIPTION = "generator.yaml"
WANTED = "name a .pth file of descript-audio-codec, or a folder that transformers' DacModel was saved to"
AGAIN = "get the file again"
# What files of torch.save begin with: a zip archive's first entry, or before torch 1.6 a pickle of protocol 2.
ZIP, OLD = b"PK\x03\x04", b"\x80\x02"
# Kinds of numbers that weights are published in.
KINDS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def read_file(path: Path) -> tuple[State, Any]:
    """Read a file of descript-audio-codec's: its tensors and its sample rate.

    Raises:
        ModelError: it is none; the message goes on from the file's name.
    """
    words = _load(path)
    if not isinstance(words, dict) or not isinstance(words.get("state_dict"), dict):
        raise ModelError(f"is no file of descript-audio-codec's (it has no state_dict): {WANTED}")
    metadata = words.get("metadata")
    arguments = metadata.get("kwargs") if isinstance(metadata, dict) else None
    if not isinstance(arguments, dict) or "sample_rate" not in arguments:
        raise ModelError(f"is no file of descript-audio-codec's (its metadata tells no sample_rate): {WANTED}")
    named = {str(name): tensor for name, tensor in words["state_dict"].items() if isinstance(tensor, Tensor)}
    return _checked(named), arguments["sample_rate"]


def read_folder(path: Path) -> tuple[State, dict[str, Any]]:
    """Read a folder of transformers': its tensors and its config.json.

    Raises:
        ModelError: it is none; the message goes on from the folder's name.
    """
    if (path / DESCRIPTION).is_file():
        raise ModelError("is a model of this program already: there is nothing to import")
    if not (path / CONFIG).is_file():
        raise ModelError(f"is a folder without {CONFIG}: {WANTED}")
    try:
        words = json.loads((path / CONFIG).read_text())
    except OSError as error:
        raise ModelError(f"{CONFIG} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{CONFIG} in it is damaged, or no JSON: {AGAIN}") from error
    kind = words.get("model_type") if isinstance(words, dict) else None
    if kind != "dac":
        said = (
            f"names the model_type {one_line(kind)}, not dac"
            if isinstance(kind, str)
            else "names no model_type: dac is wanted"
        )
        raise ModelError(f"is no DacModel's folder ({CONFIG} {said}): {WANTED}")
    if not (path / WEIGHTS).is_file():
        raise ModelError(f"has no {WEIGHTS}: get that too, or save the DacModel anew with save_pretrained")
    try:
        state = load_file(path / WEIGHTS)
    except OSError as error:
        raise ModelError(f"{WEIGHTS} cannot be read ({error.strerror or 'no reason is given'})") from error
    except SafetensorError as error:
        raise ModelError(f"{WEIGHTS} in it is cut short or damaged: {AGAIN}") from error
    return _checked(state), words


def one_line(what: Any) -> str:
    """Show a value of a file's on one line, cut where it is long."""
    return " ".join(str(what).split())[:100]


def _checked(state: State) -> State:
    """Give tensors that are plain numbers, all of them there.

    Raises:
        ModelError: one is of another kind, or holds what is no number.
    """
    for name, tensor in state.items():
        if (wrong := _wrong(tensor)) is not None:
            raise ModelError(f"holds no weights that can be read: {one_line(name)} {wrong}: {AGAIN}, or {WANTED}")
    return state


def _wrong(tensor: Tensor) -> str | None:
    """Say what keeps a tensor from being weights; numbers are looked at last, once they are known to be there."""
    if type(tensor) not in (Tensor, nn.Parameter) or tensor.is_nested or tensor.layout is not torch.strided:
        return f"is no plain table of numbers ({tensor.layout})"
    if tensor.is_quantized or tensor.dtype not in KINDS:
        return f"is of {tensor.dtype}, not of real numbers of 16, 32 or 64 bits"
    if tensor.device.type != "cpu" or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return f"claims {tensor.numel()} numbers that are not in the file"
    if not torch.isfinite(tensor).all():
        return "has numbers that are not finite"
    return None


def _load(path: Path) -> Any:
    """Read what torch.save wrote, tensors and plain values alone.

    Raises:
        ModelError: it did not write this file, or wrote other things.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except FileNotFoundError as error:
        raise ModelError(f"is not there: {WANTED}") from error
    except OSError as error:
        raise ModelError(f"cannot be read ({error.strerror})") from error
    if not start:
        raise ModelError(f"is empty: {AGAIN}")
    if not start.startswith((ZIP, OLD)):
        raise ModelError(f"is no file of weights: {WANTED}")
    if start == ZIP and not zipfile.is_zipfile(path):
        raise ModelError(f"is cut short: {AGAIN}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what a pickle is like
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever torch says to a file that nobody has checked
        if start == ZIP and _is_whole(path):
            raise ModelError(f"holds other things than weights, and nothing in it is run: {WANTED}") from error
        raise ModelError(f"is damaged, or holds other things than weights: {AGAIN}, or {WANTED}") from error


def _is_whole(path: Path) -> bool:
    """Check every entry of a zip archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:  # whatever zipfile says to a damaged archive, zlib's errors too
        return False
