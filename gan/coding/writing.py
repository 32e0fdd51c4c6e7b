"""Writing an encoded file; for what is written see gan.coding.bitstream."""

import struct
import zlib
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gan.coding.bitstream import BLOCK, ENDING, FOOTER
from gan.coding.entropy import BitstreamError, Priors, encode_row
from gan.coding.header import CHECKSUM, Header, check_header
from gan.coding.rows import pack_rows

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

    def put_rows(self, frames: int, rows: list[tuple[int, bytes]]) -> None:
        """Write the next block from rows that are encoded already: coding and bytes, codebook by codebook."""
        number = len(self._offsets)
        if number >= self.header.blocks or frames != self.header.frames_of(number):
            raise BitstreamError(f"{frames} frames were to be written as block {number} of {self.header.blocks}")
        packed = pack_rows(rows)
        content = BLOCK.pack(number, frames, len(packed)) + packed
        self._offsets.append(self._written)
        self._write(content + CHECKSUM.pack(zlib.crc32(content)))

    def _put(self, codes: Codes) -> None:
        rows = []
        for codebook, entries in enumerate(self.header.codebooks):
            model = self._priors.model(codebook) if self._priors and entries is not None else None
            rows += [encode_row(stream, entries, model) for stream in codes[:, codebook]]
        self.put_rows(codes.shape[2], rows)

    def _write(self, content: bytes) -> None:
        self._file.write(content)
        self._written += len(content)
