"""Text files that are whole or not there."""

import os
from pathlib import Path

PARTIAL = ".partial"


def write_text(path: Path, text: str) -> None:
    """Write a text file that is whole or not there: to a ".partial" name, synced, then renamed.

    Raises:
        OSError: it cannot be written; what stood there before is untouched.
    """
    partial = path.with_name(path.name + PARTIAL)
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
