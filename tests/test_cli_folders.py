"""Folders in which files fail: the exit code, what is counted, and how it is said."""

import shutil
from pathlib import Path

import pytest
import tiny_codec
from tiny_restorer import VOICE, restore

from gan.cli import main

BROKEN = b"RIFF, but no more of it"


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Give a folder of two files that are no audio, whatever their names say."""
    folder = tmp_path / "album"
    folder.mkdir()
    for name in ("a.wav", "b.wav"):
        (folder / name).write_bytes(BROKEN)
    return folder


def test_the_exit_code_tells_some_from_all(
    album: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert restore(album, tmp_path / "out", model) == 2
    said = capsys.readouterr().err
    assert "restored 0 files" in said
    assert "2 files failed: " in said
    assert restore(album, tmp_path / "out", model) == 2, "of what failed nothing is there to be kept"
    shutil.copy(VOICE, album / "c.flac")
    assert restore(album, tmp_path / "out", model) == 1
    assert "restored 1 file\n" in capsys.readouterr().err
    assert restore(album, tmp_path / "out", model) == 1, "one file of the folder is there from before"
    assert restore(album, tmp_path / "out", model, "--overwrite") == 1
    for broken in album.glob("*.wav"):
        broken.unlink()
    assert restore(album, tmp_path / "out", model) == 0


def test_all_encoded_files_of_a_folder_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    codec = tiny_codec.save(tmp_path / "codec")
    (tmp_path / "encoded").mkdir()
    (tmp_path / "encoded/a.wav.unshift").write_bytes(BROKEN)
    more = ["--model", str(codec), "--trust", "--device", "cpu"]
    assert main(["decode", str(tmp_path / "encoded"), str(tmp_path / "decoded"), *more]) == 2
    assert main(["trim", str(tmp_path / "encoded"), str(tmp_path / "small"), "--codebooks", "1"]) == 2
    assert "1 file failed: " in capsys.readouterr().err


@pytest.mark.parametrize("command", ["restore", "shift", "encode", "decode", "trim"])
def test_help_tells_the_exit_codes(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert capsys.readouterr().out.count("the exit code is 1 if some failed, 2 if all did") == 1


def test_what_is_passed_over_is_said_in_good_english(
    album: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (album / "notes.txt").touch()
    restore(album, tmp_path / "out", model)
    assert "; passed over 1 file that is not audio\n" in capsys.readouterr().err
    (album / "cover.jpg").touch()
    restore(album, tmp_path / "out", model)
    assert "; passed over 2 files that are not audio\n" in capsys.readouterr().err
