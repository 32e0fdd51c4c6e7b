"""What a checkpoint's files were when they were written: a flipped bit in a weight shows nowhere else."""

import hashlib
import json
from pathlib import Path

from gan.files import write_text

DIGESTS = "digests.json"


def digests(folder: Path) -> dict[str, str]:
    """Give the SHA-256 of every file below a folder, by its path there; the list of them is left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != DIGESTS:
            with path.open("rb") as file:
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def seal(folder: Path) -> None:
    """Write down what a folder's files are.

    Raises:
        OSError: it cannot be written.
    """
    write_text(folder / DIGESTS, json.dumps(digests(folder), indent=1) + "\n")
