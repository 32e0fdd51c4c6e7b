"""The journal: lines that a kill cut short, lines that a run wrote too far, pictures that show what sounds."""

import json
from pathlib import Path

import numpy as np
import pytest

from gan.journal import Journal, JournalError, read_journal, spectrogram_image


def test_lines_come_back_and_a_cut_one_is_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0)
    journal.write("train", 1, {"loss/total": 2.5})
    journal.write("validation", 2, {"mel": 1.0})
    journal.close()
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write('{"kind": "tra')
    entries = read_journal(tmp_path)
    assert [(e["kind"], e["step"], e["values"]) for e in entries] == [
        ("train", 1, {"loss/total": 2.5}),
        ("validation", 2, {"mel": 1.0}),
    ]
    assert entries[0]["seconds"] <= entries[1]["seconds"]


def test_what_came_after_the_checkpoint_is_taken_back(tmp_path: Path) -> None:
    lines = [{"kind": "train", "step": step, "seconds": 10.0 * step, "values": {}} for step in (2, 4, 6)]
    (tmp_path / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + "{")
    journal = Journal(tmp_path, 4)
    journal.write("train", 6, {})
    journal.close()
    entries = read_journal(tmp_path)
    assert [e["step"] for e in entries] == [2, 4, 6]
    assert 40 <= entries[-1]["seconds"] < 60, "the clock goes on where it stopped"


@pytest.mark.parametrize(
    "damaged", [b'{"step": ', b'{"kind": "train", "seconds": 1.0, "values": {}}', b"12", b"\0\0\0", b'"\xff"', b""]
)
def test_a_line_that_is_damaged_in_the_middle_is_told_and_nothing_is_lost(damaged: bytes, tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    line = b'{"kind": "train", "step": 1, "seconds": 1.0, "values": {}}\n'
    before = line + damaged + b"\n" + line
    file.write_bytes(before)
    with pytest.raises(JournalError, match=r"journal.jsonl, line 2 is damaged") as caught:
        Journal(tmp_path, 1)
    assert "\n" not in str(caught.value)
    assert file.read_bytes() == before


@pytest.mark.parametrize("frequency", [1_000, 6_000, 20_000])
def test_a_tone_is_a_line_at_its_height(frequency: int) -> None:
    time = np.arange(24_000) / 48_000
    picture = spectrogram_image(np.sin(2 * np.pi * frequency * time).astype(np.float32))
    assert picture.shape[:2] == (3, 1025)
    row = int(picture.astype(int).sum(0)[:, 5:-5].mean(1).argmax())
    assert 1024 - row == pytest.approx(frequency / 48_000 * 2048, abs=1)


def test_one_sample_has_a_picture() -> None:
    assert spectrogram_image(np.zeros(1, np.float32)).shape[0] == 3
