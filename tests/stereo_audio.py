"""Real recordings of two channels: two that were made apart, one on each side."""

from pathlib import Path

import numpy as np

from gan.audio import read, write

CLIPS = Path(__file__).parents[1] / "demo/clips"
SIDES = {
    "speech.flac": ("kathleen/speech_en_kathleen_1.flac", "sms_male/speech_male_sms.flac"),
    "song.flac": ("sms_singer/singing_female_sms.flac", "cello/cello_phrase_sms.flac"),
}


def music(folder: Path, seconds: float = 2.0) -> Path:
    """Write the recordings of two channels to a folder, at 48 kHz."""
    folder.mkdir()
    for name, files in SIDES.items():
        sides = [read(CLIPS / file, sample_rate=48000)[0][:, 24000:][:, : round(48000 * seconds)] for file in files]
        write(folder / name, 0.8 * np.concatenate(sides), 48000)
    return folder
