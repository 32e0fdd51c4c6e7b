"""The recordings that the shipped restorer is measured on: speakers, singers and pieces that no stage of it heard.

    python recipes/voice48/held_out.py AUDIO held_out
    unshift pairs held_out held_out_pairs --semitones -12 -7 -3 0 3 7 12 --held-out women men singing instrument mix

A folder is a corpus, so that women and men, speech and singing are told apart. They are few: ten recordings of eight
women, ten of nine men, three singers, three instruments, five mixtures (three are the same singers over other music).
The singers and the cellist of sms-tools have no names: other files of that collection are trained on (a Carnatic
singer, a soprano, another take of a cello), and may be of the same people.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from gan.audio import read, write

CORPORA: dict[str, list[str]] = {
    "women": [f"speech_heldout/vctk/{name}" for name in ("audiodec_p257_035", "vf_p257_008", "vf_p361_001")]
    + [f"speech_heldout/vctk/{name}" for name in ("vf_p361_002", "nsd_f1", "nsd_f2", "nsd_f3")]
    + ["speech_heldout/ptdb_f1", "speech_heldout/ptdb_f2", "speech_heldout/sms_speech-female"],
    "men": [f"speech_heldout/vctk/{name}" for name in ("audiodec_p232_400", "vf_p232_005", "vf_p360_002")]
    + [f"speech_heldout/vctk/{name}" for name in ("vf_p363_004", "nsd_m1", "nsd_m2", "nsd_m3")]
    + ["speech_heldout/ptdb_m1", "speech_heldout/ptdb_m2", "speech_heldout/sms_speech-male"],
    "singing": [f"music_heldout/singing/{name}" for name in ("sms_singing-female", "sms_vignesh", "vocadito_1")],
    "instrument": [f"music_heldout/sms/{name}" for name in ("cello-double", "cello-phrase", "flute-A4")],
    "mix": [f"stems/realvoice_{name}/mixture" for name in ("singing-female", "vignesh", "vocadito1_0")]
    + ["music_heldout/procedural/piece_08", "music_heldout/sms/orchestra"],
}


def found(audio: Path, name: str) -> Path:
    """Give the file of a name in CORPORA."""
    return audio / f"{name}.flac"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write DST/CORPUS/NAME.flac."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("audio", type=Path, help="folder that holds speech_heldout, music_heldout and stems")
    parser.add_argument("destination", type=Path, help="new folder for the recordings")
    parsed = parser.parse_args(arguments)
    if parsed.destination.exists():
        parser.error(f"{parsed.destination} is there already: name a new folder")
    if missing := [name for names in CORPORA.values() for name in names if not found(parsed.audio, name).is_file()]:
        parser.error(f"{found(parsed.audio, missing[0])} is not there: name the folder that holds speech_heldout")
    parsed.destination.mkdir(parents=True)
    count = 0
    for corpus, names in CORPORA.items():
        (parsed.destination / corpus).mkdir()
        for name in names:
            waveform, rate = read(found(parsed.audio, name))
            file = parsed.destination / corpus / f"{name.split('/', 1)[1].replace('/', '_')}.flac"
            write(file, waveform.mean(axis=0, keepdims=True), rate, subtype="PCM_24")
            count += 1
    sys.stdout.write(f"{count} recordings of {len(CORPORA)} corpora\n")


if __name__ == "__main__":
    main()
