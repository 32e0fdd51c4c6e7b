"""What a codec makes of some sound: how its codebooks or its continuous values are used."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from gan.audio import AudioError, Reader, find_audio
from gan.coding.files import KnownCodec, encoded
from generators.codec import Codec
from generators.contract import ModelError

CHUNK = 10.0  # seconds


def hear(codec: KnownCodec, source: Path) -> dict[str, float]:
    """Encode a file or a folder of them, and describe the codes of all: see generators.codec.Codec.describe.

    Raises:
        AudioError: there is nothing to hear.
        ModelError: this codec cannot describe what it makes.
    """
    if not isinstance(codec.coder, Codec):
        raise ModelError(f"a {type(codec.coder).__name__} cannot say how it uses its codes: leave out --on")
    files: Sequence[Path] = find_audio(source) if source.is_dir() else [source]
    if not files:
        raise AudioError(f"{source}: no audio files in this folder")
    pieces: list[NDArray[Any]] = []
    for file in tqdm(files, desc="listen", unit="file", disable=None):
        with Reader(file) as reader:
            for codes in encoded(reader, codec, round(CHUNK * codec.facts.sample_rate)):
                pieces.extend(codes)  # streams are heard one after another
    device = next(codec.coder.parameters()).device
    return codec.coder.describe(torch.from_numpy(np.concatenate(pieces, axis=1))[None].to(device))


def draw(codec: Codec, file: Path) -> None:
    """Draw a codec's codebooks, where they lie on a grid.

    Raises:
        ModelError: they do not.
        OSError: the picture cannot be written.
    """
    if not hasattr(codec.bottleneck, "draw"):
        raise ModelError(f"the codebooks of a {type(codec.bottleneck).__name__} lie on no grid: leave out --picture")
    cast(Any, codec.bottleneck).draw(file)
