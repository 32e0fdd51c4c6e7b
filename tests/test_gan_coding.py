"""Laws of encoding and decoding files, with codecs of a few numbers."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny_codec
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gan.audio import AudioError
from gan.coding.bitstream import BitstreamReader, reading
from gan.coding.codecs import KnownCodec, know
from gan.coding.files import decode_file, encode_file
from gan.coding.trimming import trim
from gan.planning import Job

CODECS = {
    "mono": {},
    "stereo": {"channels": 2},
    "blocks of 2": {"block": 2, "rate": 24000},
    "continuous": {"kind": "TinyLatents", "rate": 44100},
}


@pytest.fixture(scope="module")
def codecs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, KnownCodec]:
    folder = tmp_path_factory.mktemp("codecs")
    return {name: tiny_codec.known(folder / name, **words) for name, words in CODECS.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


def noise(samples: int, channels: int, seed: int = 0) -> np.ndarray:
    wave = np.random.default_rng(seed).standard_normal((samples, channels)).astype(np.float32)
    return np.clip(0.2 * wave, -0.9, 0.9)


def encode(codec: KnownCodec, folder: Path, wave: np.ndarray, rate: int, codebooks: int | None = None) -> Path:
    soundfile.write(folder / "in.wav", wave, rate, subtype="FLOAT")
    encode_file(Job(folder / "in.wav", folder / "x.unshift"), codec, codebooks, 0.05)
    return folder / "x.unshift"


def decode(codec: KnownCodec, source: Path, **words: float | None) -> np.ndarray:
    """Decode to [samples, channels]."""
    output = source.with_name("out.wav")
    decode_file(Job(source, output), codec, chunk_seconds=0.05, **words)
    return soundfile.read(output, dtype="float32", always_2d=True)[0]


@settings(max_examples=120, deadline=None)
@given(
    name=st.sampled_from(sorted(CODECS)),
    samples=st.one_of(st.integers(1, 80), st.integers(1, 6000)),
    rate=st.sampled_from([8000, 11025, 16000, 22050, 24000, 44100, 48000, 88200, 96000]),
    channels=st.integers(1, 8),
)
def test_length_rate_and_channels_come_back(
    name: str, samples: int, rate: int, channels: int, codecs: dict[str, KnownCodec], folder: Path
) -> None:
    source = encode(codecs[name], folder, noise(samples, channels), rate)
    decode_file(Job(source, folder / "out.wav"), codecs[name])
    info = soundfile.info(folder / "out.wav")
    assert (info.frames, info.samplerate, info.channels, info.subtype) == (samples, rate, channels, "FLOAT")


@pytest.mark.parametrize("name", sorted(CODECS))
def test_a_file_sounds_as_the_codec_does(name: str, codecs: dict[str, KnownCodec], folder: Path) -> None:
    """Without resampling, a file is what the codec itself gives for the whole."""
    codec = codecs[name].coder
    wave = noise(5003, 3)
    out = decode(codecs[name], encode(codecs[name], folder, wave, codec.sample_rate))
    assert isinstance(codec, torch.nn.Module)
    with torch.inference_mode():
        whole = codec.restore(torch.from_numpy(wave.T)[None])[0].numpy().T
    assert np.abs(out - whole).max() < 1e-5
    assert np.abs(whole).max() > 0.01


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(["mono", "stereo", "blocks of 2"]),
    keep=st.integers(1, 3),
    samples=st.integers(1, 20000),
    rate=st.sampled_from([8000, 16000, 44100]),
)
def test_trimming_is_encoding_with_fewer_codebooks(
    name: str, keep: int, samples: int, rate: int, codecs: dict[str, KnownCodec], folder: Path
) -> None:
    wave = noise(samples, 2, samples)
    few = encode(codecs[name], folder, wave, rate, keep).read_bytes()
    source = encode(codecs[name], folder, wave, rate)
    rough = decode(codecs[name], source, codebooks=keep)
    trim(source, folder / "trimmed.unshift", keep)
    assert (folder / "trimmed.unshift").read_bytes() == few
    assert np.array_equal(decode(codecs[name], folder / "trimmed.unshift"), rough)


LONG = {}


@settings(max_examples=120, deadline=None)
@given(
    name=st.sampled_from(sorted(CODECS)),
    rate=st.sampled_from([8000, 16000, 44100, 44101, 96000]),
    start=st.floats(0, 9.9),
    seconds=st.floats(0.001, 3),
)
def test_a_section_is_that_of_the_whole(
    name: str, rate: int, start: float, seconds: float, codecs: dict[str, KnownCodec], folder: Path
) -> None:
    codec = codecs[name]
    if (name, rate) not in LONG:
        source = encode(codec, folder, noise(10 * rate, 1), rate).rename(folder / f"{name}{rate}.unshift")
        LONG[name, rate] = source, decode(codec, source)
    source, whole = LONG[name, rate]
    stop = min(start + seconds, 10.0)
    part = decode(codec, source, start=start, stop=stop)
    assert len(part) == round((stop - start) * rate)
    first = min(round(start * rate), 10 * rate - len(part))
    assert np.abs(part - whole[first : first + len(part)]).max() < 10 ** (-90 / 20)


def test_open_sections_and_those_that_are_not_there(codecs: dict[str, KnownCodec], folder: Path) -> None:
    codec = codecs["mono"]
    source = encode(codec, folder, noise(16001, 1), 16000)
    whole = decode(codec, source)
    assert np.abs(decode(codec, source, start=0.5) - whole[8000:]).max() < 1e-5
    assert np.abs(decode(codec, source, stop=0.25) - whole[:4000]).max() < 1e-5
    for start, stop in (
        (0.5, 0.5),
        (0.5, 0.2),
        (2.0, None),
        (0.5, float("nan")),
        (-1.0, 0.5),
        (1e308, None),
    ):
        with pytest.raises(AudioError, match=r"no section from|is past its end"):
            decode(codec, source, start=start, stop=stop)


def test_a_section_reads_only_its_blocks(
    codecs: dict[str, KnownCodec], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = encode(codecs["mono"], folder, noise(60 * 16000, 1), 16000)
    with reading(source) as reader:
        assert reader.header.blocks == 15
        assert reader.header.block_frames * 16 == 4 * 16000
    touched = []
    read = BitstreamReader.block
    monkeypatch.setattr(BitstreamReader, "block", lambda *words: (touched.append(words[1]), read(*words))[1])
    decode(codecs["mono"], source, start=13.0, stop=15.5)
    assert touched == [3]
    touched.clear()
    decode(codecs["mono"], source, start=11.0, stop=17.0)
    assert touched == [2, 3, 4]


def test_progress_ends_at_the_whole(codecs: dict[str, KnownCodec], folder: Path) -> None:
    soundfile.write(folder / "in.wav", noise(30001, 2), 22050)
    for work, job in (
        (encode_file, Job(folder / "in.wav", folder / "x.unshift")),
        (decode_file, Job(folder / "x.unshift", folder / "out.wav")),
    ):
        told: list[tuple[float, float]] = []
        work(job, codecs["mono"], chunk_seconds=0.1, progress=lambda *now, told=told: told.append(now))
        assert len(told) > 5
        assert [now for now, _ in told] == sorted(now for now, _ in told)
        assert told[-1] == pytest.approx((30001 / 22050, 30001 / 22050))


@pytest.mark.parametrize(
    ("subtype", "ending", "becomes"),
    [
        ("PCM_16", ".wav", "PCM_16"),
        ("PCM_24", ".flac", "PCM_24"),
        ("FLOAT", ".wav", "FLOAT"),
        ("FLOAT", ".flac", "PCM_24"),
        ("PCM_U8", ".wav", "PCM_16"),
        ("PCM_16", ".flac", "PCM_16"),
    ],
)
def test_the_sample_format_is_like_what_was_encoded(
    subtype: str, ending: str, becomes: str, codecs: dict[str, KnownCodec], tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "in.wav", noise(1000, 2), 16000, subtype=subtype)
    encode_file(Job(tmp_path / "in.wav", tmp_path / "x.unshift"), codecs["mono"])
    decode_file(Job(tmp_path / "x.unshift", tmp_path / f"out{ending}"), codecs["mono"])
    assert soundfile.info(tmp_path / f"out{ending}").subtype == becomes


def test_usage_makes_files_smaller(codecs: dict[str, KnownCodec], tmp_path: Path) -> None:
    """A codec that says how its entries are used: the same codes, in fewer bytes."""
    codec = codecs["mono"]
    wave = noise(32000, 1)
    plain = encode(KnownCodec(codec.coder, codec.facts, None), tmp_path, wave, 16000)
    with reading(plain) as reader:
        codes = np.concatenate(list(reader.read(0, 2000)), axis=2)[0]
    size = plain.stat().st_size
    sizes = codec.facts.codebooks
    usage = codec.coder.usage
    before = [share.clone() for share in usage.shares]
    for share, row, entries in zip(usage.shares, codes, sizes, strict=True):
        share.copy_(torch.from_numpy(np.bincount(row, minlength=entries) / len(row)))
    tuned = know(codec.coder, tiny_codec.spec())
    for share, old in zip(usage.shares, before, strict=True):
        share.copy_(old)
    small = encode(tuned, tmp_path, wave, 16000)
    assert small.stat().st_size < 0.97 * size
    with reading(small, tuned.priors) as reader:
        assert np.array_equal(np.concatenate(list(reader.read(0, 2000)), axis=2)[0], codes)
