"""The manifest of a folder of pairs: one JSON line a pair, manifest.jsonl, paths relative to the folder."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from gan.files import refuse_pipe, write_text

Direction = Literal["there_and_back", "one_way"]
Split = Literal["train", "validation", "test"]

MANIFEST = "manifest.jsonl"


class ManifestError(ValueError):
    """A manifest cannot be used; the message is one line that says what to do."""


@dataclass(frozen=True)
class PairRecord:
    """One pair.

    Attributes:
        source: the shifted audio, path relative to the folder.
        target: what it should become, likewise; pairs of one piece share a target where they can.
        seconds: length.
        sample_rate: in Hz.
        samples: length a channel, of both files.
        semitones: the shift; of a there-and-back pair the first of the two.
        shifter: what shifted, as it was named in the settings.
        direction: "there_and_back" or "one_way".
        split: "train", "validation" or "test".
        speaker: who or what it is. By default no speaker is in two splits; one is where files were split (as was asked
            for, or for want of a second speaker), and where a recording of theirs is another speaker's to the byte.
        origin: the recording, path relative to the folder that the pairs were made of.
        origin_sha256: of the recording's bytes.
        checks: what was measured, by name.
        start: where in the recording the pair begins, seconds.
        channels: of both files; 1 in manifests that do not say it.
    """

    source: str
    target: str
    seconds: float
    sample_rate: int
    samples: int
    semitones: float
    shifter: str
    direction: Direction
    split: Split
    speaker: str
    origin: str
    origin_sha256: str
    checks: dict[str, float] = field(default_factory=dict)
    start: float = 0.0
    channels: int = 1

    def as_values(self) -> dict[str, Any]:
        """Give the record as JSON has it: one channel goes without saying, as it did before there could be two."""
        return {name: value for name, value in asdict(self).items() if (name, value) != ("channels", 1)}


RANGES = {"seconds": (0, 1e8), "sample_rate": (2000, 768_000), "samples": (1, 2**36), "channels": (1, 1024)}
"""What a number can be; beyond there are damaged manifests."""
NOT_TEXT: dict[str, tuple[type, ...]] = {
    "seconds": (int, float),
    "sample_rate": (int,),
    "samples": (int,),
    "semitones": (int, float),
    "checks": (dict,),
    "start": (int, float),
    "channels": (int,),
}
CHOICES = {"direction": get_args(Direction), "split": get_args(Split)}
LONGEST_PATH = 4096
LARGEST = 1e300  # no NaN is less than that, and nothing infinite
MOST_SAID = 200  # letters of what is wrong with a line


def read_manifest(folder: Path) -> list[PairRecord]:
    """Read all pairs of a folder, in the manifest's order.

    Raises:
        ManifestError: no folder, no manifest, no pair in it, or a line that is not a pair.
    """
    path = folder / MANIFEST
    try:
        refuse_pipe(path)
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise ManifestError(f"{path}: no such file; `unshift pairs SRC {folder}` makes it") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: cannot be read ({error})") from error
    records = [_record(path, number, line) for number, line in enumerate(lines, start=1)]
    if not records:
        raise ManifestError(f"{path}: holds no pair; see what `unshift pairs` left out and why")
    return records


def _record(path: Path, number: int, line: str) -> PairRecord:
    try:
        return record_of(json.loads(line))
    except (ValueError, TypeError, RecursionError) as error:
        what = " ".join(str(error).split())[:MOST_SAID]
        raise ManifestError(f"{path}: line {number} is not a pair ({what}); make the pairs again") from error


def record_of(values: Any) -> PairRecord:
    """Give the record of what stood in JSON.

    Raises:
        ValueError, TypeError: it is none, or says what cannot be.
    """
    record = PairRecord(**values)
    for part in fields(PairRecord):
        value = getattr(record, part.name)
        # True is a number only to Python.
        if isinstance(value, bool) or not isinstance(value, NOT_TEXT.get(part.name, (str,))):
            raise TypeError(f"{part.name} is {value!r}")
        _check(part.name, value)
    for name, value in record.checks.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"the check {name} is {value!r}")
    return record


def _check(name: str, value: object) -> None:
    """Refuse what a field of the right type cannot hold."""
    if isinstance(value, int | float):
        least, most = RANGES.get(name, (-LARGEST, LARGEST))
        if not least <= value <= most:
            raise ValueError(f"{name} is {value!r}")
    if name in CHOICES and value not in CHOICES[name]:
        raise ValueError(f"{name} is {value!r}, none of {', '.join(CHOICES[name])}")
    if isinstance(value, str) and name in ("source", "target"):
        # A manifest comes with its audio, from anyone: it names nothing else on this machine.
        inside = PurePosixPath(value)
        if inside.is_absolute() or ".." in inside.parts or b"\0" in os.fsencode(value) or len(value) > LONGEST_PATH:
            raise ValueError(f"{name} is {value!r}, which is no path inside the folder")


def write_manifest(folder: Path, records: Iterable[PairRecord]) -> None:
    """Write the manifest anew; the old one stays until the new one is whole.

    Raises:
        OSError: the folder is not there or cannot be written to, or the disk is full.
    """
    write_text(folder / MANIFEST, "".join(json.dumps(record.as_values(), sort_keys=True) + "\n" for record in records))
