"""Pairs of two channels from real recordings: left stays left, both stay in time, and one channel changes nothing."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from stereo_audio import CLIPS, music

from gan.audio import Waveform, read, write
from gan.cli import main
from gan.data.dataset import PairCrops, select
from gan.data.manifest import ManifestError, PairRecord, read_manifest, write_manifest
from gan.pairs.check import ALIKE, check_pair, envelope_lag, objection
from gan.pairs.make import PairError, PairReport, PairSettings, make_pairs
from gan.pairs.shift import load_shifter

RATE = 16000
TOGETHER, APART = ("Signalsmith", "RubberBand"), ("PhaseVocoder", "Torchaudio", "Librosa", "World", "Psola")


def settings(source: Path, name: str = "pairs", **words: object) -> PairSettings:
    plain = PairSettings(source, source.parent / name, RATE, (0.0, 5.0), split_by="file", test=0.0, workers=1)
    return replace(plain, **{"channels": 2, **words})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return music(tmp_path_factory.mktemp("stereo") / "music")


@pytest.fixture(scope="module")
def made(source: Path) -> PairReport:
    return make_pairs(settings(source), progress=False)


@pytest.fixture(scope="module")
def voices() -> Waveform:
    """A second and a half of two voices, one on each side."""
    files = ("kathleen/speech_en_kathleen_1.flac", "sms_male/speech_male_sms.flac")
    return np.concatenate([read(CLIPS / file, sample_rate=RATE)[0][:, RATE : 5 * RATE // 2] for file in files])


def alike(one: Waveform, other: Waveform) -> float:
    """Correlation of two channels at the lag where it is best, within 5 ms."""
    size = 1 << (2 * len(one)).bit_length()
    product = np.fft.irfft(np.fft.rfft(one, size) * np.conj(np.fft.rfft(other, size)))
    return float(np.abs(product[np.arange(-80, 81)]).max() / np.sqrt(np.square(one).sum() * np.square(other).sum()))


def test_left_stays_left_and_right_stays_right(made: PairReport, source: Path) -> None:
    assert (made.made, made.left_out, made.remarks) == (4, [], [])
    for record in made.records:
        assert record.channels == 2
        original, _ = read(source / record.origin, sample_rate=RATE)
        shifted, clean = (read(source.parent / "pairs" / name)[0] for name in (record.source, record.target))
        assert shifted.shape == clean.shape == (2, record.samples) == original.shape
        np.testing.assert_allclose(clean, 10 ** (record.checks["gain_db"] / 20) * original, atol=1e-4)
        for side in (0, 1):
            lag, own = envelope_lag(shifted[side], original[side], RATE)
            _, crossed = envelope_lag(shifted[side], original[1 - side], RATE)
            assert abs(lag) < 0.003
            assert own > 0.75
            assert crossed < 0.3
            if record.semitones == 0:
                assert alike(shifted[side], original[side]) > 0.999
                assert alike(shifted[side], original[1 - side]) < 0.3


def test_one_way_pieces_of_two_channels_join(source: Path) -> None:
    way = settings(source, "way", direction="one_way", piece_seconds=1.0, semitones=(0.0, -3.0))
    report = make_pairs(way, progress=False)
    assert (report.made, report.left_out) == (8, [])
    for name in {record.origin for record in report.records}:
        pieces = [record for record in report.records if (record.origin, record.semitones) == (name, 0)]
        joined = np.concatenate([read(way.destination / piece.target)[0] for piece in pieces], axis=1)
        np.testing.assert_allclose(joined, read(source / name, sample_rate=RATE)[0], atol=5e-3)


def test_the_default_is_one_channel_as_before_there_were_two(source: Path) -> None:
    one, same = settings(source, "one", channels=1, semitones=(5.0,)), source.parent / "same"
    report = make_pairs(one, progress=False)
    (source.parent / "mixed").mkdir()
    for record in report.records:
        both, rate = read(source / record.origin)
        mixed = both.mean(axis=0, keepdims=True)
        write(source.parent / "mixed" / Path(record.origin).with_suffix(".wav"), mixed, rate, subtype="FLOAT")
    plain = make_pairs(replace(one, source=source.parent / "mixed", destination=same), progress=False)
    first, other = (one.destination / report.records[0].source, same / plain.records[0].source)
    assert first.read_bytes() == other.read_bytes(), "the mix is shifted as a recording of one channel is"
    assert plain.records[0].checks == report.records[0].checks
    texts = [(one.destination / name).read_text() for name in ("manifest.jsonl", "pairs.json")]
    texts += [file.read_text() for file in one.destination.glob("notes/*.json")]
    assert len(texts) == 4
    assert not any("channels" in text or "width" in text for text in texts), "older versions say nothing of channels"


def test_a_second_run_goes_on_and_other_channels_are_refused(made: PairReport, source: Path) -> None:
    again = make_pairs(settings(source), progress=False)
    assert (again.made, again.records) == (0, made.records)
    assert read_manifest(source.parent / "pairs") == made.records
    with pytest.raises(PairError, match="channels was 2, is now 1"):
        make_pairs(settings(source, channels=1), progress=False)
    make_pairs(settings(source, "older", channels=1, semitones=(0.0,)), progress=False)
    with pytest.raises(PairError, match=r"channels was 1, is now 2\); name a new folder"):
        make_pairs(settings(source, "older", semitones=(0.0,)), progress=False)
    assert json.loads((source.parent / "pairs/pairs.json").read_text())["channels"] == 2


def test_one_channel_becomes_both_and_many_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    speech, rate = read(CLIPS / "kathleen/speech_en_kathleen_1.flac")
    (tmp_path / "all").mkdir()
    write(tmp_path / "all/mono.flac", speech[:, :rate], rate)
    write(tmp_path / "all/six.flac", np.repeat(speech[:, :rate], 6, axis=0), rate)
    write(tmp_path / "all/left.flac", np.concatenate([speech, 0 * speech])[:, :rate], rate)
    arguments = ["pairs", str(tmp_path / "all"), str(tmp_path / "pairs"), "--semitones", "5", "--channels", "2"]
    assert main([*arguments, "--rate", str(RATE), "--workers", "1"]) == 0
    said = capsys.readouterr().err
    assert "left out six.flac: has 6 channels: mix it down to 2 first" in said
    assert "1 of 2 pairs are the same in both channels" in said
    left, mono = read_manifest(tmp_path / "pairs")
    assert mono.checks["width_db"] < ALIKE
    assert left.checks["width_db"] == pytest.approx(0)
    both = read(tmp_path / "pairs" / mono.source)[0]
    assert len(both) == 2
    np.testing.assert_allclose(both[0], both[1], atol=1e-4)
    one_side = read(tmp_path / "pairs" / left.source)[0]
    assert np.abs(one_side[0]).max() > 0.05
    assert np.abs(one_side[1]).max() < 1e-4
    with pytest.raises(SystemExit, match="2"):
        main([*arguments, "--channels", "3"])
    with pytest.raises(PairError, match="3 channels cannot be made: 1 or 2"):
        settings(tmp_path, channels=3)


@pytest.mark.parametrize("side", [0, 1])
def test_a_fault_of_one_channel_is_the_pairs(voices: Waveform, side: int) -> None:
    assert objection(check_pair(voices, voices, RATE, 0)) is None
    late, soft, high, gone = (voices.copy() for _ in range(4))
    late[side] = np.roll(voices[side], round(0.01 * RATE))
    soft[side] *= 0.1
    high[side] = load_shifter("Psola")(voices[side : side + 1], RATE, 1.0)
    gone[side] = 0
    assert " ms late" in str(objection(check_pair(late, voices, RATE, 0)))
    assert "-20.0 dB louder" in str(objection(check_pair(soft, voices, RATE, 0)))
    assert " cents off" in str(objection(check_pair(high, voices, RATE, 0)))
    assert "dB louder" in str(objection(check_pair(gone, voices, RATE, 0)))
    assert objection(check_pair(gone, gone, RATE, 0)) is None, "a voice may be on one side alone"
    assert "dB louder" in str(objection(check_pair(gone[::-1], gone, RATE, 0))), "but not change sides"
    faint = gone.copy()
    faint[side] = 1e-5 * voices[side]
    assert objection(check_pair(gone, faint, RATE, 0)) is None, "what nobody hears is not compared"


@pytest.mark.parametrize("name", [*TOGETHER, *APART])
def test_shifters_keep_channels_in_time_and_some_in_place(name: str, voices: Waveform) -> None:
    shifted = load_shifter(name)(voices, RATE, 5.0)
    lags = [envelope_lag(shifted[side], voices[side], RATE, 5.0)[0] for side in (0, 1)]
    assert abs(lags[0] - lags[1]) < 0.003
    scene = np.stack([voices[0] + 0.3 * voices[1], voices[0] - 0.3 * voices[1]])
    placed = load_shifter(name)(scene, RATE, 5.0)
    was, now = (10 * np.log10(np.square(x[0] - x[1]).sum() / np.square(x[0] + x[1]).sum()) for x in (scene, placed))
    assert (abs(now - was) < 2) == (name in TOGETHER), "what the shifters' file says of each"
    if name in APART:
        alone = load_shifter(name)(voices[1:], RATE, 5.0)
        np.testing.assert_allclose(shifted[1:], alone, atol=1e-4)


def test_examples_have_the_channels_of_their_folder(made: PairReport, source: Path) -> None:
    crops = PairCrops(source.parent / "pairs", 0.25, seed=3)
    assert crops.channels == 2
    for index in range(4):
        assert [x.shape for x in crops[index]] == [(2, RATE // 4)] * 2
        left, right = crops[index][1].numpy()
        assert alike(left, right) < 0.9


def test_a_folder_has_one_number_of_channels(tmp_path: Path) -> None:
    record = PairRecord("a", "b", 1.0, 48000, 48000, 1.0, "x", "one_way", "train", "s", "o", "h")
    write_manifest(tmp_path, [record, replace(record, channels=2)])
    assert [found.channels for found in read_manifest(tmp_path)] == [1, 2]
    with pytest.raises(ManifestError, match=r"pairs of \[1, 2\] channels"):
        select(tmp_path, "train")
    text = (tmp_path / "manifest.jsonl").read_text()
    assert text.count("channels") == 1
    (tmp_path / "manifest.jsonl").write_text(text.replace('"channels": 2', '"channels": "2"'))
    with pytest.raises(ManifestError, match="line 2"):
        read_manifest(tmp_path)
