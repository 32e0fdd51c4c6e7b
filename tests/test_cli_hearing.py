"""`unshift inspect --on` and `--picture`: what a codec makes of some sound, and its maps to look at."""

import json
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import tiny_codec
import torch

from gan.audio import Reader, read
from gan.cli import main
from gan.cli.hearing import Counts, Spread, hear
from gan.coding.codecs import know
from gan.coding.files import encoded
from generators import store
from generators.codec import Codec
from generators.som import SelfOrganisingMaps

CLIP = Path(__file__).parents[1] / "demo/clips/kathleen/speech_en_kathleen_1.flac"
PICTURE = b"\x89PNG\r\n"


def test_codes_are_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny_codec.save(tmp_path / "model", rate=48_000)
    assert main(["inspect", str(model), "--json", "--trust", "--on", str(CLIP)]) == 0
    heard = json.loads(capsys.readouterr().out)["heard"]
    codes = store.load(model, trust=True).encode(torch.from_numpy(read(CLIP)[0])[None])
    share = np.bincount(codes[0, 1].numpy(), minlength=20) / codes.shape[-1]
    entropy = -np.sum(share[share > 0] * np.log2(share[share > 0]))
    assert heard["codebook/1/entropy"] == pytest.approx(entropy, abs=1e-3)
    assert heard["bitrate"] == pytest.approx(3 * sum(heard[f"codebook/{n}/entropy"] for n in range(3)), rel=1e-4)
    assert main(["inspect", str(model), "--trust", "--on", str(CLIP.parent)]) == 0
    assert "bitrate" in capsys.readouterr().out


def test_continuous_values_are_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny_codec.save(tmp_path / "model", kind="TinyLatents")
    assert main(["inspect", str(model), "--json", "--trust", "--on", str(CLIP)]) == 0
    heard = json.loads(capsys.readouterr().out)["heard"]
    counts = [heard[f"components/{share}"] for share in (0.8, 0.9, 0.95, 0.99)]
    assert 1 <= counts[0] <= counts[1] <= counts[2] <= counts[3] <= 4


def test_maps_are_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    maps = {"dimension": 4, "codebooks": 2, "grid": [3, 5]}
    spec = tiny_codec.spec()
    spec["init_args"]["bottleneck"] = {"class_path": "generators.som.SelfOrganisingMaps", "init_args": maps}
    codec = Codec(tiny_codec.TinyEncoder(), SelfOrganisingMaps(**maps), tiny_codec.TinyDecoder(), 16_000)  # type: ignore[arg-type]
    store.save(tmp_path / "maps", codec, spec)
    assert main(["inspect", str(tmp_path / "maps"), "--trust", "--picture", str(tmp_path / "maps.png")]) == 0
    drawn = (tmp_path / "maps.png").read_bytes()
    assert drawn.startswith(PICTURE)
    assert f"unshift: {tmp_path / 'maps.png'}: the picture is written\n" in capsys.readouterr().err
    (tmp_path / "maps.png").write_bytes(b"my thesis")
    assert main(["inspect", str(tmp_path / "maps"), "--trust", "--picture", str(tmp_path / "maps.png")]) == 2
    told = capsys.readouterr().err
    assert told == f"unshift: {tmp_path / 'maps.png'}: is there already: name another file\n"
    assert (tmp_path / "maps.png").read_bytes() == b"my thesis"
    for name in ("", "maps", "maps.xyz"):
        before = sorted(tmp_path.iterdir())
        assert main(["inspect", str(tmp_path / "maps"), "--trust", "--picture", str(tmp_path / name)]) == 2
        told = capsys.readouterr().err
        assert told.startswith(f"unshift: {tmp_path / name}: name a picture's file")
        assert told.count("\n") == 1
        assert sorted(tmp_path.iterdir()) == before
    plain = tiny_codec.save(tmp_path / "plain")
    assert main(["inspect", str(plain), "--trust", "--picture", str(tmp_path / "no.png")]) == 2
    assert "no grid" in capsys.readouterr().err
    assert not (tmp_path / "no.png").exists()


def test_nothing_to_hear_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny_codec.save(tmp_path / "model")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16_000)
    (tmp_path / "none").mkdir()
    for source in ("empty.wav", "none", "nowhere.wav"):
        assert main(["inspect", str(model), "--trust", "--on", str(tmp_path / source)]) == 2
        told = capsys.readouterr().err.replace("\r", "\n").strip().splitlines()
        assert source in told[-1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder of sounds that differ much, one of two channels; each is a few chunks long, and no whole number."""
    room = tmp_path / "sounds"
    room.mkdir()
    wave, rate = soundfile.read(CLIP, dtype="float32")
    soundfile.write(room / "a.wav", np.stack([wave, 0.3 * wave[::-1]], axis=1), rate)
    soundfile.write(room / "b.wav", 0.5 + 0.1 * wave[:30_001], rate)
    soundfile.write(room / "c.wav", np.zeros(12_345), 16_000)
    return room


@pytest.mark.parametrize("kind", ["TinyQuantiser", "TinyLatents"])
def test_parts_are_described_as_the_whole(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gan.cli.hearing.CHUNK", 0.1)
    codec = know(tiny_codec.build(kind=kind), tiny_codec.spec(kind=kind))
    pieces = []
    for file in sorted(folder.iterdir()):
        with Reader(file) as reader:
            pieces += [stream for codes in encoded(reader, codec, 1600) for stream in codes]
    assert len(pieces) > 30
    whole = torch.from_numpy(np.concatenate(pieces, axis=1))[None]
    expected = codec.coder.describe(whole)  # type: ignore[attr-defined]
    assert hear(codec, folder)[0] == pytest.approx(expected, rel=1e-6)


def test_spread_is_the_covariance_of_all() -> None:
    rng = np.random.default_rng(0)
    values = 1000 + rng.standard_normal((5, 5)) @ rng.standard_normal((5, 4000)).astype(np.float32)
    spread = Spread(5)
    for part in np.split(values, [1, 2, 700, 3999], axis=1):
        spread.add(part)
    assert spread.frames == 4000
    np.testing.assert_allclose(spread.mean, values.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(spread.products / 4000, np.cov(values, bias=True), rtol=1e-9, atol=1e-9)


def test_counts_leave_out_what_was_left_out() -> None:
    codec = tiny_codec.build()
    codes = torch.tensor([[0, 1, 1, -1], [-1, -1, -1, -1], [0, 1, 0, 1]])
    counts = Counts(codec.codebooks)
    for part in codes.split(3, dim=1):
        counts.add(part.numpy())
    assert counts.describe(codec) == pytest.approx(codec.describe(codes[None]), abs=1e-6)


def test_codes_are_not_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the sound, what is remembered of it stays the same size."""
    monkeypatch.setattr("gan.cli.hearing.CHUNK", 0.1)
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0

    def watched(*arguments: Any) -> Iterator[np.ndarray]:
        nonlocal most
        for codes in encoded(*arguments):
            alive.append(weakref.ref(codes))
            most = max(most, sum(one() is not None for one in alive))
            yield codes

    monkeypatch.setattr("gan.cli.hearing.encoded", watched)
    hear(know(tiny_codec.build(), tiny_codec.spec()), folder)
    assert len(alive) > 20
    assert most <= 3


def test_one_frame_has_no_spread(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny_codec.save(tmp_path / "model", kind="TinyLatents")
    soundfile.write(tmp_path / "one.wav", np.zeros(1), 16_000)
    assert main(["inspect", str(model), "--trust", "--on", str(tmp_path / "one.wav")]) == 2
    told = capsys.readouterr().err.replace("\r", "\n").strip().splitlines()[-1]
    assert told.startswith(f"unshift: {tmp_path / 'one.wav'}: is one frame of this codec, too short")


def test_a_bad_file_does_not_stop_a_folder(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is bad is left out whole, what was heard of it before it broke too."""
    model = tiny_codec.save(tmp_path / "model")
    words = ["inspect", str(model), "--trust", "--json", "--on", str(folder)]
    assert main(words) == 0
    good = json.loads(capsys.readouterr().out)["heard"]
    (folder / "0.wav").write_bytes(b"RIFF")
    late = np.random.default_rng(0).standard_normal(16_000 * 25).astype(np.float32)
    late[16_000 * 22] = np.nan
    soundfile.write(folder / "d.wav", late, 16_000, subtype="FLOAT")
    assert main(words) == 1
    said = capsys.readouterr()
    assert json.loads(said.out)["heard"] == good
    told = [line for line in said.err.splitlines() if line.startswith("unshift: failed: ")]
    assert [str(folder / name) in line for name, line in zip(("0.wav", "d.wav"), told, strict=True)] == [True, True]
    for name in "abc":
        (folder / f"{name}.wav").unlink()
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines()[-1] == f"unshift: {folder}: no file in this folder can be heard"
