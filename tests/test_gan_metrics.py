"""Measures against an independent numpy version and against what they must say of simple cases."""

from pathlib import Path

import numpy as np
import pytest

from gan.audio import read
from gan.metrics import LOWER_IS_BETTER, mean_of, measure_pair

CLIP = Path(__file__).parents[1] / "demo" / "clips" / "nathalie" / "speech_nl_nathalie_0.flac"
RATE = 48_000


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return read(CLIP)[0][:, 24_000:72_000]


def test_nothing_is_nearer_than_the_same(speech: np.ndarray) -> None:
    same = measure_pair(speech, speech, RATE)
    assert all(same[name] < 1e-6 for name in LOWER_IS_BETTER)
    assert same["si_sdr"] > 70
    noise = np.random.default_rng(0).normal(size=speech.shape).astype(np.float32)
    near, far = (measure_pair(speech + level * noise, speech, RATE) for level in (1e-3, 1e-1))
    assert all(0 < near[name] < far[name] for name in LOWER_IS_BETTER)
    assert near["si_sdr"] > far["si_sdr"]


def test_log_spectral_distance_of_a_gain_is_the_gain(speech: np.ndarray) -> None:
    # Frames over the floor differ by 6.02 dB everywhere; frames under it by less.
    noise = np.random.default_rng(0).normal(scale=0.1, size=(1, RATE)).astype(np.float32)
    values = measure_pair(2 * noise, noise, RATE)
    for name in ("lsd_0_4k", "lsd_4_8k", "lsd_8_16k", "lsd_16_24k"):
        assert values[name] == pytest.approx(20 * np.log10(2), abs=0.01)


def test_log_spectral_distance_matches_numpy(speech: np.ndarray) -> None:
    other = (0.7 * speech + 0.1 * np.roll(speech, 100)).astype(np.float32)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(2048) / 2048)

    def spectrum(x: np.ndarray) -> np.ndarray:
        padded = np.pad(x[0].astype(np.float64), 1024, mode="reflect")
        starts = range(0, len(x[0]) + 1, 512)
        return np.abs([np.fft.rfft(padded[s : s + 2048] * window) for s in starts])

    theirs = spectrum(speech)
    floor = theirs.max() * 1e-4
    difference = 20 * np.log10(np.maximum(spectrum(other), floor) / np.maximum(theirs, floor))
    frequencies = np.arange(1025) * RATE / 2048
    inside = (frequencies >= 4000) & (frequencies < 8000)
    expected = np.sqrt((difference[:, inside] ** 2).mean(1)).mean()
    assert measure_pair(other, speech, RATE)["lsd_4_8k"] == pytest.approx(expected, rel=2e-3)


def test_bands_above_half_the_rate_are_left_out(speech: np.ndarray) -> None:
    names = set(measure_pair(speech, speech, 16_000))
    assert names == {"mel", "stft", "si_sdr", "lsd_0_4k", "lsd_4_8k"}


def test_channels_and_silence_are_measured(speech: np.ndarray) -> None:
    silent = np.zeros_like(speech)
    assert all(np.isfinite(v) for v in measure_pair(silent, silent, RATE).values())
    both = measure_pair(np.concatenate([speech, speech]), np.concatenate([speech, speech]), RATE)
    assert both["mel"] < 1e-6
    with pytest.raises(ValueError, match="shapes"):
        measure_pair(speech, speech[:, :-1], RATE)


def test_means_are_by_name() -> None:
    assert mean_of([{"a": 1.0, "b": 0.0}, {"a": 2.0, "b": 4.0}]) == {"a": 1.5, "b": 2.0}
