"""Encoded files in memory: small ones, without a network."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from gan.coding.bitstream import BitstreamReader, CodecFacts, Header, Priors
from gan.coding.writing import BitstreamWriter

SHARES = [0.5 ** np.arange(entries) for entries in (16, 5, 300)]


def header(codebooks: Sequence[int] = (16, 5, 300), width: int | None = None, **words: Any) -> Header:
    """Describe 0.05 s of stereo for a mono codec: 800 samples, 50 frames in blocks of 20."""
    facts = CodecFacts(
        "generators.codec.Codec", "ab" * 32, "cd" * 32, 16000, 1, 16, 16, tuple(codebooks), len(codebooks) or 3
    )
    given = {"sample_rate": 16000, "channels": 2, "samples": 800, "subtype": "PCM_16", "block_frames": 20, **words}
    return Header(codec=facts, width=width or facts.width, prior=None, **given)


def codes_for(head: Header, seed: int = 0) -> np.ndarray:
    """Draw codes [streams, width, frames], or values where the codec is continuous."""
    rng = np.random.default_rng(seed)
    shape = (head.streams, head.codec.width, head.frames)
    if not head.codec.codebooks:
        return rng.standard_normal(shape).astype(np.float32)
    tops = np.array(head.codec.codebooks)[:, None]
    return np.minimum(rng.geometric(0.5, shape) - 1, tops - 1)[:, : head.width]


def write(head: Header, codes: np.ndarray, priors: Priors | None = None) -> bytes:
    """Give the file's bytes."""
    file = io.BytesIO()
    writer = BitstreamWriter(file, head, priors)
    writer.append(codes)
    writer.close()
    return file.getvalue()


def read(content: bytes, priors: Priors | None = None) -> np.ndarray:
    """Read all codes."""
    reader = BitstreamReader(io.BytesIO(content), priors)
    return np.concatenate(list(reader.read(0, reader.header.frames)), axis=2)
