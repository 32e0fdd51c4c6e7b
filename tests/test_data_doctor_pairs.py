"""The data doctor on pairs: sides that do not belong together, or not so."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import stereo_audio
from doctored import CLIPS, told, value

from gan.audio import Waveform, read, resample, write
from gan.data.manifest import PairRecord, read_manifest, write_manifest
from gan.pairs.inspecting.doctor import examine_pairs
from gan.pairs.make import PairSettings, make_pairs


def source_of(folder: Path, semitones: float, place: int = 0) -> PairRecord:
    return [record for record in read_manifest(folder) if record.semitones == semitones][place]


def late(waveform: Waveform, samples: int) -> Waveform:
    return np.pad(waveform, ((0, 0), (samples, 0)))[:, : waveform.shape[1]]


def test_clean_pairs_have_no_fault(made: Path) -> None:
    assert examine_pairs(made, progress=False).findings == []


@pytest.mark.parametrize("samples", [400, -700, 20000])
def test_a_shifted_pair_that_is_late_is_found(samples: int, made: Path) -> None:
    record = source_of(made, 12.0)
    write_manifest(made, [one for one in read_manifest(made) if one.origin == record.origin])
    waveform, rate = read(made / record.source)
    turned = late(waveform, samples) if samples > 0 else np.pad(waveform[:, -samples:], ((0, 0), (0, -samples)))
    write(made / record.source, turned, rate)
    found = examine_pairs(made, progress=False)
    assert told(found) == {(record.source, "misaligned")}
    assert value(found, "misaligned") == pytest.approx(samples, abs=120)


def test_a_pair_of_like_waveforms_is_held_to_the_sample(made: Path) -> None:
    records = read_manifest(made)
    record = source_of(made, 0.0)
    records = [one for one in records if one.origin == record.origin]
    waveform, rate = read(made / record.target)
    rng = np.random.default_rng(0)
    noisy = late(waveform, 5) + np.float32(1e-3) * rng.standard_normal(waveform.shape).astype(np.float32)
    write(made / "late.flac", noisy, rate)
    write_manifest(made, [replace(one, source="late.flac") if one == record else one for one in records])
    found = examine_pairs(made, progress=False)
    assert told(found) == {("late.flac", "misaligned")}
    assert value(found, "misaligned") == 5


def test_other_faults_of_pairs_are_found(made: Path) -> None:
    fast, header, short, quiet = (source_of(made, k, place) for k in (-12.0, 12.0) for place in (0, 1))
    waveform, rate = read(made / fast.source)
    write(made / fast.source, np.pad(resample(waveform, rate, 44100), ((0, 0), (0, 20000)))[:, : fast.samples], rate)
    for record, change, to in ((header, 1.0, 44100), (quiet, 1e-5, rate)):
        waveform, _ = read(made / record.source)
        write(made / record.source, np.float32(change) * waveform, to)
    waveform, _ = read(made / short.source)
    write(made / short.source, waveform[:, :-4000], rate)
    found = examine_pairs(made, progress=False)
    assert told(found) >= {
        (fast.source, "wrong rate"),
        (header.source, "wrong rate"),
        (short.source, "misaligned"),
        (quiet.source, "silent"),
    }
    assert {file for file, _ in told(found)} == {one.source for one in (fast, header, short, quiet)}
    cents = [one.value for one in found.findings if one.kind == "wrong rate" and one.file == fast.source]
    assert cents == [pytest.approx(1200 * np.log2(48000 / 44100), abs=25)]


def test_sides_that_are_no_pair_are_told_of_as_such(made: Path) -> None:
    records = [record for record in read_manifest(made) if record.semitones == 0][:2]
    (first, _), (other, _) = (read(made / record.target) for record in records)
    shape, rate = first.shape, records[0].sample_rate
    noise = 0.1 * np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    stranger, _ = read(CLIPS / "sms_male/speech_male_sms.flac", sample_rate=rate)
    wrong = {"noise.flac": noise, "other.flac": np.resize(other, shape), "stranger.flac": np.resize(stranger, shape)}
    wrong["wide.flac"] = np.concatenate([first, 0.5 * first])
    for file, waveform in wrong.items():
        write(made / file, waveform, rate)
    write_manifest(made, [replace(records[0], source=file) for file in wrong])
    found = examine_pairs(made, progress=False)
    kinds = {(file, "unequal channels" if file == "wide.flac" else "unlike") for file in wrong}
    assert {one for one in told(found) if one[1] != "duplicate"} == kinds


def test_swapped_channels_of_a_pair_are_found(tmp_path: Path) -> None:
    music = stereo_audio.music(tmp_path / "music")
    make_pairs(PairSettings(music, tmp_path / "made", semitones=(0.0, 4.0), channels=2, workers=1), progress=False)
    assert examine_pairs(tmp_path / "made", progress=False).findings == []
    record = source_of(tmp_path / "made", 4.0)
    waveform, rate = read(tmp_path / "made" / record.source)
    write(tmp_path / "made" / record.source, waveform[::-1], rate)
    assert (record.source, "swapped channels") in told(examine_pairs(tmp_path / "made", progress=False))


@pytest.mark.parametrize("shifter", ["Psola", "World"])
def test_fresh_pairs_of_a_shifter_that_works_by_periods_are_not_late(shifter: str, tmp_path: Path) -> None:
    made = tmp_path / "made"
    source = tmp_path / "voices" / "singer"
    source.mkdir(parents=True)
    for clip in sorted((CLIPS / "sms_singer").iterdir()):
        (source / clip.name).write_bytes(clip.read_bytes())
    settings = PairSettings(tmp_path / "voices", made, semitones=(-7.0,), shifters=(shifter,), workers=1)
    assert make_pairs(settings, progress=False).records
    assert "misaligned" not in {kind for _, kind in told(examine_pairs(made, progress=False))}
