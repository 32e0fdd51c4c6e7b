"""What is to be known of audio containers: their endings, what they hold, how libsndfile tells of damage."""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# File endings and the container that libsndfile writes for them.
FORMATS = {
    ".wav": "WAV",
    ".flac": "FLAC",
    ".ogg": "OGG",
    ".oga": "OGG",
    ".opus": "OGG",
    ".mp3": "MP3",
    ".aiff": "AIFF",
    ".aif": "AIFF",
}
# WAV and AIFF count their bytes in 32 bits; some room stays for the header.
LARGEST = {"WAV": 2**32 - 2**16, "AIFF": 2**32 - 2**16}
# Codings of more than 16 bits that a container can hold.
FINE = {"WAV": ("PCM_24", "PCM_32", "FLOAT", "DOUBLE"), "AIFF": ("PCM_24", "PCM_32", "FLOAT"), "FLAC": ("PCM_24",)}


class AudioError(ValueError):
    """An audio file cannot be read or written; the message is one line that names the file."""


def find_audio(folder: Path, endings: Collection[str] = tuple(FORMATS)) -> list[Path]:
    """List the audio files below a folder by their endings, sorted; hidden files and folders are left out.

    Raises:
        AudioError: there is no such folder.
    """
    if not folder.is_dir():
        raise AudioError(f"{folder}: {'is a file; name a folder' if folder.exists() else 'no such folder'}")
    found: list[Path] = []
    seen: set[str] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        # A link that leads back up would never end.
        folders[:] = [] if real in seen else sorted(name for name in folders if not name.startswith("."))
        if real not in seen:
            found += [Path(parent, name) for name in files if _ends(name, endings)]
        seen.add(real)
    return sorted(found)


def _ends(name: str, endings: Collection[str]) -> bool:
    return not name.startswith(".") and name.lower().endswith(tuple(endings))


def similar_subtype(container: str, like_container: str, like_subtype: str) -> str | None:
    """Choose a coding for a file that is to resemble another.

    Args:
        container: of the new file, as libsndfile names it.
        like_container: of the other.
        like_subtype: coding of the other, as libsndfile names it.

    Returns:
        The other's coding where the container can hold it, 24 bits where the other has more than 16; None for the
        container's usual coding.
    """
    if container == like_container:
        return like_subtype
    if like_subtype in FINE["WAV"] and container in FINE:
        return like_subtype if like_subtype in FINE[container] else "PCM_24"
    return None


def is_cut_short(log: str) -> bool:
    """Find in libsndfile's log what it passes over: less data than the header says, or an Ogg file without an end."""
    for line in log.splitlines():
        if "lacks an end-of-stream" in line:
            return True
        if "should be" in line and line.split(":")[0].strip() in ("data", "SSND"):
            declared, present = ("".join(filter(str.isdigit, part)) for part in line.split("(")[:2])
            # Programs that write to a pipe leave the largest number there, meaning "unknown".
            return int(present or 0) < int(declared or 0) < 2**31 - 2**16
    return False


@contextmanager
def quiet(path: Path) -> Iterator[None]:
    """Keep the MP3 decoder's own remarks from standard error, where it puts pages of them: errors are told by us."""
    try:
        before = os.dup(2) if path.suffix.lower() == ".mp3" else None
    except OSError:  # there is no standard error
        before = None
    if before is None:
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)


class Sink(FileIO):
    """A file for libsndfile to write to, that remembers the first error: libsndfile forgets it."""

    error: OSError | None = None

    def write(self, data: "ReadableBuffer") -> int:
        """Write all of it, whatever comes of that; give its length."""
        rest = memoryview(data)
        try:
            # The last bytes that a disk takes come back as a short count; the reason comes with the next ones.
            while rest:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.error = self.error or error
        return len(memoryview(data)) - len(rest)
