"""What is done of an evaluation, kept pair by pair until all is: one that was stopped goes on with the rest."""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from hashlib import file_digest, sha256
from pathlib import Path
from secrets import token_hex

from gan.data.manifest import PairRecord
from gan.evaluating.results import Row, rows_of
from gan.files import PARTIAL, refuse_pipe, write_text

NOTES = "unfinished"
NOTE = re.compile(rf"[0-9a-f]{{32}}\.json(\.[0-9a-f]{{8}})?({re.escape(PARTIAL)})?")
TRIES = 3


class Notes:
    """A note a pair, whole or not there, beside where the results will be.

    A note holds only for the bytes of the pair's two files and for the conditions under which it was written: under
    others it is as if it were not there.

    Args:
        folder: of the results; None: nothing is kept.
        pairs: the folder of pairs.
        conditions: all that figures depend on besides, as JSON has it: the model, the measures and so on.
    """

    def __init__(self, folder: Path | None, pairs: Path, conditions: Mapping[str, object]) -> None:
        self.folder = None if folder is None else folder / NOTES
        self.pairs, self.conditions = pairs, dict(conditions)
        self._keys: dict[str, str] = {}

    def read(self, record: PairRecord) -> list[Row] | None:
        """Give the rows of a pair that is done; None where it is not, or the note is damaged or of something else."""
        if self.folder is None:
            return None
        try:
            key = self._keys[record.source] = self._key(record)
            note = self.folder / _name(record)
            refuse_pipe(note)
            words = json.loads(note.read_text(encoding="utf-8"))
            if words["key"] != key:
                return None
            rows = rows_of(words["rows"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return rows if all(row.file == record.source for row in rows) else None

    def write(self, record: PairRecord, rows: Sequence[Row]) -> None:
        """Keep the rows of a pair that `read` was asked for.

        Raises:
            OSError: it cannot be written.
        """
        if self.folder is not None and record.source in self._keys:
            words = {"key": self._keys[record.source], "rows": [asdict(row) for row in rows]}
            for left in reversed(range(TRIES)):
                try:
                    _put(self.folder / _name(record), json.dumps(words) + "\n")
                    break
                except (FileNotFoundError, FileExistsError):
                    # Another evaluation into the same folder was done, and took all notes and their folder away.
                    if not left:
                        raise

    def clear(self) -> None:
        """Take all notes away, once the results hold what they hold, and nothing else that may lie there."""
        if self.folder is not None and self.folder.is_dir():
            with suppress(OSError):
                for file in self.folder.iterdir():
                    if NOTE.fullmatch(file.name):
                        file.unlink()
                self.folder.rmdir()

    def _key(self, record: PairRecord) -> str:
        sides = []
        for name in (record.source, record.target):
            refuse_pipe(self.pairs / name)
            with (self.pairs / name).open("rb") as file:
                sides.append(file_digest(file, "sha256").hexdigest())
        words = json.dumps([self.conditions, record.as_values(), sides], sort_keys=True)
        return sha256(words.encode(errors="surrogatepass")).hexdigest()


def _put(note: Path, text: str) -> None:
    note.parent.mkdir(parents=True, exist_ok=True)
    own = note.with_name(f"{note.name}.{token_hex(4)}")  # another evaluation may be writing the same note
    write_text(own, text)
    own.replace(note)


def _name(record: PairRecord) -> str:
    # A pair's name can be as long as a file system allows, and a note's would be longer.
    return f"{sha256(record.source.encode(errors='surrogatepass')).hexdigest()[:32]}.json"
