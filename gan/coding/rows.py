"""The rows of a block: put together and taken apart."""

import struct
from collections.abc import Iterable

from gan.coding.entropy import BitstreamError, check_row
from gan.coding.header import Header

ROW = struct.Struct("<I")


def pack_rows(rows: Iterable[tuple[int, bytes]]) -> bytes:
    """Put rows together: each a coding and the bytes."""
    return b"".join(ROW.pack(len(content) | coding << 24) + content for coding, content in rows)


def split_rows(content: bytes, header: Header, frames: int) -> list[tuple[int, bytes]]:
    """Take a block's rows apart: coding and bytes, codebook by codebook.

    Raises:
        BitstreamError: they are not as many or not as long as they should be.
    """
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
