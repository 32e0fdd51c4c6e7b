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
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gan.coding.entropy import BitstreamError, DamagedError, Priors, decode_row
from gan.coding.header import CHECKSUM, CodecFacts, Header, read_header
from gan.coding.rows import ROW, split_rows
from gan.files import refuse_pipe

__all__ = ["BitstreamError", "BitstreamReader", "CodecFacts", "DamagedError", "Header"]
__all__ += ["Priors", "reading"]

BLOCK = struct.Struct("<III")
FOOTER = struct.Struct("<QI")
ENDING = b"UNSX"

Codes = NDArray[Any]


class BitstreamReader:
    """Reads an encoded file: its header and index at once, its blocks when they are asked for.

    Args:
        file: a seekable file.
        priors: of the codec; None where no code is to be read.
        name: of the file, for messages.
        mend: where the end or the index is damaged, look for the blocks one after the other; see `fault`.

    Attributes:
        header: see gan.coding.header.Header.
        size: of the whole file, bytes.
        fault: what is wrong with the file beside its blocks, if `mend` found a way; None if nothing is.

    Raises:
        BitstreamError: it is no encoded file, or damaged, or of other codebooks.
    """

    def __init__(
        self, file: BinaryIO, priors: Priors | None = None, name: str = "the file", *, mend: bool = False
    ) -> None:
        self._file, self._name = file, name
        self._priors: Priors | None = None
        try:
            file.seek(0)
            self.header = read_header(file)
            first = file.tell()
            self.size = file.seek(0, 2)
            self.fault: str | None = None
            try:
                self._offsets = self._index(first)
            except BitstreamError as error:
                if not mend:
                    raise
                self.fault, self._offsets = str(error), self._walk(first)
        except BitstreamError as error:
            raise BitstreamError(f"{name}: {error}") from error
        if priors:
            self.expect(priors)

    def expect(self, priors: Priors) -> None:
        """Take a codec's priors to read codes with.

        Rows that were range coded under others are refused when they are met; packed ones need none.

        Raises:
            BitstreamError: the file's codebooks are others.
        """
        if priors.entries != self.header.codec.codebooks:
            raise BitstreamError(f"{self._name}: has codebooks of other sizes")
        self._priors = priors if self.header.prior == priors.checksum else None

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
                model = self._priors.model(codebook) if self._priors and entries is not None else None
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
        if number + 1 >= len(self._offsets):
            raise self._damaged(number, "the file is cut short", to_the_end=True)
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
            return split_rows(content[BLOCK.size : -CHECKSUM.size], self.header, frames)
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
        most = self._longest()
        sizes = np.diff(np.array(offsets, dtype=object))
        if offsets[0] != first or min(sizes) < least or max(sizes) > most:
            raise BitstreamError("has an index that does not fit it")
        return offsets

    def _walk(self, first: int) -> list[int]:
        """Find where the blocks start, as far as each says how long it is, and where the last one of these ends."""
        offsets = [first]
        for number in range(self.header.blocks):
            self._file.seek(offsets[-1])
            head = self._file.read(BLOCK.size)
            if len(head) < BLOCK.size:
                break
            said, frames, length = BLOCK.unpack(head)
            end = offsets[-1] + BLOCK.size + length + CHECKSUM.size
            if (said, frames) != (number, self.header.frames_of(number)) or end > min(
                self.size, offsets[-1] + self._longest()
            ):
                break
            offsets.append(end)
        return offsets

    def _longest(self) -> int:
        """Bytes that a block has at most: no row is longer than four a frame."""
        rows = self.header.streams * self.header.width
        return BLOCK.size + CHECKSUM.size + rows * (ROW.size + 4 * self.header.block_frames)

    def _damaged(self, number: int, why: str, to_the_end: bool = False) -> DamagedError:
        first = number * self.header.block_frames
        last = self.header.frames if to_the_end else first + self.header.frames_of(number)
        start, end = (place * self.header.codec.frame / self.header.codec.sample_rate for place in (first, last))
        where = f"is damaged from {start:.2f} to {end:.2f} s (block {number}: {why})"
        return DamagedError(f"{self._name}: {where}", first, last)


@contextmanager
def reading(path: Path, priors: Priors | None = None, *, mend: bool = False) -> Iterator[BitstreamReader]:
    """Open an encoded file; for `mend` see BitstreamReader.

    Raises:
        BitstreamError: as BitstreamReader; OSError: it cannot be opened.
    """
    refuse_pipe(path)
    with path.open("rb") as file:
        yield BitstreamReader(file, priors, str(path), mend=mend)
