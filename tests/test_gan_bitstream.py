"""Encoded files: what is written comes back, block by block, and old files keep being read."""

import io
import json
import zlib
from dataclasses import replace
from pathlib import Path

import encoded
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan.coding.bitstream import BitstreamError, BitstreamReader, Header, Priors, reading
from gan.coding.entropy import PACKED, RANGED
from gan.coding.header import MOST_CODES, read_header, suitable_block
from gan.coding.trimming import trim
from gan.coding.writing import BitstreamWriter

GOLDEN = Path(__file__).parent / "golden"
PRIORS = Priors(encoded.SHARES)


@settings(max_examples=100, deadline=None)
@given(
    samples=st.integers(1, 3000),
    rate=st.sampled_from([8000, 16000, 22050, 96000]),
    channels=st.integers(1, 5),
    block_frames=st.integers(1, 50),
    books=st.sampled_from([(), (1,), (2, 1000), (16, 5, 300)]),
    pieces=st.integers(1, 9),
)
def test_codes_come_back(
    samples: int, rate: int, channels: int, block_frames: int, books: tuple[int, ...], pieces: int
) -> None:
    head = encoded.header(books, sample_rate=rate, channels=channels, samples=samples, block_frames=block_frames)
    codes = encoded.codes_for(head, samples)
    priors = PRIORS if books == (16, 5, 300) else None
    file = io.BytesIO()
    writer = BitstreamWriter(file, head, priors)
    for piece in np.array_split(codes, pieces, axis=2):
        writer.append(piece)
    writer.close()
    assert file.getvalue() == encoded.write(head, codes, priors), "pieces make no difference"
    reader = BitstreamReader(file, priors)
    assert reader.header == writer.header
    back = np.concatenate(list(reader.read(0, head.frames)), axis=2)
    assert back.dtype == codes.dtype
    assert np.array_equal(back, codes)


def test_priors_make_it_smaller() -> None:
    head = encoded.header(samples=160000, block_frames=1000)
    codes = encoded.codes_for(head)
    # Geometric codes of 2 bits on average, but for the cut ones, in place of 4 + 3 + 9.
    assert len(encoded.write(head, codes, PRIORS)) < 0.4 * len(encoded.write(head, codes))


class Counted(io.BytesIO):
    """A file that remembers which of its bytes were read."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.taken: list[tuple[int, int]] = []

    def read(self, size: int | None = -1) -> bytes:
        start = self.tell()
        content = super().read(size)
        self.taken.append((start, self.tell()))
        return content


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 499), st.integers(1, 500))
def test_a_section_touches_only_its_blocks(first: int, count: int) -> None:
    head = encoded.header(samples=8000)
    codes = encoded.codes_for(head)
    file = Counted(encoded.write(head, codes, PRIORS))
    reader = BitstreamReader(file, PRIORS)
    assert len(file.taken) <= 5
    file.taken.clear()
    last = min(first + count, head.frames)
    assert np.array_equal(np.concatenate(list(reader.read(first, last)), axis=2), codes[..., first:last])
    needed = range(first // 20, (last - 1) // 20 + 1)
    assert len(file.taken) == len(needed), "one read a block"
    size = len(file.getvalue()) / head.blocks
    assert sum(end - start for start, end in file.taken) < 1.3 * size * len(needed)


@settings(max_examples=60, deadline=None)
@given(keep=st.integers(1, 3), seed=st.integers(0, 1000), ranged=st.booleans(), samples=st.integers(1, 2000))
def test_trimming_is_encoding_with_fewer(
    keep: int, seed: int, ranged: bool, samples: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("trim")
    head = encoded.header(samples=samples)
    codes = encoded.codes_for(head, seed)
    priors = PRIORS if ranged else None
    (folder / "all").write_bytes(encoded.write(head, codes, priors))
    trim(folder / "all", folder / "few", keep)
    assert (folder / "few").read_bytes() == encoded.write(replace(head, width=keep), codes[:, :keep], priors)
    with reading(folder / "all", priors) as reader:
        assert np.array_equal(next(reader.read(0, 20, keep)), codes[:, :keep, :20])


def test_every_flipped_bit_is_seen() -> None:
    head = encoded.header(channels=1, samples=16 * 30)
    content = encoded.write(head, encoded.codes_for(head), PRIORS)
    encoded.read(content, PRIORS)
    for place in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        with pytest.raises(BitstreamError):
            encoded.read(bytes(damaged), PRIORS)


def test_every_cut_is_seen() -> None:
    content = encoded.write(encoded.header(), encoded.codes_for(encoded.header()), PRIORS)
    for end in range(len(content)):
        with pytest.raises(BitstreamError):
            BitstreamReader(io.BytesIO(content[:end]), PRIORS)
    with pytest.raises(BitstreamError):
        BitstreamReader(io.BytesIO(content + b"\0"), PRIORS)


def test_damage_elsewhere_does_not_matter() -> None:
    head = encoded.header()
    codes = encoded.codes_for(head)
    content = bytearray(encoded.write(head, codes))
    content[-100] ^= 1
    reader = BitstreamReader(io.BytesIO(content))
    assert np.array_equal(reader.block(0), codes[..., :20])
    with pytest.raises(BitstreamError, match=r"damaged from 0\.04 to 0\.05 s \(block 2: its checksum is wrong\)"):
        reader.block(2)


@pytest.mark.parametrize("version", [1])
def test_old_files_keep_being_read(version: int) -> None:
    expected = json.loads((GOLDEN / f"encoded_v{version}.json").read_text())
    priors = Priors([np.array(share) for share in expected["shares"]])
    codes = encoded.read((GOLDEN / f"codes_v{version}.unshift").read_bytes(), priors)
    assert codes.tolist() == expected["codes"]
    with reading(GOLDEN / f"codes_v{version}.unshift") as reader:
        assert {coding for number in range(3) for coding, _ in reader.rows(number)} == {PACKED, RANGED}
    latents = encoded.read((GOLDEN / f"latents_v{version}.unshift").read_bytes())
    assert latents.view(np.int32).tolist() == expected["latents"]


def test_the_file_is_as_its_description_says() -> None:
    """Read with nothing but the description in gan/coding/bitstream.py."""
    content = (GOLDEN / "latents_v1.unshift").read_bytes()
    number = lambda start, size: int.from_bytes(content[start : start + size], "little")  # noqa: E731
    assert content[:9] == bytes.fromhex("89554e530d0a1a0a01")
    end = 13 + number(9, 4)
    words = json.loads(content[13:end])
    assert (words["samples"], words["codec"]["samples"], words["layout"]["block_frames"]) == (400, 400, 20)
    assert number(end, 4) == zlib.crc32(content[:end])
    block = end + 4
    assert [number(block, 4), number(block + 4, 4), number(block + 8, 4)] == [0, 20, 3 * (4 + 80)]
    assert number(block + 12, 4) == 2 << 24 | 80
    values = np.frombuffer(content[block + 16 : block + 96], "<f4")
    assert np.array_equal(values, encoded.read(content)[0, 0, :20])
    after = block + 12 + 3 * 84
    assert number(after, 4) == zlib.crc32(content[block:after])
    assert content[-4:] == b"UNSX"
    index = number(len(content) - 20, 8)
    assert number(len(content) - 12, 4) == 2
    assert [number(index, 8), number(index + 8, 8)] == [block, after + 4]
    assert number(len(content) - 8, 4) == zlib.crc32(content[index:-8])


def test_what_is_written_has_to_fit() -> None:
    head = encoded.header()
    codes = encoded.codes_for(head)
    for wrong in (codes[:1], codes[:, :2], codes[0], codes + 400, codes - 1, codes / 2):
        with pytest.raises(BitstreamError):
            encoded.write(head, wrong)
    for wrong in (codes[..., :-20], codes[..., :-1], np.concatenate([codes, codes[..., :1]], axis=2)):
        with pytest.raises(BitstreamError):
            encoded.write(head, wrong)


WRONG = ["samples=0", "channels=0", "sample_rate=0", "subtype=X", "block_frames=0", "width=4", "block_frames=4194304"]
WRONG += ["channels=2000", "samples=1000000000000000"]


@pytest.mark.parametrize("words", WRONG)
def test_headers_that_cannot_be(words: str) -> None:
    name, value = words.split("=")
    with pytest.raises(BitstreamError):
        BitstreamWriter(io.BytesIO(), encoded.header(**{name: value if name == "subtype" else int(value)}))


def test_the_longest_rows_come_back() -> None:
    """A row's length has 24 bits."""
    facts = replace(encoded.header(()).codec, width=1, frame=1, hop=1)
    longest = Header(16000, 1, MOST_CODES, "FLOAT", facts, MOST_CODES, 1, None)
    values = np.arange(MOST_CODES, dtype=np.float32)[None, None]
    assert np.array_equal(encoded.read(encoded.write(longest, values)), values)
    with pytest.raises(BitstreamError, match="block_frames"):
        BitstreamWriter(io.BytesIO(), replace(longest, samples=2**22, block_frames=2**22))
    assert suitable_block(replace(facts, sample_rate=10_000_000), 1) == MOST_CODES


@pytest.mark.parametrize("streams", [1, 8, 1024])
def test_blocks_are_some_seconds_long(streams: int) -> None:
    for frame, hop, width in ((512, 512, 9), (320, 1280, 8), (2048, 2048, 128), (64, 4096, 4096), (1, 1, 1)):
        facts = replace(encoded.header().codec, frame=frame, hop=hop, width=width, sample_rate=44100, codebooks=())
        frames = suitable_block(facts, streams)
        assert frames == 1 or 1 < frames * streams * width <= MOST_CODES
        if streams * width < 100:
            assert frames * frame / 44100 == pytest.approx(4, rel=0.05)
            assert frames % (hop // frame) == 0
        Header(16000, streams, 1, "FLOAT", facts, frames, width, None)


def test_another_prior_is_refused() -> None:
    content = encoded.write(encoded.header(), encoded.codes_for(encoded.header()), PRIORS)
    with pytest.raises(BitstreamError, match="shares"):
        encoded.read(content, Priors([share + 0.1 for share in encoded.SHARES]))
    with pytest.raises(BitstreamError, match="shares"):
        encoded.read(content)
    packed = encoded.write(encoded.header(), encoded.codes_for(encoded.header()))
    head = replace(encoded.header(), prior=PRIORS.checksum)
    assert np.array_equal(encoded.read(packed, PRIORS), encoded.codes_for(head)), "packed rows need no shares"


def test_a_newer_version_says_so() -> None:
    content = bytearray(encoded.write(encoded.header(), encoded.codes_for(encoded.header())))
    content[8] = 2
    with pytest.raises(BitstreamError, match="version 2, this program reads version 1: update unshift"):
        read_header(io.BytesIO(content))
