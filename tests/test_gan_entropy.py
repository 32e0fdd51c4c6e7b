"""How a row of codes becomes bytes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan.coding.entropy import (
    FLOATS,
    PACKED,
    RANGED,
    TOTAL,
    BitstreamError,
    Priors,
    decode_row,
    encode_row,
    frequencies,
    packed_size,
)


def skewed(entries: int) -> np.ndarray:
    return 0.7 ** np.arange(entries)


@settings(max_examples=200, deadline=None)
@given(entries=st.integers(1, 5000), frames=st.integers(0, 60), seed=st.integers(0, 2**32 - 1), prior=st.booleans())
def test_a_row_comes_back(entries: int, frames: int, seed: int, prior: bool) -> None:
    rng = np.random.default_rng(seed)
    row = np.minimum(rng.geometric(0.3, frames) - 1, entries - 1) if seed % 2 else rng.integers(0, entries, frames)
    model = Priors([skewed(entries)]).model(0) if prior else None
    coding, content = encode_row(row, entries, model)
    assert len(content) <= packed_size(entries, frames)
    assert coding == PACKED or (prior and len(content) < packed_size(entries, frames))
    back = decode_row(coding, content, frames, entries, model)
    assert back.dtype == np.int64
    assert np.array_equal(back, row)


def test_packing_is_what_is_written_down() -> None:
    # 5 entries take 3 bits; 4, 0, 3, 1 are 001 000 110 100 from the lowest bit on.
    bits = "001000110100" + "0000"
    expected = bytes(int(bits[place : place + 8][::-1], 2) for place in (0, 8))
    assert encode_row(np.array([4, 0, 3, 1]), 5) == (PACKED, expected)
    assert encode_row(np.array([0, 0, 0]), 1) == (PACKED, b"")
    assert encode_row(np.array([2**31 - 1]), 2**31) == (PACKED, b"\xff\xff\xff\x7f")


def test_range_coding_comes_close_to_the_entropy() -> None:
    shares = skewed(1024)
    shares /= shares.sum()
    row = np.random.default_rng(0).choice(1024, 20000, p=shares)
    coding, content = encode_row(row, 1024, Priors([shares]).model(0))
    entropy = -np.log2(shares[row]).sum() / 8
    assert coding == RANGED
    assert len(content) == pytest.approx(entropy, rel=0.005)


def test_floats_are_kept_bit_for_bit() -> None:
    row = np.array([0.0, -0.0, 1e-45, -3.4e38, np.pi], np.float32)
    coding, content = encode_row(row, None)
    assert (coding, content) == (FLOATS, row.astype("<f4").tobytes())
    assert decode_row(coding, content, 5, None).tobytes() == row.tobytes()
    for bad in (np.nan, np.inf):
        with pytest.raises(BitstreamError):
            encode_row(np.array([bad], np.float32), None)
        with pytest.raises(BitstreamError):
            decode_row(FLOATS, np.array([bad], "<f4").tobytes(), 1, None)


@pytest.mark.parametrize("row", [[-1], [5], [0.5]])
def test_what_is_no_code_is_not_written(row: list[float]) -> None:
    with pytest.raises(BitstreamError):
        encode_row(np.array(row), 5)


@pytest.mark.parametrize(
    ("coding", "content", "frames", "entries"),
    [
        (PACKED, b"\x07", 1, 5),  # code 7 of 5 entries
        (PACKED, b"\x08", 1, 5),  # a bit after the last code
        (PACKED, b"", 1, 5),
        (PACKED, b"\0\0", 1, 5),
        (PACKED, b"\0" * 8, 2, None),
        (RANGED, b"\0" * 3, 100, 5),
        (RANGED, b"\0" * 4, 1, 5),  # longer than packed
        (FLOATS, b"\0" * 4, 1, 5),
        (FLOATS, b"\0" * 5, 1, None),
        (3, b"", 0, 5),
        (255, b"", 1, 1),
    ],
)
def test_bytes_that_no_encoder_writes(coding: int, content: bytes, frames: int, entries: int | None) -> None:
    model = Priors([np.ones(5)]).model(0)
    with pytest.raises(BitstreamError):
        decode_row(coding, content, frames, entries, model)


def test_words_after_a_range_coded_row_are_seen() -> None:
    model = Priors([skewed(37)]).model(0)
    coding, content = encode_row(np.zeros(200, np.int64), 37, model)
    assert coding == RANGED
    decode_row(coding, content, 200, 37, model)
    with pytest.raises(BitstreamError, match="no encoder writes"):
        decode_row(coding, content + b"\x12\x34\x56\x78" * 2, 200, 37, model)


def test_any_bytes_to_range_decode_are_codes_or_refused() -> None:
    rng = np.random.default_rng(0)
    model = Priors([skewed(37)]).model(0)
    decoded = 0
    for _ in range(3000):
        content = rng.bytes(4 * rng.integers(0, 8))
        try:
            row = decode_row(RANGED, content, 50, 37, model)
        except BitstreamError:
            continue
        decoded += 1
        assert row.min() >= 0
        assert row.max() < 37
    assert 0 < decoded < 3000


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=300))
def test_frequencies_are_whole_and_sum_up(shares: list[float]) -> None:
    counts = frequencies(np.array(shares, np.float32))
    assert counts.dtype == np.int64
    assert counts.min() >= 1
    assert counts.sum() == TOTAL


def test_frequencies_follow_the_shares_and_never_change() -> None:
    shares = np.array([0.5, 0.25, 0.125, 0.125, 0.0])
    assert frequencies(shares).tolist() == [524288, 262143, 131072, 131072, 1]
    assert np.array_equal(frequencies(np.zeros(4)), np.full(4, TOTAL // 4))
    for bad in ([-0.1, 1], [np.nan, 1], [np.inf, 1]):
        with pytest.raises(ValueError, match="shares"):
            frequencies(np.array(bad))


def test_priors_of_other_shares_have_another_checksum() -> None:
    halves = [0.5 ** np.arange(8), 0.5 ** np.arange(9)]
    assert Priors(halves).checksum == 1677999979, "as on any other machine"
    for others in (halves[::-1], [halves[0] + 0.01, halves[1]], halves[:1]):
        assert Priors(others).checksum != Priors(halves).checksum
    assert Priors([np.ones(1), np.ones(2**17)]).counts == [None, None], "only ever packed"
