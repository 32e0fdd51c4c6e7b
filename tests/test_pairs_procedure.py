"""The two procedures: which band survives, and what is the same on both sides."""

from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan.audio import Waveform, read
from gan.pairs.check import Side, check_pair, check_sides, clipped_share, envelope_lag, objection
from gan.pairs.procedure import limit, narrow, one_way, oversampling, surviving_band, there_and_back, widen
from gan.pairs.shifters import Signalsmith

RATE = 48000
CLIP = Path(__file__).parents[1] / "demo/clips/kathleen/speech_en_kathleen_1.flac"


@pytest.fixture(scope="module")
def speech() -> Waveform:
    return read(CLIP)[0]


@pytest.fixture(scope="module")
def noise() -> Waveform:
    return (0.1 * np.random.default_rng(0).standard_normal((1, RATE))).astype(np.float32)


def level(waveform: Waveform, low: float, high: float) -> float:
    """Mean power density between two frequencies, dB."""
    power = np.abs(np.fft.rfft(waveform[0] * np.hanning(waveform.shape[1]))) ** 2
    frequency = np.fft.rfftfreq(waveform.shape[1], 1 / RATE)
    return float(10 * np.log10(power[(frequency >= low) & (frequency < high)].mean() + 1e-20))


@given(samples=st.integers(1, 9000), times=st.sampled_from([2, 4]), channels=st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_widening_is_undone_to_the_last_bit_of_16(samples: int, times: int, channels: int) -> None:
    waveform = np.random.default_rng(samples).uniform(-1, 1, (channels, samples)).astype(np.float32)
    wide = widen(waveform, times)
    assert wide.shape[1] >= samples * times
    np.testing.assert_allclose(narrow(wide, times, samples), waveform, atol=1e-5)


def test_widening_keeps_a_tone_in_place() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32)[None]
    wide = widen(tone, 2)[0, RATE // 2 : RATE]
    wanted = np.sin(2 * np.pi * 1000 * np.arange(RATE // 2, RATE) / (2 * RATE))
    np.testing.assert_allclose(wide, wanted, atol=1e-3)


def test_oversampling_holds_every_shift_up() -> None:
    assert [oversampling(k) for k in (-24, 0, 7, 12, 12.5, 24, 36)] == [2, 2, 2, 2, 4, 4, 8]
    assert all(oversampling(k) >= 2 ** (k / 12) for k in np.linspace(0, 48, 97))


def test_there_and_back_keeps_the_whole_band(noise: Waveform) -> None:
    back = there_and_back(noise, RATE, 12.0, Signalsmith())
    assert back.shape == noise.shape
    for low, high in ((1000, 10000), (12000, 20000), (20000, 23500)):
        assert abs(level(back, low, high) - level(noise, low, high)) < 3


def test_no_shift_is_the_clean_waveform_itself(noise: Waveform) -> None:
    np.testing.assert_array_equal(there_and_back(noise, RATE, 0.0, Signalsmith()), noise)
    for side in one_way(noise, RATE, 0.0, Signalsmith()):
        np.testing.assert_array_equal(side, noise)


@pytest.mark.parametrize("semitones", [5.0, 7.0, 12.0])
def test_one_way_both_sides_hold_the_band_that_survives(noise: Waveform, semitones: float) -> None:
    source, target = one_way(noise, RATE, semitones, Signalsmith())
    band = surviving_band(RATE, semitones)
    assert band == pytest.approx(24000 * 2 ** (-semitones / 12))
    assert abs(level(target, 500, 0.9 * band) - level(noise, 500, 0.9 * band)) < 0.5
    assert level(target, 1.02 * band, 24000) < level(noise, 1.02 * band, 24000) - 80
    # The shifted side reaches as far up, relative to its own band: nothing is asked for that it does not hold.
    assert level(source, 16000, 0.9 * 24000) > level(noise, 500, 0.9 * band) - 12


def test_a_shift_down_loses_nothing_and_limits_nothing(noise: Waveform) -> None:
    source, target = one_way(noise, RATE, -12.0, Signalsmith())
    np.testing.assert_array_equal(target, noise)
    assert level(source, 12600, 24000) < level(source, 500, 11000) - 40


def test_limit_stays_in_time(speech: Waveform) -> None:
    limited = limit(speech, RATE, 3.0)
    correlation = np.correlate(limited[0, 5000:-5000], speech[0, 5000 - 50 : -5000 + 50], "valid")
    assert int(np.argmax(correlation)) == 50


@pytest.mark.parametrize("semitones", [-12, -7, 7, 12])
def test_real_speech_passes_every_check(speech: Waveform, semitones: float) -> None:
    back = check_pair(there_and_back(speech, RATE, semitones, Signalsmith()), speech, RATE, 0)
    away = check_pair(*one_way(speech, RATE, semitones, Signalsmith()), RATE, semitones)
    for checks in (back, away):
        assert objection(checks) is None
        assert abs(checks["lag_ms"]) < 3
        assert abs(checks["cents"]) < 10
        assert checks["voiced"] > 50


def test_a_side_that_is_measured_again_says_the_same(speech: Waveform) -> None:
    target = np.concatenate([speech, speech[:, ::-1]])
    high, late = np.repeat(one_way(speech, RATE, 4.0, Signalsmith())[0], 2, axis=0), np.roll(target, 480, axis=1)
    known = Side(target, RATE)
    for source, semitones in (
        (high, 4.0),
        (late, 0.0),
        (target, 0.0),
        (late[:, 5000:], 0.0),
        (late, -3.0),
        (high, 4.0),
    ):
        assert check_sides(Side(source, RATE), known, semitones) == check_pair(source, target, RATE, semitones)
    assert known.pitch(0, 60.0, 800.0, 48000) is known.pitch(0, 60.0, 800.0, 48000)


def test_a_shifter_that_writes_into_its_input_spoils_no_other_shift(noise: Waveform) -> None:
    def spoil(waveform: Waveform, sample_rate: int, semitones: float) -> Waveform:
        waveform *= 0.5
        return waveform

    wide = cache(partial(widen, noise))
    first, second = (there_and_back(noise, RATE, semitones, spoil, wide) for semitones in (3.0, -3.0))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, there_and_back(noise, RATE, 3.0, spoil))


@pytest.mark.parametrize("lag", [-0.03, -0.0061, 0.0, 0.0024, 0.02])
def test_a_delay_is_measured(speech: Waveform, lag: float) -> None:
    late = np.roll(there_and_back(speech, RATE, 5.0, Signalsmith()), round(lag * RATE), axis=1)
    still, _ = envelope_lag(there_and_back(speech, RATE, 5.0, Signalsmith())[0], speech[0], RATE)
    assert envelope_lag(late[0], speech[0], RATE)[0] - still == pytest.approx(lag, abs=8e-4)
    assert (objection(check_pair(late, speech, RATE, 0)) is None) == (abs(lag + still) < 0.005)


def test_each_fault_is_named(speech: Waveform) -> None:
    shifted, target = one_way(speech, RATE, 4.0, Signalsmith())
    assert "cents off" in str(objection(check_pair(shifted, target, RATE, 3.0)))
    assert "longer" in str(objection(check_pair(shifted[:, :-1], target, RATE, 4.0)))
    assert "-20.0 dB louder" in str(objection(check_pair(target / 10, target, RATE, 0.0)))
    assert "too soft" in str(objection(check_pair(20 * shifted, 20 * target, RATE, 4.0)))


def test_silence_on_either_side_is_no_pair(speech: Waveform) -> None:
    faint = 0.0012 * speech / np.abs(speech).max()
    assert objection(check_pair(faint, faint, RATE, 0)) is None
    for softer in (0.5, 0.0):
        # Within the levels that are allowed to differ, and too faint for a pitch or a delay to speak against it.
        assert objection(check_pair(softer * faint, faint, RATE, 0)) == "the shifted side is silent"
        assert objection(check_pair(faint, softer * faint, RATE, 0)) == "the clean side is silent"


@pytest.mark.parametrize("samples", [1, 50, 500])
def test_tiny_pairs_are_measured_without_a_word(samples: int) -> None:
    waveform = np.full((1, samples), 0.1, np.float32)
    assert objection(check_pair(waveform, waveform, RATE, 0)) is None


def test_the_clipped_share_counts_full_scale() -> None:
    assert clipped_share(np.array([[0.5, 1.0, -1.0, 0.0]], np.float32)) == 0.5
