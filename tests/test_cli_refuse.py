"""What `unshift restore` and `unshift shift` refuse, and that nothing is lost or left half-written when they stop."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_restorer import VOICE, files, restore

from gan.cli import main
from generators import store

UNSHIFT = [str(Path(sys.executable).with_name("unshift"))]


def damaged(kind: str, folder: Path) -> Path:
    """Make an input that cannot be restored."""
    path = folder / "in.wav"
    wave, rate = soundfile.read(VOICE, dtype="float32", frames=48000)
    whole = folder / "whole.wav"
    soundfile.write(whole, wave, rate)
    match kind:
        case "missing":
            return path
        case "empty":
            path.write_bytes(b"")
        case "header only":
            path.write_bytes(whole.read_bytes()[:44])
        case "no samples":
            soundfile.write(path, wave[:0], rate)
        case "truncated":
            path.write_bytes(whole.read_bytes()[: 44 + 48000])
        case "truncated flac":
            path = folder / "in.flac"
            path.write_bytes(VOICE.read_bytes()[: VOICE.stat().st_size // 2])
        case "corrupt flac":
            path = folder / "in.flac"
            content = bytearray(VOICE.read_bytes())
            content[20000:90000] = bytes(70000)
            path.write_bytes(content)
        case "noise":
            path.write_bytes(np.random.default_rng(0).bytes(50000))
        case "text":
            path.write_text("This is not audio.\n" * 1000)
        case "nan":
            wave[40000] = np.nan
            soundfile.write(path, wave, rate, subtype="FLOAT")
        case "infinite":
            wave[10] = np.inf
            soundfile.write(path, wave, rate, subtype="FLOAT")
        case "empty folder":
            path = folder / "album"
            path.mkdir()
    whole.unlink()
    return path


BAD = ["missing", "empty", "header only", "no samples", "truncated", "truncated flac", "corrupt flac", "noise", "text"]
BAD += ["nan", "infinite", "empty folder"]


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("command", ["restore", "shift"])
def test_bad_input_is_refused_in_one_line(
    kind: str, command: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = damaged(kind, tmp_path)
    output = tmp_path / ("out" if source.suffix == "" else f"out{source.suffix}")
    if output.suffix:
        output.write_bytes(b"was here before")
    before = files(tmp_path)
    more = ["--semitones", "5"] if command == "shift" else []
    code = main([command, str(source), str(output), "--model", str(model), "--overwrite", "--device", "cpu", *more])
    said = capsys.readouterr().err
    assert code == 2
    assert said.startswith("unshift: ")
    assert said.count("\n") == 1, said
    assert str(source) in said
    assert files(tmp_path) == before, "what was there is untouched, nothing half-written is left"


def test_an_output_that_is_there_is_not_replaced_unasked(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.flac"
    output.write_bytes(b"precious")
    assert restore(VOICE, output, model) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert files(tmp_path) == {"out.flac": b"precious"}
    assert restore(VOICE, output, model, "--overwrite") == 0
    assert soundfile.info(output).frames == soundfile.info(VOICE).frames


@pytest.mark.parametrize("how", ["itself", "link", "hard link", "folder into itself", "folder into its own child"])
def test_the_input_is_never_written_over(
    how: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    album = tmp_path / "album"
    album.mkdir()
    source = album / "in.flac"
    shutil.copy(VOICE, source)
    output = {"itself": source, "folder into itself": album, "folder into its own child": album / "x"}.get(how)
    if how == "link":
        output = tmp_path / "link.flac"
        output.symlink_to(source)
    elif how == "hard link":
        output = tmp_path / "same.flac"
        output.hardlink_to(source)
    before = files(tmp_path)
    assert output is not None
    assert restore(album if "folder" in how else source, output, model, "--overwrite") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    "name", ["out.txt", "out", "nowhere/out.wav", "file/out.wav", "/sys/out.wav", "file", "eight.mp3"]
)
def test_outputs_that_cannot_be_written(
    name: str, model: Path, voice: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "in.wav", np.stack([voice] * 8, axis=1), 48000)
    (tmp_path / "file").write_bytes(b"x")
    before = files(tmp_path)
    assert restore(tmp_path / "in.wav", tmp_path / name, model, "--overwrite") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    assert said.startswith(f"unshift: {(tmp_path / name).parent}")
    assert files(tmp_path) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tmp_path.chmod(0o500)
    try:
        assert restore(VOICE, tmp_path / "out.flac", model) == 2
    finally:
        tmp_path.chmod(0o700)
    assert "Permission denied" in capsys.readouterr().err


def test_a_full_disk_leaves_what_was_there(model: Path, tmp_path: Path) -> None:
    (tmp_path / "out.flac").write_bytes(b"precious")
    command = [*UNSHIFT, "restore", str(VOICE), str(tmp_path / "out.flac"), "--model", str(model), "--overwrite"]
    limit = (resource.RLIMIT_FSIZE, (50_000, 50_000))  # a file that may not grow: the write fails like on a full disk
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, preexec_fn=lambda: resource.setrlimit(*limit)
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"unshift: {tmp_path / 'out.flac'}: ")
    assert ended.stderr.count("\n") == 1
    assert files(tmp_path) == {"out.flac": b"precious"}


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_leaves_nothing_behind(
    sent: signal.Signals, code: int, model: Path, voice: np.ndarray, tmp_path: Path
) -> None:
    source = tmp_path / "long.wav"
    soundfile.write(source, np.tile(voice, 200), 48000)
    (tmp_path / "out.wav").write_bytes(b"precious")
    command = [*UNSHIFT, "restore", str(source), str(tmp_path / "out.wav"), "--model", str(model), "--overwrite"]
    command += ["--chunk-seconds", "0.02"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        grows = tmp_path / "out.wav.partial"
        while running.poll() is None and not (grows.exists() and grows.stat().st_size > 50_000):
            time.sleep(0.01)
        running.send_signal(sent)
        _, said = running.communicate(timeout=30)
    assert running.returncode == code, said
    assert "Traceback" not in said
    assert set(files(tmp_path)) == {"long.wav", "out.wav"}
    assert (tmp_path / "out.wav").read_bytes() == b"precious"


def test_a_damaged_model_is_refused(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    weights = broken / store.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-100])
    assert restore(VOICE, tmp_path / "out.flac", broken) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out.flac").exists()
