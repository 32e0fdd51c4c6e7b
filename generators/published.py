"""Published weights of the Descript Audio Codec (Kumar et al. 2023) as a codec of ours.

Two kinds are read: descript-audio-codec's own files of weights (weights_44khz.pth), and folders of transformers'
`DacModel` (config.json and model.safetensors). Neither package is needed. The layout is read off the tensors' shapes,
the sample rate alone from the words beside them. Nothing is ever executed.

To learn on, the quantiser's dropout is the paper's 0.5: Descript's files say 0, whatever the network was trained with.

The codec's `usage` is not published: every code is as likely as any other until `codec.usage.count` sees some.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from generators import store
from generators.codec import Codec
from generators.contract import ModelError
from generators.dac import Decoder, Encoder
from generators.factorised import FactorisedVQ
from generators.published_files import CONFIG, State, one_line, read_file, read_folder

# Where a layer's weight is kept as a direction and lengths: the names of lengths and directions.
WEIGHT_NORMS = (("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1"))


def load_descript(path: Path) -> Codec:
    """Read published weights.

    Args:
        path: a file of descript-audio-codec's, or a folder of transformers' `DacModel`.

    Returns:
        The codec, in eval mode, on the CPU.

    Raises:
        ModelError: it is neither, it is damaged, or it is of another network.
    """
    return _read(path)[0]


def convert(source: Path, folder: Path) -> None:
    """Write published weights as a generator's folder, which generators.store reads.

    Args:
        source: see `load_descript`.
        folder: is replaced where it stands already.

    Raises:
        ModelError: see `load_descript`; or the folder cannot be written; what stood there before still stands.
    """
    codec, spec = _read(source)
    try:
        store.save(folder, codec, spec)
    except OSError as error:
        raise ModelError(
            f"{folder}: cannot be written ({error.strerror or 'no reason is given'}): name another folder"
        ) from error
    except SafetensorError as error:  # its words for the system's, as on a full disk
        raise ModelError(f"{folder}: cannot be written: is the disk full? Make room, or name another folder") from error


def _read(path: Path) -> tuple[Codec, dict[str, Any]]:
    """Read weights of either kind: the codec, and the description that builds it anew."""
    config: dict[str, Any] = {}
    try:
        if path.is_dir():
            state, config = read_folder(path)
            rate = config.get("sampling_rate")
            depths, names = r"encoder\.block\.(\d+)\.", _transformers_names
        else:
            state, rate = read_file(path)
            depths, names = r"encoder\.block\.(\d+)\.block\.", _descript_names
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    try:
        weights = _rename(state, names(_count(state, depths), _count(state, r"quantizer\.quantizers\.(\d+)\.")))
        spec = _describe(weights, rate)
        _check_config(config, spec["init_args"])
        codec = _build(spec)
        _fill(codec, weights)
    except ModelError as error:
        raise ModelError(f"{path}: holds no Descript Audio Codec that can be read: {error}") from error
    return codec.eval(), spec


def _count(state: State, pattern: str) -> int:
    """Count the different numbers that names begin with."""
    found = (re.match(pattern, name) for name in state)
    return len({match.group(1) for match in found if match})


def _descript_names(depths: int, books: int) -> Iterator[tuple[str, str]]:
    """Name every layer in our codec and in descript-audio-codec's."""
    yield "encoder.enter", "encoder.block.0"
    yield "decoder.enter", "decoder.model.0"
    for depth in range(depths):
        ours, theirs = f"encoder.stages.{depth}", f"encoder.block.{depth + 1}.block"
        for unit, layer in _units():
            yield f"{ours}.0.{unit}.layers.{layer}", f"{theirs}.{unit}.block.{layer}"
        yield f"{ours}.1.0", f"{theirs}.3"
        yield f"{ours}.1.1", f"{theirs}.4"
        ours, theirs = f"decoder.stages.{depth}", f"decoder.model.{depth + 1}.block"
        yield f"{ours}.up.layers.0", f"{theirs}.0"
        yield f"{ours}.up.layers.1", f"{theirs}.1"
        for unit, layer in _units():
            yield f"{ours}.units.{unit}.layers.{layer}", f"{theirs}.{unit + 2}.block.{layer}"
    for half, layers in (("encoder", "block"), ("decoder", "model")):
        yield f"{half}.leave.0", f"{half}.{layers}.{depths + 1}"
        yield f"{half}.leave.1", f"{half}.{layers}.{depths + 2}"
    yield from _book_names(books)


def _transformers_names(depths: int, books: int) -> Iterator[tuple[str, str]]:
    """Name every layer in our codec and in transformers'."""
    names = ("snake1", "conv1", "snake2", "conv2")
    for half in ("encoder", "decoder"):
        yield f"{half}.enter", f"{half}.conv1"
        yield f"{half}.leave.0", f"{half}.snake1"
        yield f"{half}.leave.1", f"{half}.conv2"
    for depth in range(depths):
        ours, theirs = f"encoder.stages.{depth}", f"encoder.block.{depth}"
        for unit, layer in _units():
            yield f"{ours}.0.{unit}.layers.{layer}", f"{theirs}.res_unit{unit + 1}.{names[layer]}"
        yield f"{ours}.1.0", f"{theirs}.snake1"
        yield f"{ours}.1.1", f"{theirs}.conv1"
        ours, theirs = f"decoder.stages.{depth}", f"decoder.block.{depth}"
        yield f"{ours}.up.layers.0", f"{theirs}.snake1"
        yield f"{ours}.up.layers.1", f"{theirs}.conv_t1"
        for unit, layer in _units():
            yield f"{ours}.units.{unit}.layers.{layer}", f"{theirs}.res_unit{unit + 1}.{names[layer]}"
    yield from _book_names(books)


def _units() -> Iterator[tuple[int, int]]:
    """Number the four layers of each of three residual units."""
    yield from ((unit, layer) for unit in range(3) for layer in range(4))


def _book_names(books: int) -> Iterator[tuple[str, str]]:
    for book in range(books):
        theirs = f"quantizer.quantizers.{book}"
        yield f"bottleneck.books.{book}.enter", f"{theirs}.in_proj"
        yield f"bottleneck.books.{book}.leave", f"{theirs}.out_proj"
        yield f"bottleneck.books.{book}", f"{theirs}.codebook"


def _rename(state: Mapping[str, Tensor], names: Iterator[tuple[str, str]]) -> State:
    """Give tensors our names, lengths multiplied into directions.

    Raises:
        ModelError: there are tensors without a place, or places without a tensor.
    """
    left = dict(state)
    weights: State = {}
    for ours, theirs in names:
        found = {name.removeprefix(f"{theirs}."): left.pop(name) for name in _of_layer(left, theirs)}
        for lengths, directions in WEIGHT_NORMS:
            if lengths in found and directions in found:
                found["weight"] = _fold(found.pop(lengths), found.pop(directions))
        if theirs.endswith(".codebook"):
            found = {"entries" if name == "weight" else name: tensor for name, tensor in found.items()}
        if not found:
            raise ModelError(f"it has no {theirs}")
        weights |= {f"{ours}.{name}": tensor.float() for name, tensor in found.items()}
    if left:
        raise ModelError(f"it has a {one_line(next(iter(left)))}, of which DAC has none")
    return weights


def _of_layer(state: State, layer: str) -> list[str]:
    tensors = ("weight", "bias", "alpha", *(name for pair in WEIGHT_NORMS for name in pair))
    return [name for name in (f"{layer}.{tensor}" for tensor in tensors) if name in state]


def _fold(lengths: Tensor, directions: Tensor) -> Tensor:
    """Multiply lengths, one for each first index, into directions, as weight norm does in every step."""
    if directions.ndim < 2 or lengths.numel() != directions.shape[0]:
        raise ModelError(f"lengths {list(lengths.shape)} do not fit directions {list(directions.shape)}")
    norms = directions.flatten(1).norm(dim=1)
    scale = lengths.flatten() / norms
    weight: Tensor = directions * scale.view(-1, *[1] * (directions.ndim - 1))
    return weight


def _describe(weights: State, rate: Any) -> dict[str, Any]:
    """Read the layout off the weights' shapes: what generators.store builds the codec from.

    Raises:
        ModelError: there is none in them.
    """
    if type(rate) is not int or not 1 <= rate <= store.HIGHEST_RATE:
        raise ModelError(f"its sample rate {one_line(rate)} is none: it is in Hz, 1 to {store.HIGHEST_RATE}")
    depths, books = _count(weights, r"encoder\.stages\.(\d+)\."), _count(weights, r"bottleneck\.books\.(\d+)\.")
    try:
        width, audio = weights["encoder.enter.weight"].shape[:2]
        shared = {"dimension": weights["encoder.leave.1.weight"].shape[0], "audio": audio}
        downs = [weights[f"encoder.stages.{depth}.1.1.weight"].shape[2] // 2 for depth in range(depths)]
        ups = [weights[f"decoder.stages.{depth}.up.layers.1.weight"].shape[2] // 2 for depth in range(depths)]
        wide = weights["decoder.enter.weight"].shape[0]
        entries, code_dimension = weights["bottleneck.books.0.entries"].shape
    except (KeyError, ValueError, IndexError) as error:
        raise ModelError("its layers are not laid out as DAC's are") from error
    sizes = {"codebooks": books, "entries": entries, "code_dimension": code_dimension}
    quantiser = {"dimension": shared["dimension"], **sizes, "dropout": 0.5 if books > 1 else 0.0}
    odd = any(stride % 2 for stride in ups)
    decoder = {"width": wide, "strides": ups[::-1], **shared, "published_end": odd}
    return {
        "class_path": "generators.codec.Codec",
        "init_args": {
            "sample_rate": rate,
            "encoder": _part(Encoder, {"width": width, "strides": downs, **shared}),
            "bottleneck": _part(FactorisedVQ, quantiser),
            "decoder": _part(Decoder, decoder),
        },
    }


def _check_config(config: Mapping[str, Any], parts: Mapping[str, Any]) -> None:
    """Compare the sizes that config.json tells, as far as it does, with the weights' own.

    Raises:
        ModelError: the two are not of one model.
    """
    encoder, bottleneck, decoder = (parts[name]["init_args"] for name in ("encoder", "bottleneck", "decoder"))
    sizes = {
        "encoder_hidden_size": encoder["width"],
        "downsampling_ratios": encoder["strides"],
        "hidden_size": encoder["dimension"],
        "n_codebooks": bottleneck["codebooks"],
        "codebook_size": bottleneck["entries"],
        "codebook_dim": bottleneck["code_dimension"],
        "decoder_hidden_size": decoder["width"],
        "upsampling_ratios": decoder["strides"][::-1],
    }
    for name, size in sizes.items():
        if config.get(name, size) != size:
            told = one_line(config[name])
            raise ModelError(f"{CONFIG} says {name} {told}, but the weights have {size}: get both of one model")


def _part(kind: type, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"class_path": f"{kind.__module__}.{kind.__name__}", "init_args": arguments}


def _build(spec: dict[str, Any]) -> Codec:
    """Build the codec without weights.

    Raises:
        ModelError: no codec has such a layout.
    """
    parts = spec["init_args"]
    encoder, bottleneck, decoder = (parts[name]["init_args"] for name in ("encoder", "bottleneck", "decoder"))
    try:
        return Codec(Encoder(**encoder), FactorisedVQ(**bottleneck), Decoder(**decoder), parts["sample_rate"])
    except RuntimeError as error:  # shapes that no memory holds
        raise ModelError("its layers are larger than this machine's memory holds") from error


def _fill(codec: Codec, weights: State) -> None:
    """Fill in all weights but those of `usage`.

    Raises:
        ModelError: they are too few, of other shapes, or not finite.
    """
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise ModelError(f"it has numbers that are not finite ({name})")
    wanted = codec.state_dict()
    own = {name: buffer for name, buffer in wanted.items() if name.startswith("usage.")}
    for name in wanted:
        if name not in weights and name not in own:
            raise ModelError(f"it has nothing for {name}")
    for name, tensor in weights.items():
        if name not in wanted:
            raise ModelError(f"it has a value for {name}, where DAC has none")
        if tensor.shape != wanted[name].shape:
            has, fits = ("x".join(map(str, one.shape)) or "a number" for one in (tensor, wanted[name]))
            raise ModelError(f"its layers do not fit each other: {name} is {has}, but the rest wants {fits}")
    codec.load_state_dict(weights | own)
