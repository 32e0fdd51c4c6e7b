"""What a codec makes of some sound: how its codebooks or its continuous values are used."""

import copy
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from gan.audio import AudioError, Reader, find_audio
from gan.cli.inspection import Coding, number
from gan.cli.worker import EXPECTED, one_line, say
from gan.coding.codecs import KnownCodec
from gan.coding.files import encoded
from generators.codec import Codec
from generators.contract import Coder, ModelError

CHUNK = 10.0  # seconds
PICTURES = (".png", ".svg", ".pdf", ".jpg")


def hear(codec: KnownCodec, source: Path) -> tuple[dict[str, float], int]:
    """Encode a file or a folder of them, and describe the codes of all: see generators.codec.Codec.describe.

    In a folder a file that fails is left out with a line for the user, all of it.

    Returns:
        What was heard, and how many files were left out.

    Raises:
        AudioError: there is nothing to hear, or nothing that can be.
        ModelError: this codec cannot describe what it makes.
    """
    if not isinstance(codec.coder, Codec):
        raise ModelError(f"a {type(codec.coder).__name__} cannot say how it uses its codes: leave out --on")
    files: Sequence[Path] = find_audio(source) if source.is_dir() else [source]
    if not files:
        raise AudioError(f"{source}: no audio files in this folder")
    heard: Counts | Spread = Counts(codec.facts.codebooks) if codec.facts.codebooks else Spread(codec.facts.width)
    failed = []
    for file in tqdm(files, desc="listen", unit="file", disable=None):
        try:
            heard = _heard_with(heard, codec, file)
        except EXPECTED as error:
            if not source.is_dir():
                raise
            failed.append(one_line(error))
    for reason in failed:
        say(f"failed: {reason}")
    if len(failed) == len(files):
        raise AudioError(f"{source}: no file in this folder can be heard")
    if isinstance(heard, Spread) and heard.frames < 2:
        raise AudioError(f"{source}: is one frame of this codec, too short to say what varies; name a longer recording")
    return heard.describe(codec.coder), len(failed)


def _heard_with(heard: "Counts | Spread", codec: KnownCodec, file: Path) -> "Counts | Spread":
    """Give what was heard and a file besides: the whole file, or what was heard stays as it was."""
    more = copy.deepcopy(heard)
    with Reader(file) as reader:
        for codes in encoded(reader, codec, round(CHUNK * codec.facts.sample_rate)):
            for stream in codes:
                more.add(stream)
    return more


class Counts:
    """How often each entry of each codebook was chosen.

    Args:
        codebooks: how many entries each has.
    """

    def __init__(self, codebooks: Sequence[int]) -> None:
        self.counts = [np.zeros(entries, np.int64) for entries in codebooks]

    def add(self, codes: NDArray[Any]) -> None:
        """Count [codebooks, frames]; negative codes were left out."""
        for book, chosen in enumerate(codes):
            self.counts[book] += np.bincount(chosen[chosen >= 0], minlength=len(self.counts[book]))

    def describe(self, codec: Codec) -> dict[str, float]:
        """Say what generators.codec.Codec.describe says of all codes at once."""
        usage = copy.deepcopy(codec.usage)
        assert usage is not None, "a codec with codebooks has one"
        for share, count in zip(usage.shares, self.counts, strict=True):
            total = count.sum()
            share.copy_(torch.from_numpy(count / total) if total else torch.full_like(share, 1 / len(share)))
        # Adding zero makes a -0 a 0.
        return {name: float(fact) + 0.0 for name, fact in usage.facts(codec.sample_rate / codec.frame).items()}


class Spread:
    """Mean and covariance of continuous values, part by part (Chan et al. 1979).

    Args:
        width: values a frame.
    """

    def __init__(self, width: int) -> None:
        self.frames = 0
        self.mean = np.zeros(width)
        self.products = np.zeros((width, width))

    def add(self, values: NDArray[Any]) -> None:
        """Take in [width, frames]."""
        wide = values.astype(np.float64)
        count, mean = wide.shape[1], wide.mean(axis=1)
        centred, step = wide - mean[:, None], mean - self.mean
        total = self.frames + count
        self.products += centred @ centred.T + np.outer(step, step) * (self.frames * count / total)
        self.mean += step * (count / total)
        self.frames = total

    def describe(self, codec: Codec) -> dict[str, float]:
        """Say what generators.codec.Codec.describe says of all values at once.

        Raises:
            ModelError: the values are not finite.
        """
        if not np.isfinite(self.products).all():
            raise ModelError("this codec makes values of the sound that are not finite: take an earlier checkpoint")
        variances, axes = np.linalg.eigh(self.products / self.frames)
        # It wants frames, so it gets few that vary in the same way: there and back along every axis.
        points = axes * np.sqrt(variances.clip(min=0))
        return codec.describe(torch.from_numpy(np.concatenate([points, -points], axis=1))[None])


def heard_lines(heard: Mapping[str, float], codec: Coding) -> list[tuple[str, str]]:
    """Give what was heard as names and values with their units, for a table."""
    return [(f"  {name}", _with_unit(name, value, codec)) for name, value in heard.items()]


def _with_unit(name: str, value: float, codec: Coding) -> str:
    parts = name.split("/")
    match parts:
        case ["codebook", book, "entropy"]:
            most = math.log2(codec.codebooks[int(book)])
            return f"{value:.4g} bits a frame, of {most:.4g} bits at most"
        case ["codebook", book, "used"]:
            return f"{100 * value:.4g} % of {codec.codebooks[int(book)]} entries"
        case ["bitrate"]:
            return f"{number(value)} kbit/s"
        case ["components", share]:
            return f"{value:.0f} of {codec.width} hold {100 * float(share):.4g} % of the variance"
    return f"{value:.4g}"


def check_picture(coder: Coder, file: Path) -> None:
    """See that a picture can be drawn.

    Raises:
        ModelError: the codebooks lie on no grid, the file's name is no picture's, or it is there already.
    """
    bottleneck = getattr(coder, "bottleneck", coder)
    if not hasattr(bottleneck, "draw"):
        raise ModelError(f"the codebooks of a {type(bottleneck).__name__} lie on no grid: leave out --picture")
    if file.is_dir() or file.suffix.lower() not in PICTURES:
        raise ModelError(f"{file}: name a picture's file, whose ending is one of {' '.join(PICTURES)}")
    if file.exists():
        raise ModelError(f"{file}: is there already: name another file")


def draw(coder: Coder, file: Path) -> None:
    """Draw a codec's codebooks, which lie on a grid, and say so.

    Raises:
        ModelError: see `check_picture`.
        OSError: the picture cannot be written.
    """
    check_picture(coder, file)
    cast(Any, getattr(coder, "bottleneck", coder)).draw(file)
    say(f"{file}: the picture is written")
