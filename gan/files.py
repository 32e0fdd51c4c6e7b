"""Files that are whole or not there."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

PARTIAL = ".partial"


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write bytes to, that is whole or not there: a ".partial" name, synced, then renamed.

    Raises:
        OSError: it cannot be written; what stood there before is untouched, as after any other exception.
    """
    partial = path.with_name(path.name + PARTIAL)
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink()
        # A full disk does not say which file it was, and nobody asked for the partial one.
        if isinstance(error, OSError) and error.errno and error.filename in (None, str(partial)):
            error.filename = str(path)
        raise


def refuse_pipe(path: Path) -> None:
    """See that a path can be opened and read without waiting for a program that writes to it.

    Raises:
        OSError: it is a pipe.
        ValueError: a name that no system has.
    """
    if path.is_fifo():
        raise OSError(errno.ESPIPE, "is a pipe, and no file", str(path))


def write_text(path: Path, text: str) -> None:
    """Write a text file that is whole or not there, see `whole_file`.

    Raises:
        OSError: it cannot be written; what stood there before is untouched.
    """
    with whole_file(path) as file:
        file.write(text.encode("utf-8"))
