"""What `unshift inspect` prints: every number with its unit, no Python among it."""

import json
import re
from pathlib import Path

import pytest
import tiny_codec
import torch

from gan.cli import main
from gan.cli.inspection import number
from generators import store
from generators.codec import Codec
from generators.dac import Decoder, Encoder
from generators.factorised import FactorisedVQ

CLIP = Path(__file__).parents[1] / "demo/clips/kathleen/speech_en_kathleen_1.flac"


def rows(said: str) -> dict[str, str]:
    """Give what is printed by name, indents kept."""
    found = {}
    for line in said.splitlines():
        name, value = re.fullmatch(r"( *\S+(?: \S+)*)(?:  +(.*))?", line).groups()  # type: ignore[union-attr]
        found[name] = value or ""
    return found


def test_parts_are_told_line_by_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    half = {"width": 4, "strides": [2, 4], "dimension": 8}
    books = {"dimension": 8, "codebooks": 2, "entries": 16, "code_dimension": 4}
    kinds = {"encoder": (Encoder, half), "bottleneck": (FactorisedVQ, books), "decoder": (Decoder, half)}
    parts = {
        name: {"class_path": f"{kind.__module__}.{kind.__name__}", "init_args": arguments}
        for name, (kind, arguments) in kinds.items()
    }
    codec = Codec(*(kind(**arguments) for kind, arguments in kinds.values()), sample_rate=16000)  # type: ignore[arg-type]
    spec = {"class_path": "generators.codec.Codec", "init_args": {"sample_rate": 16000, **parts}}
    store.save(tmp_path / "model", codec, spec)
    assert main(["inspect", str(tmp_path / "model")]) == 0
    said = capsys.readouterr().out
    english = said.replace(str(tmp_path), "").replace("codes' SHA", "").replace("model's SHA", "")
    assert not set("{}[]'") & set(english)
    assert "init_args" not in said
    found = rows(said)
    assert found["  sample_rate"] == "16000 Hz"
    assert found["  encoder"] == "generators.dac.Encoder"
    assert found["    strides"] == "2, 4"
    assert found["  bottleneck"] == "generators.factorised.FactorisedVQ"
    assert found["    entries"] == "16"
    order = [line.split()[0] for line in said.splitlines()]
    assert order.index("encoder") < order.index("width") < order.index("bottleneck") < order.index("entries")
    assert found["nominal bitrate"] == "16 kbit/s for every channel"
    assert found["parameters"].endswith(" kB on disk)")


def test_what_is_heard_has_units(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny_codec.save(tmp_path / "model")
    assert main(["inspect", str(model), "--trust", "--on", str(CLIP)]) == 0
    found = rows(capsys.readouterr().out)
    assert re.fullmatch(r"[\d.]+ bits a frame, of 4\.322 bits at most", found["  codebook/1/entropy"])
    assert re.fullmatch(r"[\d.]+ % of 20 entries", found["  codebook/1/used"])
    assert re.fullmatch(r"[\d.]+ kbit/s", found["  bitrate"])
    smooth = tiny_codec.save(tmp_path / "smooth", kind="TinyLatents")
    assert main(["inspect", str(smooth), "--trust", "--on", str(CLIP)]) == 0
    found = rows(capsys.readouterr().out)
    assert re.fullmatch(r"[1-4] of 4 hold 95 % of the variance", found["  components/0.95"])


def test_silence_has_no_negative_entropy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import soundfile

    soundfile.write(tmp_path / "silent.wav", torch.zeros(16000).numpy(), 16000)
    model = tiny_codec.save(tmp_path / "model")
    assert main(["inspect", str(model), "--trust", "--on", str(tmp_path / "silent.wav")]) == 0
    assert " -0" not in capsys.readouterr().out


def test_an_encoded_file_has_units(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny_codec.save(tmp_path / "model")
    output = tmp_path / "out.unshift"
    assert main(["encode", str(CLIP), str(output), "--model", str(model), "--trust", "--device", "cpu"]) == 0
    assert main(["inspect", str(output)]) == 0
    found = rows(capsys.readouterr().out)
    for name, unit in {
        "length": r"[\d.]+ s \([\d,]+ samples\)",
        "sample rate": r"\d+ Hz",
        "channels": r"1",
        "bitrate": r"[\d.]+ kbit/s \([\d,]+ bytes, [\d,]+ of them framing\)",
        "band": r"up to 8000 Hz",
        "codebooks": r"3 of 32, 20, 2 entries",
        "frames": r"[\d,]+ of 16 samples, [\d,]+ a block",
    }.items():
        assert re.fullmatch(unit, found[name]), name


def test_a_codec_says_which_files_are_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, output = tiny_codec.save(tmp_path / "model"), tmp_path / "out.unshift"
    assert main(["encode", str(CLIP), str(output), "--model", str(model), "--trust", "--device", "cpu"]) == 0
    tables, words = [], []
    for what in (model, output):
        capsys.readouterr()
        assert main(["inspect", str(what), "--trust"]) == 0
        tables.append({name.strip(): value for name, value in rows(capsys.readouterr().out).items()})
        assert main(["inspect", str(what), "--trust", "--json"]) == 0
        words.append(json.loads(capsys.readouterr().out))
    for name, key in (("codes' SHA-256", "codes_sha256"), ("model's SHA-256", "model_sha256")):
        assert re.fullmatch("[0-9a-f]{64}", tables[0][name])
        assert tables[0][name] == tables[1][name] == words[0]["coding"][key] == words[1]["codec"][key]


@pytest.mark.parametrize(("channels", "per"), [(1, "each channel"), (2, "both channels together")])
def test_the_cost_says_of_how_many_channels(
    channels: int, per: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny_codec.save(tmp_path / "model", channels=channels)
    assert main(["inspect", str(model), "--trust"]) == 0
    assert rows(capsys.readouterr().out)["MACs per second"].endswith(f" million, for {per}")


def test_no_number_is_a_power_of_ten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import soundfile

    model, output = tiny_codec.save(tmp_path / "model"), tmp_path / "one.unshift"
    soundfile.write(tmp_path / "one.wav", torch.zeros(1).numpy(), 48000)
    encode = ["encode", str(tmp_path / "one.wav"), str(output), "--model", str(model), "--trust", "--device", "cpu"]
    assert main(encode) == 0
    assert main(["inspect", str(output)]) == 0
    assert re.match(r"\d{1,3},\d{3} kbit/s ", rows(capsys.readouterr().out)["bitrate"])
    assert [number(x) for x in (0.4567891, 21.0649, 999.96, 187_264.0)] == ["0.4568", "21.06", "1,000", "187,300"]
