"""What pairs are to be made, and what a folder of pairs remembers of it."""

import json
import math
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

import numpy as np

from gan.data.manifest import Direction
from gan.files import refuse_pipe, write_text
from gan.pairs.shift import PairError

SETTINGS = "pairs.json"
MOST_SEMITONES = 48
UNSHIFTED = "none"
"""What the shifter of a pair with shift 0 is called: there is none."""


@dataclass(frozen=True)
class PairSettings:
    """What pairs are to be made.

    Attributes:
        source: folder of clean recordings, one folder below it a speaker; a file that lies in it directly is a speaker
            of its own.
        destination: folder for the pairs: new, empty, or of an earlier run with the same settings.
        sample_rate: of the pairs, Hz.
        semitones: the shifts; 0 gives pairs of twice the same, from which a network learns to leave clean audio alone.
        direction: "there_and_back" (shift and back; to train a restorer) or "one_way" (shift; the network learns to
            undo it).
        shifters: names in gan.pairs.shifters or dotted class paths; each does all shifts.
        split_by: what the splits are made of, "speaker" or "file".
        validation: share of the speakers (files) for validation; at least one where there are two.
        test: share of the speakers (files) for the test, those held out included.
        held_out: speakers that are for the test.
        seed: of the splits.
        workers: processes; None for one a core.
        piece_seconds: longer recordings are cut into pieces of this length at most.
        channels: of the pairs. 1 mixes every recording to one channel: restorers mend channel by channel, and so do
            codecs of one channel. 2 is for codecs that write two channels down together: left and right stay apart, one
            channel is repeated (a codec of two channels encodes mono files so), and recordings of more are left out, as
            nothing says how theirs are to be mixed.
        draw: make so many pairs of every piece, each of a shifter and a shift drawn by chance, where all of all would
            be too much; a shifter that is named twice is drawn twice as often. None for all of all.

    Raises:
        PairError: a value that makes no sense.
    """

    source: Path
    destination: Path
    sample_rate: int = 48000
    semitones: tuple[float, ...] = (-12, -7, -3, 0, 3, 7, 12)
    direction: Direction = "there_and_back"
    shifters: tuple[str, ...] = ("Signalsmith",)
    split_by: Literal["speaker", "file"] = "speaker"
    validation: float = 0.1
    test: float = 0.1
    held_out: tuple[str, ...] = ()
    seed: int = 0
    workers: int | None = None
    piece_seconds: float = 20.0
    channels: int = 1
    draw: int | None = None

    def __post_init__(self) -> None:
        for wrong, complaint in (
            (not 8000 <= self.sample_rate <= 384000, f"a sample rate of {self.sample_rate} Hz is not in 8000..384000"),
            (self.channels not in (1, 2), f"pairs of {self.channels} channels cannot be made: 1 or 2"),
            (not self.semitones, "no shift is given: name some semitones"),
            (
                not all(abs(k) <= MOST_SEMITONES for k in self.semitones),
                f"shifts {list(self.semitones)} are not all within {MOST_SEMITONES} semitones",
            ),
            (self.direction not in ("there_and_back", "one_way"), f"unknown direction {self.direction!r}"),
            (not self.shifters, "no shifter is given"),
            (self.split_by not in ("speaker", "file"), f"cannot split by {self.split_by!r}: speaker or file"),
            (
                not (self.validation >= 0 and self.test >= 0 and self.validation + self.test < 1),
                f"shares of {self.validation} for validation and {self.test} for the test leave nothing to train on",
            ),
            (self.workers is not None and self.workers < 1, f"{self.workers} workers: one at least is needed"),
            (self.draw is not None and self.draw < 1, f"{self.draw} drawn pairs of a piece: one at least is needed"),
            (
                not (math.isfinite(self.piece_seconds) and self.piece_seconds >= 1),
                f"pieces of {self.piece_seconds} s: 1 s at least is needed",
            ),
        ):
            if wrong:
                raise PairError(complaint)

    def as_text(self) -> str:
        """Give what decides about the pairs as JSON: everything but where they go and how many processes work."""
        values = asdict(self) | {"source": str(self.source.resolve())}
        values["semitones"] = sorted({float(k) for k in self.semitones})
        values["held_out"] = sorted(set(self.held_out))
        # How often a shifter is named tells only where pairs are drawn.
        values["shifters"] = sorted(self.shifters if self.draw else set(self.shifters))
        del values["destination"], values["workers"]
        if self.channels == 1:  # what folders that are older than the setting say by leaving it out
            del values["channels"]
        if self.draw is None:
            del values["draw"]
        return json.dumps(values, indent=2, sort_keys=True) + "\n"

    def shifts(self, origin: str, number: int) -> list[tuple[str, float]]:
        """Say which shifters shift how far for a piece: its recording, relative to the source folder, and its number.

        The draw depends on the seed and these alone, whichever process makes the piece and when.
        """
        names = sorted(self.shifters if self.draw else set(self.shifters))
        every = [(name if k else UNSHIFTED, k) for name in names for k in sorted({float(k) for k in self.semitones})]
        if self.draw is not None:
            digest = sha256(f"{self.seed}:{number}:{origin}".encode(errors="surrogatepass")).digest()
            order = np.random.default_rng(int.from_bytes(digest[:8])).permutation(len(every))
            every = [every[place] for place in order]
        # An unshifted pair is made once, and comes first.
        return sorted(list(dict.fromkeys(every))[: self.draw], key=lambda shift: (shift[1] != 0, *shift))


def claim(settings: PairSettings) -> None:
    """Make the destination and write the settings there, or see that they are those of the run that is gone on with.

    Raises:
        PairError: the destination lies inside the source, holds something else, was made with other settings, or
            cannot be written to.
    """
    folder = settings.destination
    if folder.resolve().is_relative_to(settings.source.resolve()):
        raise PairError(f"{folder}: lies inside the recordings' folder {settings.source}; name one outside it")
    path = folder / SETTINGS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists():
            return _compare(path, settings)
        if others := [entry.name for entry in folder.iterdir() if not entry.name.startswith(SETTINGS)]:
            raise PairError(f"{folder}: is not empty ({min(others)}) and holds no pairs; name a new folder")
        write_text(path, settings.as_text())
    except OSError as error:
        raise PairError(f"{folder}: cannot be written to ({error.strerror or error})") from error
    return None


def _compare(path: Path, settings: PairSettings) -> None:
    try:
        # Left out where it is 1, see PairSettings.as_text.
        refuse_pipe(path)
        texts = path.read_text(encoding="utf-8"), settings.as_text()
        old, new = ({"channels": 1, "draw": None} | json.loads(text) for text in texts)
        differing = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise PairError(f"{path}: is damaged; name a new folder") from error
    if differing:
        changes = "; ".join(f"{name} was {old.get(name)}, is now {new.get(name)}" for name in differing)
        raise PairError(f"{path.parent}: was made with other settings ({changes}); name a new folder")
