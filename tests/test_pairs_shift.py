"""Every shifter: same shape, right pitch, in time, and nothing of one file in the next."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from features.pitch import track_pitch
from gan.audio import Waveform, read
from gan.pairs.check import envelope_lag
from gan.pairs.shift import PairError, load_shifter

RATE = 16000
CLIP = Path(__file__).parents[1] / "demo/clips/sms_male/speech_male_sms.flac"
SHIFTERS = ["Signalsmith", "PhaseVocoder", "Torchaudio", "Librosa", "World", "Psola", "RubberBand"]


class Swap:
    """A shifter of somebody's own, named by its class path."""

    def __call__(self, waveform: Waveform, sample_rate: int, semitones: float) -> Waveform:
        return -waveform


@pytest.fixture(scope="module")
def buzz() -> Waveform:
    """Half a second of a voice-like tone of 150 Hz."""
    seconds = np.arange(RATE // 2) / RATE
    partials = [np.sin(2 * np.pi * 150 * number * seconds) / number for number in range(1, 30)]
    return np.asarray(0.2 * sum(partials), dtype=np.float32)[None]


@pytest.fixture(scope="module")
def speech() -> Waveform:
    return read(CLIP, sample_rate=RATE)[0][:, RATE : 2 * RATE]


@pytest.mark.parametrize("name", SHIFTERS)
@pytest.mark.parametrize(("channels", "samples", "rate"), [(1, 1, 48000), (8, 100, 8000), (2, 3001, 44100)])
@pytest.mark.parametrize("semitones", [-12.0, 0.5, 12.0])
def test_the_shape_stays(name: str, channels: int, samples: int, rate: int, semitones: float) -> None:
    waveform = 0.1 * np.random.default_rng(0).standard_normal((channels, samples)).astype(np.float32)
    shifted = load_shifter(name)(waveform, rate, semitones)
    assert shifted.shape == waveform.shape
    assert shifted.dtype == np.float32
    assert np.isfinite(shifted).all()
    assert np.abs(shifted).max() < 3 * np.abs(waveform).max()


@pytest.mark.parametrize("name", SHIFTERS)
@pytest.mark.parametrize("semitones", [-12, -5, 3, 12])
def test_the_pitch_is_right(name: str, semitones: int, buzz: Waveform) -> None:
    wanted = 150 * 2 ** (semitones / 12)
    shifted = load_shifter(name)(buzz, RATE, semitones)
    pitch = track_pitch(shifted[0], RATE, fmin=wanted / 1.9, fmax=wanted * 3)
    assert pitch.voiced.mean() > 0.7
    cents = 1200 * np.log2(pitch.frequency[pitch.voiced] / wanted)
    assert abs(np.median(cents)) < 10


@pytest.mark.parametrize("name", SHIFTERS)
def test_the_time_is_right(name: str) -> None:
    speech, rate = read(CLIP)
    speech = speech[:, rate : 3 * rate]
    for semitones in (-7, 5):
        shifted = load_shifter(name)(speech, rate, semitones)
        lag, correlation = envelope_lag(shifted[0], speech[0], rate, semitones)
        assert correlation > 0.5
        assert abs(lag) < 0.005


@pytest.mark.parametrize("name", SHIFTERS)
def test_nothing_of_one_call_is_in_the_next(name: str, buzz: Waveform, speech: Waveform) -> None:
    shifter = load_shifter(name)
    fresh = shifter(buzz, RATE, 7.0)
    shifter(speech[:, :5000], RATE, -3.0)
    np.testing.assert_array_equal(shifter(buzz, RATE, 7.0), fresh)
    np.testing.assert_array_equal(load_shifter(name)(buzz, RATE, 7.0), fresh)


@pytest.mark.parametrize("name", ["Signalsmith", "World", "Psola", "RubberBand"])
def test_the_lowest_rates_do_not_end_the_process(name: str) -> None:
    # Compiled parts end the process, so another one is asked.
    call = f"import numpy as np\nfrom gan.pairs.shift import load_shifter\nshifter = load_shifter({name!r})\n" + (
        "wave = np.random.default_rng(0).normal(scale=0.1, size=(1, 8000)).astype(np.float32)\n"
        "print([shifter(wave, rate, 7.0).shape for rate in (2000, 4000, 11025)] == [(1, 8000)] * 3)"
    )
    told = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, check=False)
    assert told.stdout == "True\n", told.stderr[-500:]


def test_channels_stay_alike() -> None:
    speech, rate = read(CLIP)
    both = np.concatenate([speech, speech])[:, :40000]
    for name in SHIFTERS[:2]:
        left, right = load_shifter(name)(both, rate, 4.0)
        np.testing.assert_allclose(left, right, atol=2e-4)


def test_a_class_path_names_a_shifter() -> None:
    shifter = load_shifter(f"{Swap.__module__}.Swap")
    np.testing.assert_array_equal(shifter(np.ones((1, 3), np.float32), 48000, 1.0), -np.ones((1, 3)))


@pytest.mark.parametrize("name", ["Nonesuch", "no.such.Module", "pathlib.Path", "", "gan.pairs.shift.Shifter"])
def test_what_is_no_shifter_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(PairError) as caught:
        load_shifter(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("Librosa", "librosa", "dac"),
        ("World", "pyworld", "shifters"),
        ("Psola", "parselmouth", "shifters-gpl"),
        ("RubberBand", "pedalboard", "shifters-gpl"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    name: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(PairError, match=rf"{package}: pip install 'unshift\[{extra}\]'"):
        load_shifter(name)(np.zeros((1, 1000), np.float32), 48000, 1.0)
