"""Shifting long files in sections: exact length, no dip where sections meet, bounded memory."""

from pathlib import Path

import numpy as np
import pytest

import gan.pairs.stream
from gan.audio import AudioError, Reader, Waveform, read, write
from gan.pairs.check import check_pair
from gan.pairs.procedure import shift_wide
from gan.pairs.shifters import Signalsmith
from gan.pairs.stream import shift_blocks
from gan.planning import Job
from gan.restoring import shift_file

CLIPS = Path(__file__).parents[1] / "demo/clips"
CELLO = CLIPS / "cello/cello_phrase_sms.flac"


@pytest.fixture
def short_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gan.pairs.stream, "WHOLE", 1.0)
    monkeypatch.setattr(gan.pairs.stream, "SECTION", 1.2)


@pytest.mark.parametrize(("channels", "samples", "rate"), [(1, 1, 48000), (8, 100, 8000), (2, 50_001, 44100)])
@pytest.mark.usefixtures("short_sections")
def test_length_rate_and_channels_stay(tmp_path: Path, channels: int, samples: int, rate: int) -> None:
    waveform = (0.1 * np.random.default_rng(0).standard_normal((channels, samples))).astype(np.float32)
    write(tmp_path / "in.wav", waveform, rate)
    told: list[float] = []
    job = Job(tmp_path / "in.wav", tmp_path / "out.flac")
    assert not shift_file(job, Signalsmith(), 5.0, None, progress=lambda done, _: told.append(done))
    shifted, new_rate = read(tmp_path / "out.flac")
    assert (shifted.shape, new_rate) == (waveform.shape, rate)
    assert told[-1] == pytest.approx(samples / rate)


def test_a_short_file_is_one_call(tmp_path: Path) -> None:
    waveform, rate = read(CELLO)
    shift_file(Job(CELLO, tmp_path / "out.wav"), Signalsmith(), 5.0, None)
    np.testing.assert_allclose(read(tmp_path / "out.wav")[0], shift_wide(waveform, rate, 5.0, Signalsmith()), atol=1e-4)


@pytest.mark.parametrize("file", [CELLO, CLIPS / "sms_singer/singing_female_sms.flac"], ids=["cello", "singer"])
@pytest.mark.parametrize("semitones", [-7.0, 5.0])
@pytest.mark.usefixtures("short_sections")
def test_sections_meet_without_a_dip_and_stay_in_time(file: Path, semitones: float) -> None:
    waveform, rate = read(file)
    whole = shift_wide(waveform, rate, semitones, Signalsmith())
    with Reader(file) as reader:
        joined = np.concatenate(list(shift_blocks(reader, semitones, Signalsmith())), axis=1)
    assert joined.shape == waveform.shape
    checks = check_pair(joined, whole, rate, 0)
    assert abs(checks["lag_ms"]) < 2
    assert abs(checks["cents"]) < 5
    borders = gan.pairs.stream.even_borders(waveform.shape[1], round(1.2 * rate))[1:-1]
    assert len(borders) >= 3
    half = rate // 50
    for border in borders:
        inside, outside = (level(side[:, border - half : border + half]) for side in (joined, whole))
        assert abs(inside - outside) < 2
        # No click: the largest step is one that the whole has too.
        steps = [np.abs(np.diff(side[0, border - rate // 2 : border + rate // 2])).max() for side in (joined, whole)]
        assert steps[0] < 1.5 * steps[1]


def level(waveform: Waveform) -> float:
    return float(10 * np.log10(np.mean(np.square(waveform)) + 1e-12))


class Watched:
    """A shifter that does nothing but note how much it was given."""

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def __call__(self, waveform: Waveform, sample_rate: int, semitones: float) -> Waveform:
        self.lengths.append(waveform.shape[1])
        return waveform


def test_a_long_file_comes_in_bounded_sections_and_unshifted_stays_what_it_was(tmp_path: Path) -> None:
    rate, minutes = 8000, 4
    waveform = (0.1 * np.random.default_rng(0).standard_normal((1, minutes * 60 * rate))).astype(np.float32)
    write(tmp_path / "in.wav", waveform, rate, subtype="FLOAT")
    watched = Watched()
    shift_file(Job(tmp_path / "in.wav", tmp_path / "out.wav"), watched, 0.0, None)
    assert len(watched.lengths) == 2 * minutes
    assert max(watched.lengths) < 2 * 32 * rate
    np.testing.assert_allclose(read(tmp_path / "out.wav")[0], waveform, atol=1e-5)


def test_clipped_samples_are_counted(tmp_path: Path) -> None:
    square = 0.99 * np.sign(np.sin(2 * np.pi * 200 * np.arange(48000) / 48000, dtype=np.float32))
    write(tmp_path / "in.wav", square[None], 48000)
    remarks = shift_file(Job(tmp_path / "in.wav", tmp_path / "out.wav"), Signalsmith(), 7.0, None)
    assert "were clipped" in remarks[0]


def test_a_bad_input_leaves_no_output(tmp_path: Path) -> None:
    write(tmp_path / "in.flac", read(CELLO)[0], 44100)
    whole = (tmp_path / "in.flac").read_bytes()
    (tmp_path / "in.flac").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "out.wav").write_bytes(b"precious")
    for source, output in (("in.flac", "out.wav"), ("in.flac", "in.flac"), ("none.wav", "out.wav")):
        with pytest.raises(AudioError):
            shift_file(Job(tmp_path / source, tmp_path / output), Signalsmith(), 3.0, None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.flac", "out.wav"]
    assert (tmp_path / "out.wav").read_bytes() == b"precious"
