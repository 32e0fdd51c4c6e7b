"""Errors of pitch: tones that are off by so much, and what has no pitch."""

import numpy as np
import pytest
from known_sounds import RATE, steady, take, tone

from features.pitch import track_pitch
from gan.evaluating.contract import Sound
from gan.evaluating.measures import Panel
from gan.evaluating.pitches import pitch_errors


def pitch(output: np.ndarray, original: np.ndarray, *more: float, stays: bool = False) -> dict[str, float]:
    values, wrong = Panel(["f0_median", "f0_p95", "f0_octave", "voicing", "periodicity"]).measure(
        take(output, original, *more, stays=stays), speech=False
    )
    assert not wrong
    return values


@pytest.mark.parametrize("cents", [-300.0, -37.0, 0.0, 10.0, 150.0])
def test_a_tone_is_as_many_cents_off_as_it_is(cents: float) -> None:
    values = pitch(steady(220 * 2 ** (cents / 1200)), steady(220))
    assert values["f0_median"] == pytest.approx(abs(cents), abs=1)
    assert values["f0_p95"] == pytest.approx(abs(cents), abs=2)
    assert values["f0_octave"] == 0
    assert values["voicing"] < 3


def test_the_95th_percentile_sees_what_the_median_does_not() -> None:
    frequency = np.full(2 * RATE, 220.0)
    frequency[: RATE // 5] *= 2 ** (80 / 1200)  # a tenth
    values = pitch(tone(frequency), steady(220, 2))
    assert values["f0_median"] < 1
    assert values["f0_p95"] == pytest.approx(80, abs=3)


def test_an_octave_is_counted_apart() -> None:
    frequency = np.full(2 * RATE, 220.0)
    frequency[: RATE // 2] *= 2  # a quarter
    values = pitch(tone(frequency), steady(220, 2))
    assert values["f0_octave"] == pytest.approx(25, abs=2)
    assert values["f0_median"] < 1


def test_voicing_and_periodicity_see_noise_in_the_place_of_a_voice() -> None:
    output = steady(220, 2)
    output[:, : RATE // 2] = 0.2 * np.random.default_rng(0).standard_normal(RATE // 2)
    values = pitch(output, steady(220, 2))
    assert values["voicing"] == pytest.approx(25, abs=3)
    # A quarter of the frames differ by nearly one.
    assert 0.3 < values["periodicity"] < 0.5
    assert pitch(output, output)["periodicity"] == 0


def test_a_shift_that_stays_is_held_against_the_shifted_pitch() -> None:
    shifted = steady(220 * 2 ** (5 / 12))
    assert pitch(shifted, steady(220), 5.0, stays=True)["f0_median"] < 1
    assert pitch(steady(220), steady(220), 5.0, stays=True)["f0_median"] == pytest.approx(500, abs=2)
    assert pitch(shifted, steady(220), 5.0)["f0_median"] == pytest.approx(500, abs=2)
    # Beyond the usual range too: the output is looked for where it should be.
    assert pitch(steady(1400), steady(700), 12.0, stays=True)["f0_median"] < 3


def test_the_top_of_a_range_is_never_rounded_over_what_a_rate_has() -> None:
    buzz = Sound(steady(220, 0.1)[:, ::6], 8_000)
    assert len(buzz.pitch(2 ** (17.7 / 12)).voiced) == 10  # 2000 / ratio x ratio is more than 2000


def test_without_a_voice_there_is_no_error_of_f0() -> None:
    noise = np.random.default_rng(0).standard_normal((1, RATE)).astype(np.float32)
    assert set(pitch(noise, noise)) == {"voicing", "periodicity"}
    silent = track_pitch(np.zeros(RATE, np.float32), RATE)
    assert pitch_errors(silent, silent)["voicing"] == 0


def test_periodicity_is_yins_by_its_definition(speech: np.ndarray) -> None:
    waveform = speech[0, :24_000]
    found = track_pitch(waveform, RATE).periodicity
    longest, shortest = RATE // 60 + 1, RATE // 800
    padded = np.pad(waveform.astype(np.float64), longest)
    checked = 0
    for frame in range(3, 48, 7):
        part = padded[frame * 480 : frame * 480 + 2 * longest]
        d = np.array([np.square(part[:longest] - part[lag : lag + longest]).sum() for lag in range(longest)])
        relative = d[1:] * np.arange(1, longest) / np.cumsum(d[1:])
        if found[frame] > 0:
            # The last lag has no neighbour, so it cannot be a dip.
            assert found[frame] == pytest.approx(1 - min(1, relative[shortest - 1 : -1].min()), abs=1e-6)
            checked += 1
    assert checked > 3


def test_what_is_too_quiet_to_tell_repeats_itself_not_at_all() -> None:
    buzz = steady(220)[0]
    found = track_pitch(np.concatenate([buzz, 1e-3 * buzz]), RATE).periodicity  # at -60 dB
    assert found[10:90].min() > 0.9
    assert found[110:].max() == 0
