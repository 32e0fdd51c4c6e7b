"""`unshift encode`, `decode`, `trim`, and `inspect` of what they make."""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import soundfile
import tiny_codec
import torch

from gan.cli import main
from gan.coding.codecs import know
from generators import store
from generators.codec import Codec
from generators.contract import Coder
from generators.residual_vq import ResidualVQ
from generators.spectral import SpectralRestorer
from generators.spectral_codec import SpectralDecoder, SpectralEncoder

CLIPS = Path(__file__).parents[1] / "demo/clips"
VOICE = CLIPS / "kathleen/speech_en_kathleen_1.flac"
UNSHIFT = [str(Path(sys.executable).with_name("unshift"))]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_codec.save(tmp_path_factory.mktemp("run") / "generator")


@pytest.fixture(scope="module")
def whole(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a clip of speech, encoded."""
    output = tmp_path_factory.mktemp("encoded") / "voice.unshift"
    assert run("encode", VOICE, output, model) == 0
    return output


def run(command: str, source: Path, output: Path, model: Path, *more: str) -> int:
    words = [command, str(source), str(output), "--model", str(model), "--device", "cpu", "--trust", *more]
    return main(words)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_there_and_back(whole: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("decode", whole, tmp_path / "out.flac", model) == 0
    was, now = soundfile.info(VOICE), soundfile.info(tmp_path / "out.flac")
    assert (now.frames, now.samplerate, now.channels, now.subtype) == (
        was.frames,
        was.samplerate,
        was.channels,
        was.subtype,
    )
    assert run("decode", whole, tmp_path / "part.wav", model, "--from", "0.5", "--to", "1.25") == 0
    part, rate = soundfile.read(tmp_path / "part.wav", dtype="int16")
    out, _ = soundfile.read(tmp_path / "out.flac", dtype="int16")
    assert len(part) == round(0.75 * rate)
    assert np.abs(part.astype(int) - out[rate // 2 :][: len(part)]).max() <= 1
    assert capsys.readouterr().err == ""


def test_fewer_codebooks(whole: Path, model: Path, tmp_path: Path) -> None:
    assert main(["trim", str(whole), str(tmp_path / "two.unshift"), "--codebooks", "2"]) == 0
    assert run("encode", VOICE, tmp_path / "same.unshift", model, "--codebooks", "2") == 0
    assert (tmp_path / "two.unshift").read_bytes() == (tmp_path / "same.unshift").read_bytes()
    assert (tmp_path / "two.unshift").stat().st_size < whole.stat().st_size
    assert run("decode", whole, tmp_path / "a.wav", model, "--codebooks", "2") == 0
    assert run("decode", tmp_path / "two.unshift", tmp_path / "b.wav", model) == 0
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_a_folder_keeps_its_tree(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    album = tmp_path / "album"
    (album / "deep").mkdir(parents=True)
    wave, rate = soundfile.read(VOICE, frames=20000)
    for name in ("a.flac", "a.wav", "deep/b.ogg"):
        soundfile.write(album / name, wave, rate)
    (album / "notes.txt").write_text("not audio")
    encoded, small, decoded = (tmp_path / name for name in ("encoded", "small", "decoded"))
    assert run("encode", album, encoded, model) == 0
    assert set(files(encoded)) == {"a.flac.unshift", "a.wav.unshift", "deep/b.ogg.unshift"}
    assert "encoded 3 files; passed over 1 file that is not audio" in capsys.readouterr().err
    (encoded / "deep/bad.unshift").write_bytes(b"")
    assert main(["trim", str(encoded), str(small), "--codebooks", "1"]) == 1
    said = capsys.readouterr().err
    assert "trimmed 3 files" in said
    assert "bad.unshift: is empty" in said
    assert set(files(small)) == {"a.flac.unshift", "a.wav.unshift", "deep/b.ogg.unshift"}
    assert run("decode", small, decoded, model) == 0
    assert set(files(decoded)) == {"a.flac", "a.wav", "deep/b.ogg.wav"}
    assert "decoded 3 files" in capsys.readouterr().err
    assert run("decode", small, decoded, model) == 0
    assert "left 3 files already there" in capsys.readouterr().err
    assert run("decode", small / "a.wav.unshift", tmp_path, model) == 0
    assert (tmp_path / "a.wav").read_bytes() == (decoded / "a.wav").read_bytes()


def test_names_that_would_meet_are_refused(
    whole: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    room = tmp_path / "in"
    room.mkdir()
    for name in ("x.wav.unshift", "x.unshift"):
        shutil.copy(whole, room / name)
    assert run("decode", room, tmp_path / "out", model) == 2
    assert "would both become" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_inspect_of_a_file(whole: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    was = soundfile.info(VOICE)
    assert main(["inspect", str(whole), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["samples"], found["sample_rate"], found["channels"]) == (was.frames, was.samplerate, was.channels)
    facts = know(cast(Coder, store.load(model, trust=True)), store.describe(model)).facts
    assert found["codec"]["codes_sha256"] == facts.codes_sha256
    assert found["codec"]["model_sha256"] == facts.model_sha256
    assert found["bytes"] == whole.stat().st_size
    assert found["bitrate"] == pytest.approx(8 * whole.stat().st_size / was.duration)
    assert main(["inspect", str(whole)]) == 0
    said = capsys.readouterr().out
    assert f"{was.frames:,} samples" in said
    assert "3 of 32, 20, 2 entries" in said
    assert f"{found['bitrate'] / 1000:.4g} kbit/s" in said
    assert "up to 8000 Hz" in said
    packed = sum((entries - 1).bit_length() for entries in (32, 20, 2)) * found["frames"] / 8
    assert found["bytes"] - packed - 3 * found["blocks"] <= found["framing"] < found["bytes"]


def test_inspect_reads_a_file_through(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = bytearray(whole.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "flipped.unshift").write_bytes(content)
    assert main(["inspect", str(tmp_path / "flipped.unshift")]) == 2
    assert "its checksum is wrong" in capsys.readouterr().err


def test_inspect_of_a_codec(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(model), "--json", "--trust"]) == 0
    coding = json.loads(capsys.readouterr().out)["coding"]
    assert (coding["frame"], coding["codebooks"]) == (16, [32, 20, 2])
    assert coding["bitrate"] == (5 + 5 + 1) * 16000 / 16
    assert main(["inspect", str(model), "--trust"]) == 0
    said = capsys.readouterr().out
    assert "11 kbit/s" in said
    assert "16 samples (1000 a second)" in said


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip(content: bytes) -> bytes:
    return content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 4]) + content[len(content) // 2 + 1 :]


BAD: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "is empty"),
    "cut": (cut, "cut short"),
    "flipped": (flip, "is damaged from"),
    "audio": (lambda _: VOICE.read_bytes(), "is no file that `unshift encode` has made"),
    "newer": (lambda content: content[:8] + b"\x09" + content[9:], "is of format version 9"),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("command", ["decode", "trim"])
def test_bad_input_is_refused_in_one_line(
    kind: str, command: str, whole: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "bad.unshift"
    damage, says = BAD[kind]
    source.write_bytes(damage(whole.read_bytes()))
    output = tmp_path / ("out.wav" if command == "decode" else "out.unshift")
    output.write_bytes(b"was here before")
    before = files(tmp_path)
    if command == "decode":
        assert run(command, source, output, model, "--overwrite") == 2
    else:
        assert main([command, str(source), str(output), "--codebooks", "1", "--overwrite"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"unshift: {source}: is ")
    assert says in said
    assert said.count("\n") == 1
    assert files(tmp_path) == before, "what was there is untouched, nothing half-written is left"


def test_what_cannot_be_done(whole: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    restorer = tmp_path / "restorer"
    words = {"sample_rate": 16000, "width": 8, "layers": 1}
    spec = {"class_path": "generators.spectral.SpectralRestorer", "init_args": words}
    store.save(restorer, SpectralRestorer(16000, width=8, layers=1), spec)
    other = tiny_codec.save(tmp_path / "other", rate=24000)
    latents = tiny_codec.save(tmp_path / "latents", kind="TinyLatents")
    smooth = tmp_path / "smooth.unshift"
    assert run("encode", VOICE, smooth, latents) == 0
    taken = tmp_path / "taken.unshift"
    shutil.copy(whole, taken)
    before = files(tmp_path)
    new, out = tmp_path / "new.unshift", tmp_path / "out.wav"
    for code, says in (
        (lambda: run("encode", VOICE, new, restorer), "a SpectralRestorer is no codec"),
        (lambda: run("decode", whole, out, other), "was encoded by another codec"),
        (lambda: run("decode", whole, out, latents), "was encoded by another codec"),
        (lambda: run("encode", VOICE, new, latents, "--codebooks", "1"), "continuous"),
        (lambda: run("encode", VOICE, new, model, "--codebooks", "4"), "--codebooks takes 1 to 3"),
        (lambda: run("decode", whole, out, model, "--codebooks", "4"), "--codebooks takes 1 to 3"),
        (lambda: run("decode", smooth, out, latents, "--codebooks", "1"), "continuous values, not codebooks"),
        (lambda: main(["trim", str(whole), str(new), "--codebooks", "4"]), "--codebooks takes 1 to 3"),
        (lambda: main(["trim", str(smooth), str(new), "--codebooks", "1"]), "continuous values, not codebooks"),
        (
            lambda: run("decode", whole, out, model, "--from", "100"),
            f"is {soundfile.info(VOICE).duration:.3f} s long: --from 100 is past its end",
        ),
        (lambda: run("decode", whole, out, model, "--from", "1", "--to", "0.5"), "--from 1 is not before --to 0.5"),
        (lambda: run("encode", VOICE, out, model), f"{out}: an encoded file's name is to end in .unshift"),
        (lambda: run("encode", VOICE, tmp_path / "nowhere", model), "no such folder; make it first, or name a file"),
        (lambda: main(["inspect", str(whole), "--on", str(VOICE)]), "want a codec's folder in its place"),
        (lambda: main(["inspect", str(tmp_path / "missing")]), "is not there: name a run"),
        (lambda: run("decode", whole, tmp_path / "out.txt", model), "unknown ending"),
        (lambda: run("encode", VOICE, taken, model), "--overwrite"),
        (lambda: run("encode", VOICE, tmp_path / "nowhere/new.unshift", model), "no such folder"),
        (lambda: run("encode", VOICE, Path("/sys/new.unshift"), model), "/sys/new.unshift: "),
        (lambda: main(["trim", str(taken), str(taken), "--codebooks", "1"]), "input and output are the same file"),
        (lambda: run("decode", taken, taken, model, "--overwrite"), "input and output are the same file"),
        (lambda: run("decode", tmp_path / "missing.unshift", out, model), "no such file or folder"),
        (lambda: main(["encode", str(VOICE), str(new)]), "no model"),
        (lambda: main(["inspect", str(VOICE)]), "is no file that `unshift encode` has made"),
    ):
        assert code() == 2, says
        said = capsys.readouterr().err
        assert says in said
        assert said.count("\n") == 1
        assert files(tmp_path) == before


def real(folder: Path) -> Path:
    """Save a small codec of real parts, which has learned nothing."""
    sizes = {"dimension": 16, "frame": 320, "fft": 1280, "width": 16, "layers": 1}
    quantiser = {"dimension": 16, "codebooks": 3, "entries": 64}
    spec = {
        "class_path": "generators.codec.Codec",
        "init_args": {
            "sample_rate": 16000,
            "encoder": {"class_path": "generators.spectral_codec.SpectralEncoder", "init_args": sizes},
            "bottleneck": {"class_path": "generators.residual_vq.ResidualVQ", "init_args": quantiser},
            "decoder": {"class_path": "generators.spectral_codec.SpectralDecoder", "init_args": sizes},
        },
    }
    torch.manual_seed(0)
    parts = SpectralEncoder(**sizes), ResidualVQ(**quantiser), SpectralDecoder(**sizes)
    store.save(folder, Codec(*parts, sample_rate=16000), spec)
    return folder


def test_a_real_codec_and_a_full_disk(tmp_path: Path) -> None:
    """In processes of their own, with a limit on how large a file may grow: the write fails like on a full disk."""
    model = real(tmp_path / "model")
    output = tmp_path / "out.unshift"
    command = [*UNSHIFT, "encode", str(VOICE), str(output), "--model", str(model), "--overwrite", "--device", "cpu"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert run("decode", output, tmp_path / "out.flac", model) == 0
    assert soundfile.info(tmp_path / "out.flac").frames == soundfile.info(VOICE).frames
    output.write_bytes(b"precious")
    limit = (resource.RLIMIT_FSIZE, (300, 300))
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, preexec_fn=lambda: resource.setrlimit(*limit)
    )
    assert (ended.returncode, ended.stderr) == (2, f"unshift: {output}: File too large\n")
    assert output.read_bytes() == b"precious"
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tmp_path.chmod(0o500)
    try:
        assert run("encode", VOICE, tmp_path / "out.unshift", model) == 2
    finally:
        tmp_path.chmod(0o700)
    assert f"{tmp_path / 'out.unshift'}: Permission denied" in capsys.readouterr().err
