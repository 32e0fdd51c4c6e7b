"""Measures against numpy, scipy and sounds whose answer is known; what a panel measures and what it leaves out."""

import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from typing import ClassVar

import numpy as np
import pytest
import scipy.linalg
import scipy.signal
import torch
from known_sounds import RATE, steady, take

from gan import metrics
from gan.cli import help as words
from gan.evaluating import measures, spectra
from gan.evaluating.contract import Judge, Measure, MeasureError, Sound, Take
from gan.evaluating.measures import CATALOGUE, JUDGES, Panel, choose
from gan.evaluating.pitches import PitchErrors
from gan.evaluating.spectra import ORDER, Envelope, Spectra, envelope_distance, predictors
from gan.losses import STFTDistance
from gan.metrics import measure_pair


def test_predictors_solve_the_normal_equations(speech: np.ndarray) -> None:
    frames = np.lib.stride_tricks.sliding_window_view(speech[0].astype(np.float64), 400)[20_000:60_000:4_000]
    frames = frames * np.hanning(400)
    for frame, found in zip(frames, predictors(frames, ORDER), strict=True):
        r = np.correlate(frame, frame, "full")[399 : 400 + ORDER]
        r[0] = r[0] * (1 + 1e-5) + 1e-12
        expected = scipy.linalg.solve_toeplitz(r[:-1], -r[1:])
        np.testing.assert_allclose(found, [1, *expected], rtol=1e-6, atol=1e-6)


def formants(*frequencies: float, width: float = 80) -> tuple[np.ndarray, np.ndarray]:
    """Noise through resonances at 16 kHz, and the filter, [samples] and [poles + 1]."""
    poles = [np.exp((-np.pi * width + 2j * np.pi * f) / 16_000) for f in frequencies]
    filtering = np.poly([*poles, *np.conj(poles)]).real
    noise = np.random.default_rng(0).standard_normal(32_000)
    return np.asarray(scipy.signal.lfilter([1], filtering, noise), np.float32), filtering


def test_a_filter_that_made_a_sound_is_found_in_it() -> None:
    waveform, filtering = formants(500, 2500, 5000, width=400)
    found = predictors((waveform * np.hanning(len(waveform)))[None].astype(np.float64), 6)[0]
    np.testing.assert_allclose(found, filtering, rtol=0.02, atol=0.02)


def test_the_envelope_hears_formants_and_no_level() -> None:
    voice, near, far = (formants(*places)[0] for places in ((500, 1500), (550, 1600), (800, 2400)))
    assert envelope_distance(voice, voice) == 0
    assert envelope_distance(0.3 * voice, voice) < 1e-3
    assert 0.5 < envelope_distance(near, voice) < envelope_distance(far, voice)
    assert np.isnan(envelope_distance(voice, np.zeros_like(voice)))


def test_the_envelope_is_of_the_emphasised_sound() -> None:
    output, target = (formants(*places)[0][:4_000].astype(np.float64) for places in ((700, 1800), (500, 1500)))
    spectra = []
    for waveform in (output, target):
        bright = scipy.signal.lfilter([1, -0.97], [1], waveform)
        bright[0] = waveform[0]
        frames = [bright[start : start + 400] * np.hanning(400) for start in range(0, 3_601, 160)]
        correlations = [np.correlate(frame, frame, "full")[399 : 400 + ORDER] for frame in frames]
        poles = [scipy.linalg.solve_toeplitz(r[:-1], -r[1:]) for r in correlations]
        at = np.linspace(0, np.pi, 257)
        spectra.append([-20 * np.log10(np.abs(scipy.signal.freqz([1, *a], 1, at)[1])) for a in poles])
    expected = np.sqrt(np.square(np.subtract(*spectra)).mean(axis=1)).mean()
    found = envelope_distance(output.astype(np.float32), target.astype(np.float32))
    assert found == pytest.approx(expected, rel=0.01)


def test_a_long_envelope_is_measured_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    voice, other = (formants(*places)[0] for places in ((500, 1500), (800, 2400)))
    whole = envelope_distance(other, voice)
    monkeypatch.setattr(spectra, "FRAMES_AT_ONCE", 7)
    assert envelope_distance(other, voice) == pytest.approx(whole, rel=1e-9)


def buzz_through(frequency: float, factor: float = 1.0) -> np.ndarray:
    """A buzz with formants, [1, samples]; all formants times a factor."""
    places, partials = np.array([500, 1500, 2500, 3500]) * factor, np.arange(1, int(7_000 / frequency)) * frequency
    loud = (1 / (1 + np.square((partials[:, None] - places) / 150))).sum(axis=1)
    waveform = sum(a * np.sin(2 * np.pi * f * np.arange(RATE) / RATE) for a, f in zip(loud, partials, strict=True))
    return np.asarray([0.05 * waveform], np.float32)


def test_a_shift_that_stays_should_keep_the_formants() -> None:
    panel, ratio = Panel(["envelope", "mel", "f0_median"]), 2 ** (5 / 12)
    original = buzz_through(110)
    kept, moved = (
        panel.measure(take(buzz_through(110 * ratio, factor), original, 5.0, stays=True), speech=False)[0]
        for factor in (1.0, ratio)
    )
    assert set(kept) == set(moved) == {"envelope", "f0_median"}
    assert max(kept["f0_median"], moved["f0_median"]) < 1
    assert kept["envelope"] < 0.7 * moved["envelope"]


def test_a_shift_that_was_to_be_undone_is_held_against_the_original(speech: np.ndarray) -> None:
    panel = Panel(["mel", "si_sdr", "envelope", "f0_median"])
    shifted, original = steady(220 * 2 ** (3 / 12)), steady(220)
    perfect, none = (
        panel.measure(Take(Sound(output, RATE), Sound(original, RATE), 3.0, "one_way"), speech=False)[0]
        for output in (original, shifted)
    )
    assert perfect == {"mel": 0, "envelope": 0, "f0_median": 0}
    assert none["f0_median"] == pytest.approx(300, abs=1)
    assert none["mel"] > 0.1


def test_channels_are_heard_one_by_one(speech: np.ndarray, noisy: np.ndarray) -> None:
    names = choose(None)[0]
    panel = Panel(
        [name for name in names if name in {"envelope", "f0_median", "voicing", "pesq", "stoi", "distillmos"}]
    )

    def judged(output: list[np.ndarray], original: list[np.ndarray]) -> dict[str, float]:
        values, wrong = panel.measure(take(np.concatenate(output), np.concatenate(original)), speech=True)
        assert not wrong
        return values

    bad, good = judged([noisy], [speech]), judged([speech], [speech])
    assert set(bad) == panel.names
    assert all(bad[name] != good[name] for name in bad)
    # Of the mix of opposite channels nothing would be left. DistillMOS is not quite indifferent to the sign.
    assert judged([noisy, -noisy], [speech, -speech]) == pytest.approx(bad, rel=0.1)
    both = judged([speech, noisy], [speech, speech])
    assert both == pytest.approx({name: (bad[name] + good[name]) / 2 for name in bad}, rel=1e-4)
    silence = np.zeros_like(speech)
    # A channel that should be silent is no voice to judge; one that fell silent is no voice to leave out.
    assert judged([noisy, silence], [speech, silence]) == pytest.approx(bad)
    assert not judged([speech, silence], [speech, speech]).keys() & {"pesq", "stoi", "distillmos"}
    assert judged([speech, silence], [speech, speech])["voicing"] > 10


def test_channels_that_are_alike_are_heard_once(speech: np.ndarray, noisy: np.ndarray) -> None:
    twice, other = np.concatenate([speech, speech]), np.concatenate([speech, noisy])
    assert [len(take(*sides).channels) for sides in ((twice, twice), (other, twice), (twice, other))] == [1, 2, 2]


def test_of_a_silent_original_there_is_no_ratio(speech: np.ndarray) -> None:
    panel = Panel([name for judge in (Spectra, Envelope, PitchErrors) for name in judge.measures])
    rustle = (1e-5 * np.random.default_rng(0).standard_normal(speech.shape)).astype(np.float32)
    silence = np.zeros_like(speech)
    values, wrong = panel.measure(take(rustle, silence, 0.0), speech=False)
    assert set(values) == {"mel"}
    assert values["mel"] > 0
    assert not wrong
    both = [np.concatenate(sides) for sides in ((speech, rustle), (speech, silence))]
    values, _ = panel.measure(take(*both, 0.0), speech=False)
    alone, _ = panel.measure(take(speech, speech, 0.0), speech=False)
    assert values.keys() == alone.keys()
    assert values.pop("mel") > 0 == alone.pop("mel")
    assert values == pytest.approx(alone)


def test_si_sdr_of_an_exact_return_says_nothing_of_level_or_length(speech: np.ndarray) -> None:
    for exact in (speech, 1e-2 * speech, speech[:, :24_000], np.concatenate([speech, 0.1 * speech])):
        assert measure_pair(exact, exact, RATE)["si_sdr"] == pytest.approx(100, abs=0.01)
    near = speech + 1e-3 * np.abs(speech).max() * np.random.default_rng(0).standard_normal(speech.shape)
    loud, soft = (measure_pair((g * near).astype(np.float32), g * speech, RATE)["si_sdr"] for g in (1, 1e-2))
    flat = [x[0].astype(np.float64) - x.mean() for x in (near, speech)]
    explained = flat[1] * np.dot(*flat) / np.dot(flat[1], flat[1])
    expected = 10 * np.log10(np.square(explained).sum() / np.square(flat[0] - explained).sum())
    assert loud == pytest.approx(expected, abs=0.01)
    assert soft == pytest.approx(expected, abs=0.01)


def test_sections_change_little(speech: np.ndarray, noisy: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    # A second of rest is a section of its own: held against itself alone it would cost much.
    rest = np.zeros((1, RATE), np.float32)
    hiss = (1e-4 * np.random.default_rng(0).standard_normal(rest.shape)).astype(np.float32)
    sides = [np.concatenate(parts, axis=1) for parts in ((noisy[:, : 2 * RATE], hiss), (speech[:, : 2 * RATE], rest))]
    whole = measure_pair(*sides, RATE)
    spectra = [STFTDistance().distance(*(torch.from_numpy(side)[None] for side in sides))]
    assert whole["stft"] == pytest.approx(float(spectra[0]), rel=1e-4)
    monkeypatch.setattr(metrics, "SECTION", 1.0)
    assert measure_pair(*sides, RATE) == pytest.approx(whole, rel=0.02)


HALF_A_MINUTE = """
import resource
import numpy as np
from gan.metrics import measure_pair
side = 0.1 * np.random.default_rng(0).standard_normal((1, 30 * 48000), np.float32)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
measure_pair(side[:, :48000], side[:, :48000], 48000)
before = peak()
measure_pair(side, side, 48000)
print((peak() - before) // 1024)
"""


def test_half_a_minute_takes_little_memory() -> None:
    said = subprocess.run([sys.executable, "-c", HALF_A_MINUTE], capture_output=True, text=True, check=True)
    assert int(said.stdout) < 250, "MB; at once it takes 400"


def test_si_sdr_is_of_what_was_not_shifted(speech: np.ndarray, noisy: np.ndarray) -> None:
    panel = Panel(["si_sdr", "mel"])
    assert set(panel.measure(take(noisy, speech, 0.0), speech=False)[0]) == {"mel", "si_sdr"}
    assert set(panel.measure(take(noisy, speech, 3.0), speech=False)[0]) == {"mel"}


def test_every_measure_is_explained() -> None:
    assert len(CATALOGUE) == sum(len(judge.measures) for judge in JUDGES), "two judges give the same name"
    assert len({measure.label for measure in CATALOGUE.values()}) == len(CATALOGUE)
    assert all(measure.meaning.endswith((".", "?")) for measure in CATALOGUE.values())
    told = set(words.EVALUATE.split())
    assert set(CATALOGUE) <= told


def test_all_that_is_installed_is_chosen_and_the_rest_is_named() -> None:
    chosen, remarks = choose(None)
    for judge in JUDGES:
        there = all(find_spec(package) for package in judge.packages)
        assert (
            judge.measures.keys() <= set(chosen) if there and judge.unasked else not judge.measures.keys() & {*chosen}
        )
        if judge.unasked and not there:
            assert any(f"pip install 'unshift[{judge.extra}]'" in remark for remark in remarks)
    assert len(remarks) <= 2
    assert "pq" not in chosen, "it would download"
    assert not [name for name in choose(None, speech=False)[0] if CATALOGUE[name].speech]
    assert choose(["pesq", "mel"]) == (["mel", "pesq"], [])
    with pytest.raises(MeasureError, match="no measure 'loudness': one of mel, "):
        choose(["mel", "loudness"])


class Loudness(Judge):
    """A measure that somebody added."""

    measures: ClassVar[Mapping[str, Measure]] = {"level": Measure("level", "dB", False, "How loud it is.", False)}
    packages = ("a_package_that_nobody_has",)
    extra = "loudness"

    def __call__(self, heard: Take) -> dict[str, float]:
        level = float(np.abs(heard.output.waveform).max())
        if heard.original.silent:
            raise ZeroDivisionError("nothing")
        return {"level": 20 * np.log10(level) if level else -np.inf, "another": 1.0}


def test_a_measure_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "JUDGES", (*JUDGES, Loudness))
    monkeypatch.setitem(CATALOGUE, "level", Loudness.measures["level"])
    assert "not installed: level (pip install 'unshift[loudness]')" in choose(None)[1]
    with pytest.raises(MeasureError, match=r"not installed: level \(pip install 'unshift\[loudness\]'\)"):
        choose(["level"])


def test_one_class_and_one_line_add_a_measure(monkeypatch: pytest.MonkeyPatch, speech: np.ndarray) -> None:
    monkeypatch.setattr(Loudness, "packages", ())
    monkeypatch.setattr(measures, "JUDGES", (*JUDGES, Loudness))
    monkeypatch.setitem(CATALOGUE, "level", Loudness.measures["level"])
    panel = Panel(choose(["mel", "level"])[0])
    values, wrong = panel.measure(take(speech, speech, stays=True), speech=False)
    assert values == {"level": pytest.approx(20 * np.log10(np.abs(speech).max()))}
    assert wrong == []
    silence = np.zeros_like(speech)
    # What is not finite is left out, and a judge that fails takes no other figure along.
    assert panel.measure(take(silence, speech, stays=True), speech=False) == ({}, [])
    values, wrong = panel.measure(take(speech, silence), speech=False)
    assert set(values) == {"mel"}
    assert wrong == ["Loudness failed (ZeroDivisionError: nothing)"]


def test_speech_and_references_decide_what_is_measured(speech: np.ndarray, noisy: np.ndarray) -> None:
    panel = Panel(["mel", "envelope", "f0_median", "pesq"])
    for is_speech, stays, expected in (
        (True, False, {"mel", "envelope", "f0_median", "pesq"}),
        (False, False, {"mel", "envelope", "f0_median"}),
        (True, True, {"envelope", "f0_median"}),
    ):
        heard = take(noisy, speech, stays=stays)
        assert set(panel.measure(heard, speech=is_speech)[0]) <= expected
        assert stays or set(panel.measure(heard, speech=is_speech)[0]) == expected
