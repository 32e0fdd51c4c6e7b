"""How a row of codes becomes bytes: packed bits, range coding under the codebook's usage, or plain floats.

A row is what one codebook (or one number of a continuous latent) says over the frames of a block.

    PACKED   each code in ceil(log2 entries) bits, lowest bit first, bytes filled from their lowest bit; zeros at last
    RANGED   32-bit words, little endian, of a range coder (Martin 1979; constriction's, 24-bit frequencies)
    FLOATS   IEEE 754 32-bit numbers, little endian
"""

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

PACKED, RANGED, FLOATS = 0, 1, 2
TOTAL = 2**20
MOST_RANGED = 2**16
MOST_ENTRIES = 2**31

Row = NDArray[Any]


class BitstreamError(ValueError):
    """An encoded file is damaged, cut short, or none at all; the message is one line."""


class DamagedError(BitstreamError):
    """A block of an encoded file is damaged; the others may be whole.

    Args:
        message: one line.
        first: frame of the block.
        last: frame behind the block.
    """

    def __init__(self, message: str, first: int, last: int) -> None:
        super().__init__(message)
        self.first, self.last = first, last


class Priors:
    """What a range coder expects of every codebook, alike on every machine.

    Args:
        shares: how often each entry of each codebook is used, [entries] of numbers from 0 to 1 that sum up to
            about 1. What is under 2**-32 counts as never.

    Attributes:
        entries: of each codebook.
        counts: whole numbers from 1, [entries] for each codebook, that sum up to 2**20; None for a codebook that is
            only ever packed: of one entry, or of more than 65536.
        checksum: CRC-32 of all of them, to notice an encoder and a decoder that expect different things.

    Raises:
        ValueError: shares that are negative or not finite.
    """

    def __init__(self, shares: Sequence[NDArray[Any]]) -> None:
        self.entries = tuple(map(len, shares))
        self.counts = [frequencies(share) if 2 <= len(share) <= MOST_RANGED else None for share in shares]
        self.checksum = 0
        self._models: list[Any] = []
        for counts in self.counts:
            table = np.zeros(0, "<u4") if counts is None else counts.astype("<u4")
            self.checksum = zlib.crc32(struct.pack("<I", len(table)) + table.tobytes(), self.checksum)
            # Whole numbers with a power of two as their sum: every product and sum inside is exact in 64-bit floats.
            self._models.append(
                None
                if counts is None
                else constriction.stream.model.Categorical(counts.astype(np.float64), perfect=False, lazy=False)
            )

    def model(self, codebook: int) -> Any:
        """Give constriction's model of a codebook, None where it is only ever packed."""
        return self._models[codebook]


def frequencies(shares: NDArray[Any]) -> NDArray[np.int64]:
    """Turn shares into whole numbers from 1 that sum up to 2**20, in integers only: no rounding can differ.

    Raises:
        ValueError: shares that are negative or not finite.
    """
    exact = np.asarray(shares, dtype=np.float64)
    if not (np.isfinite(exact).all() and (exact >= 0).all()):
        raise ValueError("shares of a codebook's entries are to be numbers from 0 to 1")
    whole = np.floor(np.minimum(exact, 1) * 2**32).astype(np.int64)
    if not whole.any():
        whole += 1
    counts: NDArray[np.int64] = 1 + whole * (TOTAL - len(whole)) // int(whole.sum())
    counts[int(whole.argmax())] += TOTAL - int(counts.sum())
    return counts


def packed_size(entries: int, frames: int) -> int:
    """Give the bytes that so many codes take when packed."""
    return -(-frames * (entries - 1).bit_length() // 8)


def encode_row(row: Row, entries: int | None, model: Any = None) -> tuple[int, bytes]:
    """Write a row in the shortest way.

    Args:
        row: [frames], int64 codes or float values.
        entries: of the codebook; None for continuous values.
        model: of Priors.model; None packs.

    Returns:
        PACKED, RANGED or FLOATS, and the bytes.

    Raises:
        BitstreamError: codes that are no entries of the codebook, or values that are not finite.
    """
    if entries is None:
        values = row.astype("<f4")
        if not np.isfinite(values).all():
            raise BitstreamError("latents that are not finite numbers were to be written")
        return FLOATS, values.tobytes()
    if row.dtype.kind not in "iu" or (len(row) and not 0 <= row.min() <= row.max() < entries):
        raise BitstreamError(f"codes outside a codebook of {entries} entries were to be written")
    packed = _pack(row.astype(np.int64), (entries - 1).bit_length())
    if model is not None:
        ranged = _range(row, model)
        if len(ranged) < len(packed):
            return RANGED, ranged
    return PACKED, packed


def decode_row(coding: int, content: bytes, frames: int, entries: int | None, model: Any = None) -> Row:
    """Read what `encode_row` wrote.

    Args:
        coding: PACKED, RANGED or FLOATS.
        content: the bytes.
        frames: how many codes or values they hold.
        entries: see `encode_row`.
        model: see `encode_row`.

    Returns:
        [frames], int64 codes or float32 values.

    Raises:
        BitstreamError: the bytes are none that `encode_row` writes.
    """
    check_row(coding, len(content), frames, entries)
    if entries is None:
        values = np.frombuffer(content, "<f4").astype(np.float32)
        if not np.isfinite(values).all():
            raise BitstreamError("holds latents that are not finite numbers")
        return values
    row = _unpack(content, frames, (entries - 1).bit_length()) if coding == PACKED else _unrange(content, frames, model)
    if len(row) and not 0 <= row.min() <= row.max() < entries:
        raise BitstreamError(f"holds codes outside a codebook of {entries} entries")
    return row


def check_row(coding: int, size: int, frames: int, entries: int | None) -> None:
    """Refuse a coding or a size that `encode_row` never gives, before anything is read.

    Raises:
        BitstreamError: so it is.
    """
    if entries is None:
        right = coding == FLOATS and size == 4 * frames
    elif coding == PACKED:
        right = size == packed_size(entries, frames)
    else:
        right = coding == RANGED and size % 4 == 0 and size < packed_size(entries, frames)
    if not right:
        raise BitstreamError(f"holds a row of {frames} frames in {size} bytes by coding {coding}, which cannot be")


def _pack(row: NDArray[np.int64], width: int) -> bytes:
    bits = (row[:, None] >> np.arange(width)) & 1
    return np.packbits(bits.astype(np.uint8).ravel(), bitorder="little").tobytes()


def _unpack(content: bytes, frames: int, width: int) -> NDArray[np.int64]:
    bits = np.unpackbits(np.frombuffer(content, np.uint8), bitorder="little")
    if bits[frames * width :].any():
        raise BitstreamError("holds bits after the last code")
    row: NDArray[np.int64] = bits[: frames * width].reshape(frames, width).astype(np.int64) @ (1 << np.arange(width))
    return row


def _range(row: NDArray[np.int64], model: Any) -> bytes:
    encoder = constriction.stream.queue.RangeEncoder()
    encoder.encode(row.astype(np.int32), model)
    words: NDArray[np.uint32] = encoder.get_compressed()
    return words.astype("<u4").tobytes()


def _unrange(content: bytes, frames: int, model: Any) -> NDArray[np.int64]:
    if model is None:
        raise BitstreamError("is range coded under shares of the codebook's entries that are not this codec's")
    decoder = constriction.stream.queue.RangeDecoder(np.frombuffer(content, "<u4").astype(np.uint32))
    try:
        row: NDArray[np.int64] = decoder.decode(model, frames).astype(np.int64)
    except AssertionError as error:  # constriction's word for bytes that no encoder writes
        raise BitstreamError("holds a range-coded row that is damaged") from error
    # Many words lead to the same codes, no word at all to any number of them; an encoder writes only one kind.
    if _range(row, model) != content:
        raise BitstreamError("holds a range-coded row that no encoder writes")
    return row
