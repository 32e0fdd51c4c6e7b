"""The recordings that the shipped restorer learns from: those of free licences, and deeper copies of the voices.

    python recipes/voice48/recordings.py AUDIO recordings

AUDIO holds folders with a MANIFEST.tsv each: file, kind, speaker_or_piece, licence and more in columns of these names.
A deeper copy lies beside its recording, in the speaker's folder: a split by speaker keeps the two together.
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
"""The pitch of a deeper copy, drawn from this range of times the recording's: what is there in plenty are women."""

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


def deeper(waveform: Waveform, rate: int, file: str) -> Waveform:
    """Play a voice slower, so that pitch and formants are those of a larger body; the factor depends on the name."""
    seed = int.from_bytes(sha256(file.encode()).digest()[:8])
    factor = np.random.default_rng(seed).uniform(*DEEPER)
    slowed: Waveform = soxr.resample(waveform.T, rate * factor, rate, quality="VHQ").T.astype(np.float32)
    return slowed / max(1.0, float(np.abs(slowed).max()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Write DST/SPEAKER/NAME.flac, for voices NAME_deep.flac too, and credits in DST/sources.jsonl."""
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
            copies = {"": waveform}
            if row["kind"] in VOICES:
                copies["_deep"] = deeper(waveform, rate, row["file"])
            for ending, copy in copies.items():
                file = parsed.destination / speaker(row) / f"{Path(row['file']).stem}{ending}.flac"
                file.parent.mkdir(exist_ok=True)
                write(file, copy, rate, subtype="PCM_24")
            known = {key: row[key] for key in ("file", "seconds", "kind", "speaker_or_piece", "source", "licence")}
            sources.write(json.dumps(known) + "\n")
    sys.stdout.write(f"{len(rows)} recordings, and deeper copies of the voices\n")


if __name__ == "__main__":
    main()
