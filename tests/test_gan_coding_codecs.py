"""Which codecs read which files, and how to get round damage: by codecs of a few numbers and small real ones."""

import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import tiny_codec
import torch
from test_gan_coding import decode, encode, noise

from gan.coding.bitstream import BitstreamError, reading
from gan.coding.codecs import KnownCodec, know
from gan.coding.files import decode_file
from gan.planning import Job
from generators import store
from generators.codec import Codec
from generators.contract import ModelError, Pair

SPECTRAL = {"dimension": 4, "frame": 320, "fft": 1280, "width": 8, "layers": 2}
DAC = {"width": 2, "strides": [4, 5, 16], "dimension": 4}
CAUSAL = {"width": 2, "strides": [4, 5, 16], "dimension": 4}
FSQ = ("scalar.FSQ", {"dimension": 4, "levels": [8, 5, 5]})


def half(name: str, words: dict[str, Any]) -> dict[str, Any]:
    return {"class_path": f"generators.{name}", "init_args": dict(words)}


def spec(room: str, words: dict[str, Any], bottleneck: tuple[str, dict[str, Any]] = FSQ) -> dict[str, Any]:
    """Describe a codec at 16 kHz of two halves of a kind."""
    parts = {"encoder": half(f"{room}Encoder", words), "decoder": half(f"{room}Decoder", mirrored(room, words))}
    parts["bottleneck"] = half(*bottleneck)
    return {"class_path": "generators.codec.Codec", "init_args": {"sample_rate": 16000, **parts}}


def mirrored(room: str, words: dict[str, Any]) -> dict[str, Any]:
    return words | ({"width": 16} if room == "dac." else {})


def known(words: dict[str, Any]) -> KnownCodec:
    torch.manual_seed(0)
    codec = store.build(words)
    assert isinstance(codec, Codec)
    return know(codec.eval(), words)


@pytest.fixture(scope="module")
def mono(tmp_path_factory: pytest.TempPathFactory) -> KnownCodec:
    return tiny_codec.known(tmp_path_factory.mktemp("mono"))


def test_another_codec_is_refused(mono: KnownCodec, tmp_path: Path) -> None:
    source = encode(mono, tmp_path, noise(100, 1), 16000)
    with pytest.raises(ModelError, match=r"x\.unshift: was encoded by another codec"):
        decode(tiny_codec.known(tmp_path / "two", channels=2), source)
    for part in ("encoder.layer.bias", "bottleneck.book1"):
        other = tiny_codec.build()
        changed = other.get_submodule(part.rpartition(".")[0]).get_buffer if "book" in part else other.get_parameter
        with torch.no_grad():
            changed(part.rpartition(".")[2] if "book" in part else part)[..., -1] += 1e-6
        with pytest.raises(ModelError, match="another codec"):
            decode(know(other, tiny_codec.spec()), source)
    assert set(tmp_path.glob("out*")) == set()


def test_a_decoder_that_has_learned_on_decodes_and_says_so(mono: KnownCodec, tmp_path: Path) -> None:
    source = encode(mono, tmp_path, noise(100, 1), 16000)
    other = tiny_codec.build()
    with torch.no_grad():
        other.get_parameter("decoder.layer.bias").add_(0.25)
    remarks = decode_file(Job(source, tmp_path / "later.wav"), know(other, tiny_codec.spec()))
    assert len(remarks) == 1
    assert "another decoder" in remarks[0]
    assert decode_file(Job(source, tmp_path / "out.wav"), mono) == []
    later, first = (soundfile.read(tmp_path / name)[0] for name in ("later.wav", "out.wav"))
    assert later == pytest.approx(first + 0.25, abs=1e-6)


CHANGES: dict[str, tuple[bool, Callable[[dict[str, Any]], Any]]] = {
    "levels in another order": (False, lambda said: said["bottleneck"]["init_args"].update(levels=[5, 8, 5])),
    "dilations": (False, lambda said: said["encoder"]["init_args"].update(dilations=[1, 2, 4])),
    "the decoder's dilations": (True, lambda said: said["decoder"]["init_args"].update(dilations=[1, 2, 4])),
    "a default spelled out": (True, lambda said: said["encoder"]["init_args"].update(dilations=[1, 3, 9], audio=1)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_codes_follow_from_more_than_weights(name: str) -> None:
    """The same weights, described otherwise."""
    words = spec("dac.", DAC)
    other = deepcopy(words)
    readable, change = CHANGES[name]
    change(other["init_args"])
    one, two = known(words), known(other)
    two.coder.load_state_dict(one.coder.state_dict())  # type: ignore[attr-defined]
    facts = know(two.coder, other).facts
    assert (facts.codes == one.facts.codes) is readable
    assert (facts.model_sha256 == one.facts.model_sha256) is (name == "a default spelled out")


@pytest.mark.parametrize(
    ("bottleneck", "argument", "value"),
    [
        (("scalar.ResidualFSQ", {"dimension": 8, "levels": [5, 3], "codebooks": 2}), "dropout", 0.5),
        (("factorised.FactorisedVQ", {"dimension": 4, "codebooks": 2, "entries": 8}), "dropout", 0.25),
        (("residual_vq.ResidualVQ", {"dimension": 4, "codebooks": 2, "entries": 8}), "decay", 0.5),
        (("som.SelfOrganisingMaps", {"dimension": 4, "codebooks": 2, "grid": [2, 4]}), "radius", 2.0),
    ],
)
def test_how_a_bottleneck_learns_does_not_matter(
    bottleneck: tuple[str, dict[str, Any]], argument: str, value: float
) -> None:
    sizes = {**DAC, "dimension": bottleneck[1]["dimension"]}
    one = spec("dac.", sizes, bottleneck)
    other = spec("dac.", sizes, (bottleneck[0], bottleneck[1] | {argument: value}))
    assert known(one).facts.codes == known(other).facts.codes
    assert known(one).facts.codes != known(spec("dac.", sizes | {"width": 4}, bottleneck)).facts.codes


@pytest.mark.parametrize("name", ["FSQ", "ResidualFSQ"])
@pytest.mark.parametrize("dimension", [2, 8])
def test_grids_keep_their_shares_where_the_encoder_is_frozen(name: str, dimension: int) -> None:
    """A second phase: the encoder and what leads into the grid stand still, what leads out and the decoder learn."""
    codec = known(
        spec("dac.", DAC | {"dimension": dimension}, (f"scalar.{name}", {"dimension": dimension, "levels": [5, 5]}))
    )
    network = codec.coder
    assert isinstance(network, Codec)
    network.train()
    pair = Pair(*2 * (torch.randn(2, 1, 3200),), 16000)
    for frozen in (network.encoder, network.bottleneck.enter):
        before = [share.clone() for share in network.usage.shares]
        network(pair)
        network.usage.learn()
        assert not all(map(torch.equal, before, network.usage.shares)), "something of the writing side still learns"
        frozen.requires_grad_(False).eval()
        if frozen is network.encoder and dimension == 2:
            break
    before = [share.clone() for share in network.usage.shares]
    network(pair)
    network.usage.learn()
    assert all(map(torch.equal, before, network.usage.shares))


LAYOUTS = {"spectral": ("spectral_codec.Spectral", SPECTRAL), "DAC": ("dac.", DAC), "causal": ("causal.Causal", CAUSAL)}


@pytest.mark.parametrize("rate", [16000, 44100, 44056, 15999])
@pytest.mark.parametrize("name", LAYOUTS)
def test_what_is_around_a_damaged_block_decodes_as_the_message_says(name: str, rate: int, tmp_path: Path) -> None:
    codec = known(spec(*LAYOUTS[name]))
    source = encode(codec, tmp_path, noise(16 * rate, 1), rate)
    whole = decode(codec, source)
    content = bytearray(source.read_bytes())
    with reading(source) as reader:
        content[reader._offsets[1] + 30] ^= 16
    source.write_bytes(content)
    with pytest.raises(BitstreamError, match=r"damaged from 4\.00 to 8\.00 s \(block 1: ") as told:
        decode(codec, source)
    found = re.search(r"--to ([0-9.]+) decodes what is before, --from ([0-9.]+) what is after", str(told.value))
    assert found
    stop, start = (float(seconds) for seconds in found.groups())
    assert 2 < stop < 4
    assert 8 < start < 10
    before, after = decode(codec, source, stop=stop), decode(codec, source, start=start)
    assert np.abs(before - whole[: len(before)]).max() < 10 ** (-90 / 20)
    assert np.abs(after - whole[-len(after) :]).max() < 10 ** (-90 / 20)


def spoilt(kind: str, content: bytes) -> bytes:
    return {
        "one byte": content[:-1],
        "half": content[: len(content) // 2],
        "more": content + b"12345",
        "index": content[:-40] + bytes([content[-40] ^ 1]) + content[-39:],
    }[kind]


@pytest.mark.parametrize("kind", ["one byte", "half", "more", "index"])
def test_a_file_that_ends_badly_gives_what_is_there(kind: str, mono: KnownCodec, tmp_path: Path) -> None:
    source = encode(mono, tmp_path, noise(20 * 16000, 1), 16000)
    whole = decode(mono, source)
    source.write_bytes(spoilt(kind, source.read_bytes()))
    if kind == "half":
        with pytest.raises(BitstreamError, match=r"from 8\.00 to 20\.00 s .*is cut short.*; --to 7") as told:
            decode(mono, source)
        found = re.search(r"--to ([0-9.]+) decodes what is before$", str(told.value))
        assert found
        part = decode(mono, source, stop=float(found[1]))
        assert np.array_equal(part, whole[: len(part)])
        assert len(part) > 7.5 * 16000
    else:
        remarks = decode_file(Job(source, tmp_path / "mended.wav"), mono)
        assert len(remarks) == 1
        assert "were found without" in remarks[0]
        assert np.abs(soundfile.read(tmp_path / "mended.wav", dtype="float32")[0] - whole[:, 0]).max() < 1e-6


def test_the_end_is_as_far_as_there_is(mono: KnownCodec, tmp_path: Path) -> None:
    source = encode(mono, tmp_path, noise(16001, 1), 16000)
    whole = decode(mono, source)
    assert np.array_equal(decode(mono, source, stop=50.0), whole)
    assert np.array_equal(decode(mono, source, start=0.5, stop=1e308), decode(mono, source, start=0.5))
    assert len(decode(mono, source, start=16000.4 / 16000)) == 1
