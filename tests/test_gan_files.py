"""Text files that are whole or not there."""

from pathlib import Path

import pytest

from gan import files


def test_an_older_file_stays_until_the_new_one_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "index.html"
    files.write_text(target, "old")

    def full(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        files.write_text(target, "new")
    assert [f.name for f in tmp_path.iterdir()] == ["index.html"]
    assert target.read_text() == "old"
