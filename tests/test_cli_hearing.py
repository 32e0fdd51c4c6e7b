"""`unshift inspect --on` and `--picture`: what a codec makes of some sound, and its maps to look at."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny_codec
import torch

from gan.audio import read
from gan.cli import main
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
    assert (tmp_path / "maps.png").read_bytes().startswith(PICTURE)
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
