"""The recordings that the shipped restorer learns from: those of free licences, and copies at other speeds.

    python recipes/voice48/recordings.py AUDIO recordings

AUDIO holds folders with a MANIFEST.tsv each: file, kind, speaker_or_piece, licence and more in columns of these names.
A copy lies beside its recording, in the speaker's folder: a split by speaker keeps the two together. Played slower or
faster, one voice becomes another: deeper ones, since what is there in plenty are women, and more of what is scarce.
"""

import argparse
import csv
import json
import sys
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import soxr
from tqdm import tqdm

from gan.audio import Waveform, read, write

FOLDERS = ("speech_train", "music_train")
FREE = ("CC0", "CC-BY-3", "CC-BY-4", "MIT", "own procedural composition (CC0)")
"""How the licence of a recording begins whose weights may be given away under this project's licence."""
VOICES = ("speech", "singing")
DEEPER = (0.65, 0.92)
"""The pitch of a deeper copy, drawn from this range of times the recording's."""
OTHER = (0.75, 1.25)
"""The same of a spoken recording's other copy."""
SCARCE = 4
"""How many other copies there are of what is not speech, each from a wider range."""
FAR = (0.6, 1.6)

Row = dict[str, str]


def free_rows(audio: Path) -> Iterator[tuple[Path, Row]]:
    """Give the folder and the row of every recording with a free licence, in the manifests' order."""
    for name in FOLDERS:
        with (audio / name / "MANIFEST.tsv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                if row["licence"].startswith(FREE) and "GPL" not in row["licence"]:
                    yield audio / name, row


def speaker(row: Row) -> str:
    """Name who or what is heard: a row without a name is of its kind."""
    return (row["speaker_or_piece"] or row["kind"]).replace(" ", "_").replace("/", "_").replace("+", "_")


def at_speed(waveform: Waveform, rate: int, name: str, bounds: tuple[float, float]) -> Waveform:
    """Play slower or faster, so that pitch and formants are those of another body; the factor depends on the name."""
    seed = int.from_bytes(sha256(name.encode()).digest()[:8])
    factor = np.random.default_rng(seed).uniform(*bounds)
    played: Waveform = soxr.resample(waveform.T, rate * factor, rate, quality="VHQ").T.astype(np.float32)
    return played / max(1.0, float(np.abs(played).max()))


def copies(waveform: Waveform, rate: int, row: Row) -> Iterator[tuple[str, Waveform]]:
    """Give a recording and its copies, each with the ending of its file's name."""
    yield "", waveform
    if row["kind"] in VOICES:
        yield "_deep", at_speed(waveform, rate, row["file"], DEEPER)
    others = {"_other": OTHER} if row["kind"] == "speech" else {f"_other{n}": FAR for n in range(1, SCARCE + 1)}
    for ending, bounds in others.items():
        yield ending, at_speed(waveform, rate, row["file"] + ending, bounds)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write DST/SPEAKER/NAME.flac, its copies beside it, and credits in DST/sources.jsonl."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("audio", type=Path, help="folder that holds speech_train and music_train")
    parser.add_argument("destination", type=Path, help="new folder for the recordings")
    parsed = parser.parse_args(arguments)
    if parsed.destination.exists():
        parser.error(f"{parsed.destination} is there already: name a new folder")
    if missing := [name for name in FOLDERS if not (parsed.audio / name / "MANIFEST.tsv").is_file()]:
        parser.error(f"{parsed.audio} holds no {missing[0]}/MANIFEST.tsv: name the folder that does")
    rows = list(free_rows(parsed.audio))
    parsed.destination.mkdir(parents=True)
    with (parsed.destination / "sources.jsonl").open("x", encoding="utf-8") as sources:
        for folder, row in tqdm(rows, desc="recordings", disable=None):
            waveform, rate = read(folder / row["file"])
            waveform = waveform.mean(axis=0, keepdims=True)
            for ending, copy in copies(waveform, rate, row):
                file = parsed.destination / speaker(row) / f"{Path(row['file']).stem}{ending}.flac"
                file.parent.mkdir(exist_ok=True)
                write(file, copy, rate, subtype="PCM_24")
            known = {key: row[key] for key in ("file", "seconds", "kind", "speaker_or_piece", "source", "licence")}
            sources.write(json.dumps(known) + "\n")
    sys.stdout.write(f"{len(rows)} recordings, and copies of them at other speeds\n")


if __name__ == "__main__":
    main()
