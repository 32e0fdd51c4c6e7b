"""What voice48 learns from: free recordings, and copies of them that are other voices."""

import numpy as np
import pytest
from known_sounds import steady

from gan.audio import Waveform
from recipes.voice48.recordings import DEEPER, FAR, OTHER, at_speed, copies

RATE = 48000


def pitch(waveform: Waveform) -> float:
    return float(np.abs(np.fft.rfft(waveform[0])).argmax() * RATE / waveform.shape[1])


@pytest.mark.parametrize(
    ("kind", "endings", "bounds"),
    [
        ("speech", ["", "_deep", "_other"], [(1, 1), DEEPER, OTHER]),
        ("singing", ["", "_deep", *(f"_other{n}" for n in (1, 2, 3, 4))], [(1, 1), DEEPER, *[FAR] * 4]),
        ("instrument", ["", *(f"_other{n}" for n in (1, 2, 3, 4))], [(1, 1), *[FAR] * 4]),
    ],
)
def test_a_copy_is_as_much_higher_as_it_is_shorter(
    kind: str, endings: list[str], bounds: list[tuple[float, float]]
) -> None:
    sound = steady(440.0)
    found = dict(copies(sound, RATE, {"kind": kind, "file": "a/b.wav"}))
    assert list(found) == endings
    factors = [pitch(copy) / 440 for copy in found.values()]
    for factor, copy, (low, high) in zip(factors, found.values(), bounds, strict=True):
        assert low - 0.01 <= factor <= high + 0.01
        assert copy.shape[1] * factor == pytest.approx(RATE, rel=0.01)
        assert np.abs(copy).max() <= 1
    assert len({round(factor, 2) for factor in factors}) == len(factors), "no two are alike"


def test_a_copy_depends_on_its_name_alone() -> None:
    sound = steady(440.0, 0.5)
    one, again, other = (at_speed(sound, RATE, name, FAR) for name in ("a", "a", "b"))
    assert np.array_equal(one, again) and one.shape != other.shape
