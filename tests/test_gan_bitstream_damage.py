"""Damaged and hostile encoded files: one error, or something valid, and nothing else."""

import io
import json
import struct
import tracemalloc
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import encoded
import numpy as np
import pytest

from gan.coding.bitstream import BitstreamError, BitstreamReader, Priors
from gan.coding.trimming import trim

PRIORS = Priors(encoded.SHARES)
CASES = 10_000


def attempt(content: bytes, priors: Priors | None) -> str:
    """Read all of a file; give "refused" or "read". Anything but a BitstreamError goes up."""
    try:
        reader = BitstreamReader(io.BytesIO(content), priors)
        head = reader.header
        frames = 0
        for codes in reader.read(0, head.frames):
            assert codes.shape[:2] == (head.streams, head.width)
            frames += codes.shape[2]
            if head.codec.codebooks:
                assert (codes >= 0).all()
                assert (codes < np.array(head.codec.codebooks)[: head.width, None]).all()
            else:
                assert np.isfinite(codes).all()
        assert frames == head.frames
    except BitstreamError as error:
        return "refused" if len(str(error)) < 300 and str(error).isprintable() else f"said {error}"
    return "read"


def parts(content: bytes) -> tuple[bytes, list[bytes]]:
    """Take a whole file apart: the header's text, and the blocks without their checksums."""
    (length,) = struct.unpack_from("<I", content, 9)
    (count,) = struct.unpack_from("<I", content, len(content) - 12)
    (index,) = struct.unpack_from("<Q", content, len(content) - 20)
    places = [*struct.unpack_from(f"<{count}Q", content, index), index]
    return content[13 : 13 + length], [content[a : b - 4] for a, b in pairwise(places)]


def sealed(content: bytes) -> bytes:
    return content + struct.pack("<I", zlib.crc32(content))


def together(text: bytes, blocks: list[bytes], count: int | None = None) -> bytes:
    """Put a file together with right checksums, whatever it says."""
    content = sealed(struct.pack("<8sBI", b"\x89UNS\r\n\x1a\n", 1, len(text)) + text)
    places = []
    for block in blocks:
        places.append(len(content))
        content += sealed(block)
    index = struct.pack(f"<{len(places)}QQ", *places, len(content))
    return content + sealed(index + struct.pack("<I", len(places) if count is None else count)) + b"UNSX"


def scatter(content: bytes, rng: np.random.Generator) -> bytes:
    """Change bytes at random: a few of them, a cut, an insertion, a piece doubled."""
    damaged = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        place, length = int(rng.integers(len(damaged))), int(rng.integers(1, 40))
        match rng.integers(5):
            case 0:
                damaged[place] = rng.integers(256)
            case 1:
                damaged[place] ^= 1 << int(rng.integers(8))
            case 2:
                del damaged[place : place + length]
            case 3:
                damaged[place:place] = rng.bytes(length)
            case _:
                damaged[place:place] = damaged[place // 2 : place // 2 + length]
        damaged = damaged or bytearray(b"\x89")
    return bytes(damaged)


VALUES = [0, 1, -1, 2, 3, 20, 50, 255, 2**16, 2**31, 2**32, 2**48, 2**63, 2**64, 10**17, 10**400, 0.5, 1e999, True]
VALUES += [None, "", "x", "\ud800", "ab" * 32, [], [0], [2] * 9, [[[]]], {}, {"a": 1}, float("nan"), float("inf")]


def reword(content: bytes, rng: np.random.Generator) -> bytes:
    """Change what a header says, as JSON or as text, with a right checksum."""
    text, blocks = parts(content)
    if rng.random() < 0.3:
        return together(scatter(text, rng), blocks)
    words = json.loads(text)
    for _ in range(rng.integers(1, 3)):
        room = [words, words["codec"], words["layout"]][rng.integers(3)]
        name = list(room)[rng.integers(len(room))]
        if isinstance(room, dict) and not isinstance(room[name], dict):
            room[name] = VALUES[rng.integers(len(VALUES))]
    return together(json.dumps(words).encode(), blocks)


def rebuild(content: bytes, rng: np.random.Generator) -> bytes:
    """Change blocks, their order or their number, with right checksums."""
    text, blocks = parts(content)
    place = int(rng.integers(len(blocks)))
    block = bytearray(blocks[place])
    count = None
    match rng.integers(6):
        case 0:
            # The length of a row, its coding, or what it holds.
            spot = int(rng.integers(12, len(block)))
            block[spot] = rng.integers(256)
        case 1:
            struct.pack_into("<I", block, 4 * int(rng.integers(4)), int(rng.choice([0, 1, 2**24, 2**32 - 1])))
        case 2:
            block = bytearray(scatter(bytes(block), rng))
        case 3:
            # A row's bytes at random, its length kept: what a range coder is least prepared for.
            (head,) = struct.unpack_from("<I", block, 12)
            size = head & 0xFFFFFF
            block[16 : 16 + size] = rng.bytes(size)
        case 4:
            blocks = [blocks[i] for i in rng.permutation(len(blocks))]
            block = bytearray(blocks[place])
        case _:
            count = int(rng.choice([0, 1, 2**31, 2**32 - 1]))
    blocks[place] = bytes(block)
    return together(text, blocks, count)


def test_ten_thousand_damaged_files_are_refused_or_valid() -> None:
    rng = np.random.default_rng(20)
    heads = [encoded.header(channels=1, samples=700), encoded.header((), channels=1, samples=700)]
    heads.append(replace(encoded.header(channels=3, samples=300), width=2))
    whole = []
    for head in heads:
        priors = PRIORS if head.codec.codebooks else None
        whole.append((encoded.write(head, encoded.codes_for(head), priors), priors))
        assert attempt(*whole[-1]) == "read"
        assert attempt(together(*parts(whole[-1][0])), priors) == "read", "taken apart and put together again"
    ways: list[Callable[[bytes, np.random.Generator], bytes]] = [scatter, reword, rebuild, rebuild]
    became: Counter[tuple[str, str]] = Counter()
    for case in range(CASES):
        content, priors = whole[case % 3]
        way = ways[case % 4]
        became[way.__name__, attempt(way(content, rng), priors)] += 1
    assert became.total() == CASES
    assert became["scatter", "refused"] >= 0.99 * CASES / 4, "what has not got right checksums is not read"
    assert became["reword", "refused"] > CASES / 5
    assert {result for _, result in became} == {"refused", "read"}, "one line, not too long"
    assert min(became["rebuild", "refused"], became["rebuild", "read"]) > CASES / 20, "both ends are reached"


NO_HEADERS = [b"", b"{}", b"[]", b"null", b"7", b"[" * 60000, b'{"a":' * 10000, b'{"sample_rate":1,"sample_rate":2}']
NO_HEADERS += [b"\xff\xfe", b"NaN", b"-Infinity", b"1" * 60000, b"{" * 2**16, b'{"samples": 1e400}']


@pytest.mark.parametrize("text", NO_HEADERS, ids=range(len(NO_HEADERS)))
def test_headers_that_are_none(text: bytes) -> None:
    assert attempt(together(text, [b"\0" * 20]), None) == "refused"


def hostile(words: dict[str, object]) -> bytes:
    text, blocks = parts(encoded.write(encoded.header(), encoded.codes_for(encoded.header())))
    said = json.loads(text)
    for name, value in words.items():
        room, _, field = name.rpartition("/")
        (said[room] if room else said)[field] = value
    return together(json.dumps(said).encode(), blocks)


@pytest.mark.parametrize(
    "words",
    [
        {"samples": 2**48, "codec/samples": 2**48},
        {"samples": 2**48, "codec/samples": 2**48, "layout/block_frames": 2**22},
        {"channels": 1024, "layout/streams": 1024},
        {"codec/width": 4096, "codec/codebooks": [1] * 4096, "layout/width": 4096},
        {"codec/codebooks": [2**31] * 3},
        {"codec/frame": 1, "codec/hop": 1, "layout/block_frames": 10**6},
        {"codec/frame": 10**400},
    ],
    ids=lambda words: str(words)[:50],
)
def test_hostile_counts_take_no_memory(words: dict[str, object]) -> None:
    content = hostile(words)
    tracemalloc.start()
    try:
        assert attempt(content, None) == "refused"
        assert tracemalloc.get_traced_memory()[1] < 2e6
    finally:
        tracemalloc.stop()


def test_no_bytes_are_no_hours() -> None:
    """An empty row, which a range decoder takes for any number of codes, is none that an encoder writes."""
    head = encoded.header((2,), channels=1, samples=16 * 10_000, block_frames=10_000)
    even = Priors([np.array([1.0, 1e-5])])
    text, blocks = parts(encoded.write(head, np.zeros((1, 1, 10_000), np.int64), even))
    assert len(blocks[0]) == 12 + 4 + 4
    assert attempt(together(text, blocks), even) == "read", "one word for as many likely codes as there are"
    empty = struct.pack("<IIII", 0, 10_000, 4, 1 << 24)
    assert attempt(together(text, [empty]), even) == "refused"
    other = blocks[0][:16] + bytes([blocks[0][16] ^ 1]) + blocks[0][17:]
    assert attempt(together(text, [other]), even) == "refused", "the same codes by another word"


def test_fewer_continuous_values_than_the_codec_makes() -> None:
    head = encoded.header((), channels=1)
    text, blocks = parts(encoded.write(head, encoded.codes_for(head)))
    words = json.loads(text)
    words["layout"]["width"] = 2
    fewer = [struct.pack("<III", *struct.unpack_from("<II", b), len(b) - 12 - len(b) // 3) + b[12:] for b in blocks]
    with pytest.raises(BitstreamError, match="some of its codec's continuous values"):
        BitstreamReader(io.BytesIO(together(json.dumps(words).encode(), fewer)))


def test_a_header_that_says_the_same_twice() -> None:
    text, blocks = parts(encoded.write(encoded.header(), encoded.codes_for(encoded.header())))
    assert attempt(together(text, blocks), None) == "read"
    twice = text.replace(b'{"sample_rate"', b'{"channels":2,"sample_rate"', 1)
    assert attempt(together(twice, blocks), None) == "refused"


@pytest.mark.parametrize("head", [3 << 24 | 10, 1 << 24 | 12, 9, 2**32 - 1])
def test_trimming_copies_no_rows_that_cannot_be(head: int, tmp_path: Path) -> None:
    text, blocks = parts(encoded.write(encoded.header(), encoded.codes_for(encoded.header())))
    blocks[1] = blocks[1][:12] + struct.pack("<I", head) + blocks[1][16:]
    (tmp_path / "in").write_bytes(together(text, blocks))
    with pytest.raises(BitstreamError, match="block 1"):
        trim(tmp_path / "in", tmp_path / "out", 1)
    assert not (tmp_path / "out").exists()


def test_other_codebooks_than_the_priors_have() -> None:
    few, many = ({"codec/width": n, "codec/codebooks": [2] * n, "layout/width": n} for n in (1, 9))
    for words in (few, many, {"codec/codebooks": [16, 5, 299]}, {"codec/codebooks": []}):
        content = hostile({**words, "layout/prior": PRIORS.checksum})
        with pytest.raises(BitstreamError):
            BitstreamReader(io.BytesIO(content), PRIORS)


def test_an_empty_file_and_other_files() -> None:
    for content, says in (
        (b"", "is empty"),
        (b"RIFF" + bytes(100), "is no file that"),
        (b"\x89UNS", "is cut short"),
        (b"\x89UNS\n\x1a\n\x01" + bytes(100), "is no file that"),
    ):
        with pytest.raises(BitstreamError, match=says):
            BitstreamReader(io.BytesIO(content))
