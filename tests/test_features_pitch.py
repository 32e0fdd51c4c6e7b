"""The pitch tracker against tones of known pitch, and against what has none."""

import numpy as np
import pytest
from numpy.typing import NDArray

from features.pitch import track_pitch

RATE = 48000


def tone(frequency: NDArray[np.float64], rate: int = RATE) -> NDArray[np.float32]:
    """A buzz of up to 15 partials that follows a frequency, [samples]."""
    phase = 2 * np.pi * np.cumsum(frequency) / rate
    partials = [number for number in range(1, 16) if number * frequency.max() < rate / 2]
    return np.asarray(0.2 * sum(np.sin(number * phase) / number for number in partials), dtype=np.float32)


@pytest.mark.parametrize(("rate", "most"), [(16000, 8), (48000, 1)])
@pytest.mark.parametrize("frequency", [61.0, 110.0, 333.3, 790.0])
def test_a_steady_tone_is_found_within_some_cents(frequency: float, rate: int, most: float) -> None:
    pitch = track_pitch(tone(np.full(rate, frequency), rate), rate)
    assert pitch.voiced.mean() > 0.95
    cents = 1200 * np.log2(pitch.frequency[pitch.voiced] / frequency)
    assert abs(np.median(cents)) < most


def test_a_glide_is_followed_frame_by_frame() -> None:
    frequency = np.geomspace(100, 400, 2 * RATE)
    pitch = track_pitch(tone(frequency), RATE)
    true = frequency[np.minimum(np.arange(len(pitch.frequency)) * RATE // 100, len(frequency) - 1)]
    cents = 1200 * np.log2(pitch.frequency[5:-5] / true[5:-5])
    assert np.abs(cents).max() < 30


def test_noise_and_silence_have_no_pitch() -> None:
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    assert not track_pitch(noise, RATE).voiced.any()
    assert not track_pitch(np.zeros(RATE, np.float32), RATE).voiced.any()


@pytest.mark.parametrize("samples", [0, 1, 100, 479, 481])
def test_any_length_gives_a_frame_every_hop(samples: int) -> None:
    pitch = track_pitch(np.zeros(samples, np.float32), RATE)
    assert len(pitch.frequency) == len(pitch.voiced) == max(1, -(-samples // 480))


def test_a_range_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="8000 Hz"):
        track_pitch(np.zeros(100, np.float32), 8000, fmax=3000)
