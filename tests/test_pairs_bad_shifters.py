"""Shifters that fail, remember, shout or fall silent: what they spoil is left out, and only that."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gan.audio import Waveform, read, write
from gan.pairs.make import PairError, PairSettings, make_pairs
from gan.pairs.recording import HIGHEST
from gan.planning import Job
from gan.restoring import shift_file

CLIPS = Path(__file__).parents[1] / "demo/clips"


@pytest.fixture
def voices(tmp_path: Path) -> Path:
    """Three speakers, a second of each."""
    for speaker in ("kathleen", "kerstin", "sms_male"):
        waveform, rate = read(min((CLIPS / speaker).glob("*.flac")), sample_rate=16000)
        (tmp_path / "voices" / speaker).mkdir(parents=True)
        write(tmp_path / "voices" / speaker / "a.flac", waveform[:, rate // 2 : 3 * rate // 2], rate)
    return tmp_path / "voices"


def quick(source: Path, shifter: type, *semitones: float) -> PairSettings:
    shifters = (f"{shifter.__module__}.{shifter.__name__}",)
    return PairSettings(source, source.parent / "pairs", 16000, semitones, shifters=shifters, workers=1)


class Moody:
    """Fails at one shift and is wrong at others."""

    def __call__(self, waveform: Waveform, sample_rate: int, semitones: float) -> Waveform:
        if semitones == 7:
            raise RuntimeError("not in\nthe mood")
        if semitones == 3:
            return waveform[:, 1:]
        return np.full_like(waveform, np.nan) if semitones == 4 else 0 * waveform


def test_what_a_shifter_cannot_do_is_left_out_and_not_fatal(voices: Path) -> None:
    report = make_pairs(quick(voices, Moody, 0.0, 3.0, 4.0, 5.0, 7.0), progress=False)
    assert {record.semitones for record in report.records} == {0.0}
    for words in (
        "Moody made",
        "no numbers",
        "shifted side is silent",
        "Moody cannot shift it by +7 (RuntimeError: not",
    ):
        assert sum(words in reason for _, reason in report.left_out) == 3
    assert len(report.left_out) == 12


@pytest.mark.parametrize(
    ("semitones", "words"),
    [(7.0, "cannot shift it by +7 (RuntimeError: not in the mood)"), (3.0, "made"), (4.0, "gave samples that are no")],
)
def test_shifting_a_file_names_file_shifter_and_cause(voices: Path, semitones: float, words: str) -> None:
    job = Job(voices / "kathleen/a.flac", voices / "out.flac")
    with pytest.raises(PairError, match=f"^{re.escape(f'{job.source}: Moody {words}')}") as caught:
        shift_file(job, Moody(), semitones, None)
    assert "\n" not in str(caught.value)
    assert not list(voices.glob("out*"))


class Broken:
    """Never works."""

    def __call__(self, waveform: Waveform, sample_rate: int, semitones: float) -> Waveform:
        raise KeyError("nothing")


def test_a_shifter_that_never_works_is_said_before_the_work(voices: Path) -> None:
    with pytest.raises(PairError, match="Broken cannot shift it by"):
        make_pairs(quick(voices, Broken, 5.0), progress=False)
    assert not (voices.parent / "pairs").exists()


class Forgetful:
    """Works for the two shifts of one pair, then is another."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, waveform: Waveform, sample_rate: int, semitones: float) -> Waveform:
        self.calls += 1
        return waveform * np.float32(1 / max(1, self.calls - 1))


def test_every_pair_has_a_shifter_of_its_own(voices: Path) -> None:
    report = make_pairs(quick(voices, Forgetful, -5.0, 0.0, 5.0), progress=False)
    assert (report.made, report.left_out) == (9, [])
    for record in report.records:
        source, target = (read(voices.parent / "pairs" / side)[0] for side in (record.source, record.target))
        np.testing.assert_allclose(source, target, atol=1e-4)


class Loud:
    """Shouts at one shift, and is a little too loud at another; both are as loud as they should be but for a click."""

    def __call__(self, waveform: Waveform, sample_rate: int, semitones: float) -> Waveform:
        shifted = waveform.copy()
        shifted[:, 3000:3008] += {7: 80.0, 5: 1.5}.get(semitones, 0.0)
        return shifted


def test_one_bad_shift_does_not_make_the_good_ones_soft(voices: Path) -> None:
    report = make_pairs(quick(voices, Loud, 0.0, 5.0, 7.0), progress=False)
    assert {record.semitones for record in report.records} == {0.0, 5.0}
    assert len(report.left_out) == 3
    assert all("shifted +7 by" in reason and "its peak is" in reason for _, reason in report.left_out)
    alone = make_pairs(replace(quick(voices, Loud, 0.0, 5.0), destination=voices.parent / "alone"), progress=False)
    assert alone.records == report.records
    for record in report.records:
        assert -6.1 < record.checks["gain_db"] < -0.5, "the good ones are softer by what the lesser click takes"
        source, _ = read(voices.parent / "pairs" / record.source)
        assert np.abs(source).max() == pytest.approx(record.checks["peak"], abs=2e-4)
        assert np.abs(source).max() <= HIGHEST + 1e-4


def test_a_recording_far_over_full_scale_is_left_out_with_one_reason(voices: Path) -> None:
    waveform, rate = read(voices / "kerstin/a.flac")
    for name, click in (("b", 3.0), ("c", 1.5)):
        waveform[0, 8000:8004] = click
        soundfile.write(voices / f"kerstin/{name}.wav", waveform.T, rate, subtype="FLOAT")
    report = make_pairs(quick(voices, Loud, -3.0, 0.0), progress=False)
    assert [origin for origin, _ in report.left_out] == ["kerstin/b.wav"]
    assert "make it softer" in report.left_out[0][1]
    assert report.made == 8


def test_copies_of_a_recording_stay_together(voices: Path) -> None:
    settings = replace(quick(voices, Forgetful, 5.0), validation=0.4)
    for speaker in ("kathleen", "kerstin"):
        (voices / speaker / "copy.flac").write_bytes((voices / "sms_male/a.flac").read_bytes())
    report = make_pairs(settings, progress=False)
    copies = [record for record in report.records if record.origin in ("kerstin/copy.flac", "sms_male/a.flac")]
    assert len({record.split for record in copies}) == 1
    assert any("2 files are others to the byte" in remark for remark in report.remarks)
