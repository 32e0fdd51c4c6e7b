"""Encoded audio on disk, byte for byte. All numbers are little endian; CRC is CRC-32 (that of zlib and PNG).

    file     header, blocks, index

    header   8   magic 89 55 4E 53 0D 0A 1A 0A
             1   version, 1
             4   length of the text that follows
             n   JSON, ASCII: {"sample_rate" (Hz), "channels", "samples" (a channel), "subtype"  - of the audio file;
                 "codec": {"class_path", "codes_sha256", "model_sha256", "sample_rate", "channels", "frame", "hop",
                 "codebooks" (entries of each; [] if continuous), "width", "samples" (a channel at its rate)},
                 "layout": {"streams", "block_frames", "width" (codebooks in this file), "prior" (CRC or null)}}
             4   CRC of all of the above

    block    4   its number, from 0
             4   frames in it: block_frames, or what is left in the last one
             4   length of the rows that follow
             n   rows: of codebook 0 for stream 0, stream 1 ...; of codebook 1 for stream 0 ...
             4   CRC of all of the above

    row      4   length of what follows (less than 2**24) + 2**24 * coding
             n   one code or value for each frame, see gan.coding.entropy

    index    8   for each block: where it starts in the file
             8   where the index starts
             4   how many blocks
             4   CRC of all of the index above
             4   magic 55 4E 53 58

Streams are the file's channels in groups of the codec's channels (the last one repeated where one is missing). There
are ceil(codec samples / frame) frames, so the number of blocks is known from the header. A block's rows are in the
order of the codebooks, so leaving out the finest ones is cutting bytes off.
"""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gan.coding.entropy import BitstreamError, DamagedError, Priors, check_row, decode_row, encode_row
from gan.coding.header import CHECKSUM, CodecFacts, Header, check_header, read_header

__all__ = ["BitstreamError", "BitstreamReader", "BitstreamWriter", "CodecFacts", "DamagedError", "Header"]
__all__ += ["Priors", "reading"]

BLOCK = struct.Struct("<III")
ROW = struct.Struct("<I")
FOOTER = struct.Struct("<QI")
ENDING = b"UNSX"

Codes = NDArray[Any]


class BitstreamWriter:
    """Writes an encoded file, in the memory of a block.

    Args:
        file: to write to, from where it stands, which becomes the file's start.
        header: what is written.
        priors: to range code under; None packs only. Their checksum goes into the header.

    Raises:
        BitstreamError: a header that cannot be.
    """

    def __init__(self, file: BinaryIO, header: Header, priors: Priors | None = None) -> None:
        self._file = file
        self.header = check_header(replace(header, prior=priors.checksum) if priors else header)
        self._priors = priors
        self._held: Codes | None = None
        self._offsets: list[int] = []
        self._written = 0
        self._write(self.header.to_bytes())

    def append(self, codes: Codes) -> None:
        """Append [streams, width, any number of frames], int64 codes or float values.

        Raises:
            BitstreamError: another shape, or what `gan.coding.entropy.encode_row` does not take.
        """
        held = (self.header.streams, self.header.width)
        if codes.ndim != 3 or codes.shape[:2] != held:
            raise BitstreamError(f"codes {list(codes.shape)} were to be written, [{held[0]}, {held[1]}, ...] are held")
        self._held = codes if self._held is None else np.concatenate([self._held, codes], axis=2)
        while self._held.shape[2] >= (size := self.header.block_frames):
            self._put(self._held[..., :size])
            self._held = self._held[..., size:].copy()

    def close(self) -> None:
        """Write the last block and the index.

        Raises:
            BitstreamError: there were less or more frames than the header says.
        """
        if self._held is not None and self._held.shape[2]:
            self._put(self._held)
        self._held = None
        if (count := len(self._offsets)) != self.header.blocks:
            raise BitstreamError(f"{count} blocks were written, {self.header.blocks} are in the header")
        index = struct.pack(f"<{count}Q", *self._offsets) + FOOTER.pack(self._written, count)
        self._write(index + CHECKSUM.pack(zlib.crc32(index)) + ENDING)

    def put_rows(self, frames: int, rows: bytes) -> None:
        """Write the next block from rows that are encoded already."""
        number = len(self._offsets)
        if number >= self.header.blocks or frames != self.header.frames_of(number):
            raise BitstreamError(f"{frames} frames were to be written as block {number} of {self.header.blocks}")
        content = BLOCK.pack(number, frames, len(rows)) + rows
        self._offsets.append(self._written)
        self._write(content + CHECKSUM.pack(zlib.crc32(content)))

    def _put(self, codes: Codes) -> None:
        rows = bytearray()
        for codebook, entries in enumerate(self.header.codebooks):
            model = self._priors.model(codebook) if self._priors and entries is not None else None
            for stream in codes[:, codebook]:
                coding, content = encode_row(stream, entries, model)
                rows += ROW.pack(len(content) | coding << 24) + content
        self.put_rows(codes.shape[2], bytes(rows))

    def _write(self, content: bytes) -> None:
        self._file.write(content)
        self._written += len(content)


class BitstreamReader:
    """Reads an encoded file: its header and index at once, its blocks when they are asked for.

    Args:
        file: a seekable file.
        priors: of the codec; None where no code is to be read.
        name: of the file, for messages.

    Attributes:
        header: see gan.coding.header.Header.
        size: of the whole file, bytes.

    Raises:
        BitstreamError: it is no encoded file, or damaged, or was range coded under other priors.
    """

    def __init__(self, file: BinaryIO, priors: Priors | None = None, name: str = "the file") -> None:
        self._file, self._name = file, name
        self._priors: Priors | None = None
        try:
            file.seek(0)
            self.header = read_header(file)
            first = file.tell()
            self.size = file.seek(0, 2)
            self._offsets = self._index(first)
        except BitstreamError as error:
            raise BitstreamError(f"{name}: {error}") from error
        if priors:
            self.expect(priors)

    def expect(self, priors: Priors) -> None:
        """Take a codec's priors to read codes with.

        Raises:
            BitstreamError: the file was range coded under others.
        """
        if priors.entries != self.header.codec.codebooks or self.header.prior not in (None, priors.checksum):
            raise BitstreamError(f"{self._name}: was range coded under other shares of the codebooks' entries")
        self._priors = priors

    def block(self, number: int, width: int | None = None) -> Codes:
        """Read a block.

        Args:
            number: from 0.
            width: how many codebooks are wanted, the coarsest; None wants all.

        Returns:
            [streams, width, frames], int64 codes or float32 values.

        Raises:
            BitstreamError: the block is damaged.
        """
        header = self.header
        width = header.width if width is None else width
        frames = header.frames_of(number)
        codes = np.empty((header.streams, width, frames), np.int64 if header.codec.codebooks else np.float32)
        rows = self.rows(number)
        try:
            for codebook, entries in enumerate(header.codebooks[:width]):
                ranged = self._priors is not None and header.prior is not None and entries is not None
                model = self._priors.model(codebook) if ranged and self._priors else None
                for stream in range(header.streams):
                    coding, content = rows[codebook * header.streams + stream]
                    codes[stream, codebook] = decode_row(coding, content, frames, entries, model)
        except BitstreamError as error:
            raise self._damaged(number, str(error)) from error
        return codes

    def read(self, first: int, last: int, width: int | None = None) -> Iterator[Codes]:
        """Read frames first..last - 1, from the blocks that hold them only.

        Yields:
            [streams, width, frames], consecutive.

        Raises:
            BitstreamError: as `block`.
        """
        size = self.header.block_frames
        last = min(last, self.header.frames)
        for number in range(first // size, -(-last // size)):
            start = number * size
            yield self.block(number, width)[..., max(0, first - start) : last - start]

    def rows(self, number: int) -> list[tuple[int, bytes]]:
        """Read a block's rows as they are: coding and bytes, codebook by codebook.

        Raises:
            BitstreamError: the block is damaged.
        """
        start, end = self._offsets[number], self._offsets[number + 1]
        self._file.seek(start)
        content = self._file.read(end - start)
        if len(content) < BLOCK.size + CHECKSUM.size:
            raise self._damaged(number, "is cut short")
        if CHECKSUM.unpack(content[-CHECKSUM.size :])[0] != zlib.crc32(content[: -CHECKSUM.size]):
            raise self._damaged(number, "its checksum is wrong")
        frames = self.header.frames_of(number)
        if BLOCK.unpack_from(content) != (number, frames, len(content) - BLOCK.size - CHECKSUM.size):
            raise self._damaged(number, "it is another one")
        try:
            return _split(content[BLOCK.size : -CHECKSUM.size], self.header, frames)
        except BitstreamError as error:
            raise self._damaged(number, str(error)) from error

    def _index(self, first: int) -> list[int]:
        """Read where the blocks start, and where the last one ends."""
        blocks = self.header.blocks
        tail = FOOTER.size + CHECKSUM.size + len(ENDING)
        start = self.size - tail - 8 * blocks
        least = BLOCK.size + CHECKSUM.size + ROW.size * self.header.streams * self.header.width
        if start < first + least * blocks:
            raise BitstreamError("is cut short")
        self._file.seek(start)
        content = self._file.read(self.size - start)
        index, checksum = content[: -len(ENDING) - CHECKSUM.size], content[-len(ENDING) - CHECKSUM.size : -len(ENDING)]
        if not content.endswith(ENDING) or FOOTER.unpack(index[8 * blocks :]) != (start, blocks):
            raise BitstreamError("is cut short, or goes on after its end")
        if CHECKSUM.unpack(checksum)[0] != zlib.crc32(index):
            raise BitstreamError("has a damaged index")
        offsets = [*struct.unpack(f"<{blocks}Q", index[: 8 * blocks]), start]
        most = least + 4 * self.header.streams * self.header.width * self.header.block_frames
        sizes = np.diff(np.array(offsets, dtype=object))
        if offsets[0] != first or min(sizes) < least or max(sizes) > most:
            raise BitstreamError("has an index that does not fit it")
        return offsets

    def _damaged(self, number: int, why: str) -> DamagedError:
        first = number * self.header.block_frames
        last = first + self.header.frames_of(number)
        start, end = (place * self.header.codec.frame / self.header.codec.sample_rate for place in (first, last))
        where = f"is damaged from {start:.2f} to {end:.2f} s (block {number}: {why})"
        return DamagedError(f"{self._name}: {where}", first, last)


def _split(content: bytes, header: Header, frames: int) -> list[tuple[int, bytes]]:
    rows = []
    place = 0
    for entries in header.codebooks:
        for _ in range(header.streams):
            if place + ROW.size > len(content):
                raise BitstreamError("lacks rows")
            (head,) = ROW.unpack_from(content, place)
            coding, size = head >> 24, head & 0xFFFFFF
            place += ROW.size + size
            if place > len(content):
                raise BitstreamError("lacks a part of a row")
            check_row(coding, size, frames, entries)
            rows.append((coding, content[place - size : place]))
    if place != len(content):
        raise BitstreamError("holds more than its rows")
    return rows


@contextmanager
def reading(path: Path, priors: Priors | None = None) -> Iterator[BitstreamReader]:
    """Open an encoded file.

    Raises:
        BitstreamError: as BitstreamReader; OSError: it cannot be opened.
    """
    with path.open("rb") as file:
        yield BitstreamReader(file, priors, str(path))
