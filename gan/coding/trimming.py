"""Fewer codebooks of an encoded file: its rows are copied, nothing is decoded."""

from dataclasses import replace
from pathlib import Path

from gan.coding.bitstream import BitstreamError, Header, reading
from gan.coding.writing import BitstreamWriter
from gan.files import whole_file


def trim(source: Path, output: Path, codebooks: int) -> None:
    """Leave out all but the coarsest codebooks; nothing is decoded, and no model is needed.

    What comes out is, byte for byte, what encoding with so few codebooks gives.

    Args:
        source: an encoded file.
        output: the new one; it appears once it is whole.
        codebooks: how many stay.

    Raises:
        BitstreamError: the source is damaged, continuous, or holds less codebooks.
        OSError: the output cannot be written.
    """
    with reading(source) as reader:
        old = reader.header
        check_codebooks(old, codebooks, str(source))
        with whole_file(output) as file:
            writer = BitstreamWriter(file, replace(old, width=codebooks))
            for number in range(old.blocks):
                writer.put_rows(old.frames_of(number), reader.rows(number)[: codebooks * old.streams])
            writer.close()


def check_codebooks(header: Header, codebooks: int, name: str) -> None:
    """Refuse a number of codebooks that a file does not hold.

    Raises:
        BitstreamError: so it is.
    """
    if not header.codec.codebooks:
        raise BitstreamError(f"{name}: holds continuous values, not codebooks: there is none to leave out")
    if not 1 <= codebooks <= header.width:
        raise BitstreamError(f"{name}: holds {header.width} codebooks: --codebooks takes 1 to {header.width}")
