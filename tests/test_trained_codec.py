"""Laws that only a trained codec can keep, held to a small one, tests/golden/codec16, on speakers new to it."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from torch import Tensor

from gan.cli import main
from gan.coding.bitstream import reading
from gan.losses import MelDistance
from generators import store
from generators.codec import Codec

MODEL = Path(__file__).parent / "golden" / "codec16"
CLIPS = Path(__file__).parents[1] / "demo" / "clips"
VOICES = [CLIPS / "sms_female/speech_female_sms.flac", CLIPS / "sms_male/speech_male_sms.flac"]


@pytest.fixture(scope="module")
def codec() -> Codec:
    found = store.load(MODEL)
    assert isinstance(found, Codec)
    return found


def heard(file: Path, rate: int) -> Tensor:
    samples, own = soundfile.read(file, dtype="float32")
    return torch.from_numpy(soxr.resample(samples, own, rate))[None, None]


@torch.inference_mode()
def test_more_codebooks_never_decode_worse(codec: Codec) -> None:
    mel = MelDistance(codec.sample_rate)
    rows = []
    for file in VOICES:
        voice = heard(file, codec.sample_rate)
        codes = codec.encode(voice)
        decoded = [codec.decode(codes[:, :count], voice.shape[-1]) for count in range(1, codec.width + 1)]
        rows.append([float(mel.distance(one, voice)) for one in decoded])
    means = np.mean(rows, axis=0)
    assert len(means) == 4
    assert means[0] > 1.03 * means[1]
    assert np.all(np.diff(means) <= 0)
    assert np.all(np.diff(rows) <= 0.005)


@pytest.mark.parametrize("file", VOICES, ids=lambda file: file.stem)
def test_expected_codes_are_written_shorter(file: Path, codec: Codec, tmp_path: Path) -> None:
    """The range coder knows the shares that training counted; plain packing takes 6 bits a code."""
    assert main(["encode", str(file), str(tmp_path / "voice.unshift"), "--model", str(MODEL)]) == 0
    with reading(tmp_path / "voice.unshift") as reader:
        header = reader.header
    codes = codec.encode(heard(file, 16_000))
    assert codes.shape[1:] == (header.width, header.frames)
    size = (tmp_path / "voice.unshift").stat().st_size - len(header.to_bytes())
    framing = 44 * header.blocks + 20  # bytes: a block's own, four rows' own, the index
    assert size < 0.99 * 6 * codes.numel() / 8 + framing


def test_the_command_decodes_what_the_codec_does(codec: Codec, tmp_path: Path) -> None:
    voice = tmp_path / "voice.wav"
    soundfile.write(voice, heard(VOICES[1], 16_000)[0, 0].numpy(), 16_000, subtype="FLOAT")
    for command, source, output in (
        ("encode", voice, "voice.unshift"),
        ("decode", tmp_path / "voice.unshift", "b.wav"),
    ):
        assert main([command, str(source), str(tmp_path / output), "--model", str(MODEL)]) == 0
    expected = codec.restore(heard(VOICES[1], 16_000))[0, 0].detach().numpy()
    decoded, _ = soundfile.read(tmp_path / "b.wav", dtype="float32")
    assert np.abs(decoded - expected).max() < 10 ** (-90 / 20)
