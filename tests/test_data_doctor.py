"""The data doctor: faults seeded into real clips are found at the right file, and clean clips have none."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
import stereo_audio
import torch
from doctored import CLIPS, told, value

from features.torchaudio_extension import allow_torchaudio_without_extension
from gan.audio import Waveform, read, resample, write
from gan.cli import main
from gan.data.manifest import read_manifest, write_manifest
from gan.pairs.inspecting.doctor import examine_recordings

VOICE = CLIPS / "kathleen/speech_en_kathleen_1.flac"


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CLIPS, tmp_path / "clean"))


def stereo(change: Callable[[Waveform], Waveform]) -> Waveform:
    sides = [read(CLIPS / file, sample_rate=48000)[0][:, :96000] for file in stereo_audio.SIDES["speech.flac"]]
    return change(0.8 * np.concatenate(sides))


def test_clean_clips_have_no_fault(clean: Path) -> None:
    found = examine_recordings(clean, progress=False)
    assert found.findings == []
    assert found.items == len(list(clean.rglob("*.flac"))) > 7
    assert found.seconds == pytest.approx(sum(soundfile.info(file).duration for file in clean.rglob("*.flac")))


def test_every_seeded_fault_of_recordings_is_found(clean: Path) -> None:
    voice, rate = read(VOICE)
    seeds = clean / "kathleen"
    write(seeds / "clipped.flac", np.clip(voice * 8, -0.999, 0.999), rate)
    write(seeds / "ceiling.flac", np.clip(voice[:, 9000:] * 2, -0.3, 0.3), rate)
    write(seeds / "silent.wav", 1e-5 * voice, rate)
    write(seeds / "mostly.wav", np.pad(voice[:, :24000], ((0, 0), (48000, 240000))), rate)
    write(seeds / "offset.flac", 0.5 * voice[:, 7000:] + np.float32(0.03), rate)
    shutil.copy(seeds / VOICE.name, clean / "nathalie/copy.flac")
    other, other_rate = read(CLIPS / "sms_singer/singing_female_sms.flac")
    write(clean / "cello/singer_again.ogg", 0.4 * other, other_rate)
    write(clean / "sms_female/upsampled.flac", resample(voice[:, 20000:], rate, 16000), 16000)
    narrow, _ = read(clean / "sms_female/upsampled.flac", sample_rate=rate)
    (clean / "sms_female/upsampled.flac").unlink()
    write(seeds / "upsampled.flac", narrow, rate)
    write(seeds / "rate.flac", voice[:, 30000:], 44100)
    write(clean / "cello/dead.flac", stereo(lambda both: both * np.array([[1], [0]], np.float32)), 48000)
    write(clean / "cello/opposite.flac", stereo(lambda both: both[1:] * np.array([[1], [-1]], np.float32)), 48000)
    numbers = voice[0].copy()
    numbers[5000] = np.nan
    soundfile.write(seeds / "nan.wav", numbers, rate, subtype="FLOAT")
    (seeds / "cut.flac").write_bytes(VOICE.read_bytes()[:90000])
    found = examine_recordings(clean, progress=False)
    assert told(found) == {
        ("kathleen/clipped.flac", "clipped"),
        ("kathleen/ceiling.flac", "clipped"),
        ("kathleen/silent.wav", "silent"),
        ("kathleen/mostly.wav", "silent"),
        ("kathleen/offset.flac", "offset"),
        (f"kathleen/{VOICE.name}", "duplicate"),
        ("cello/singer_again.ogg", "duplicate"),
        ("kathleen/upsampled.flac", "upsampled"),
        ("kathleen/rate.flac", "wrong rate"),
        ("cello/dead.flac", "dead channel"),
        ("cello/opposite.flac", "opposite channels"),
        ("kathleen/nan.wav", "damaged"),
        ("kathleen/cut.flac", "damaged"),
    }
    assert value(found, "offset") == pytest.approx(0.03, abs=0.002)
    assert 7000 < value(found, "upsampled") <= 8000
    assert value(found, "wrong rate") == 44100
    clipped = {finding.file: finding.value for finding in found.findings if finding.kind == "clipped"}
    assert clipped["kathleen/clipped.flac"] == pytest.approx(np.mean(np.abs(voice * 8) >= 0.999), rel=0.35)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 32000])
def test_every_usual_rate_is_seen_through(rate: int, tmp_path: Path) -> None:
    for name in ("kathleen/speech_en_kathleen_0.flac", "cello/cello_phrase_sms.flac", "kerstin"):
        file = next((CLIPS / name).glob("*.flac")) if name == "kerstin" else CLIPS / name
        voice, own = read(file)
        write(tmp_path / "again.flac", resample(resample(voice, own, rate), rate, own), own)
        assert told(examine_recordings(tmp_path, progress=False)) == {("again.flac", "upsampled")}, name


def held(low: Waveform, rate: int, own: int, *, between: bool) -> Waveform:
    """Bring a waveform to its own rate as the simplest players do: by holding samples, or by lines between them."""
    places = np.arange(int(low.shape[1] * own / rate)) * rate / own
    if between:
        return np.asarray(np.interp(places, np.arange(low.shape[1]), low[0])[None], dtype=np.float32)
    return low[:, places.astype(int)]


def torchaudio_resample(low: Waveform, rate: int, own: int) -> Waveform:
    allow_torchaudio_without_extension()
    from torchaudio.functional import resample as soft

    return np.asarray(soft(torch.from_numpy(low), rate, own).numpy())


RESAMPLERS: dict[str, Callable[[Waveform, int, int], Waveform]] = {
    "torchaudio": torchaudio_resample,
    "resample_poly": lambda low, rate, own: scipy.signal.resample_poly(low, own // 50, rate // 50, axis=1),
    "fft": lambda low, rate, own: scipy.signal.resample(low, round(low.shape[1] * own / rate), axis=1),
    "linear": lambda low, rate, own: held(low, rate, own, between=True),
    "held": lambda low, rate, own: held(low, rate, own, between=False),
}


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 32000])
@pytest.mark.parametrize("resampler", RESAMPLERS)
def test_every_usual_resampler_is_seen_through(resampler: str, rate: int, tmp_path: Path) -> None:
    for name in ("kathleen/speech_en_kathleen_0.flac", "cello/cello_phrase_sms.flac"):
        voice, own = read(CLIPS / name, sample_rate=48000)
        low = resample(voice[:, : 3 * own], own, rate)
        write(tmp_path / "again.flac", RESAMPLERS[resampler](low, rate, own).astype(np.float32), own)
        found = examine_recordings(tmp_path, progress=False)
        assert ("again.flac", "upsampled") in told(found), name
        # Held samples repeat their pattern at a divisor of both rates, and have images round that as well.
        assert resampler == "held" or value(found, "upsampled") == pytest.approx(rate / 2, rel=0.12)


def test_a_steady_chord_of_partials_is_not_upsampled(tmp_path: Path) -> None:
    seconds = np.arange(96000) / 48000
    rng = np.random.default_rng(0)
    for hertz in (250, 500, 1000):
        partials = sum(np.sin(2 * np.pi * hertz * k * seconds) / k for k in range(1, 24000 // hertz))
        noisy = 0.3 * partials + 1e-4 * rng.standard_normal(len(seconds))
        write(tmp_path / f"{hertz}.wav", noisy.astype(np.float32)[None], 48000)
    assert "upsampled" not in {kind for _, kind in told(examine_recordings(tmp_path, progress=False))}


def test_clipping_on_one_side_alone_is_found(tmp_path: Path) -> None:
    voice, rate = read(VOICE)
    voice = 0.9 * voice / np.abs(voice).max()
    write(tmp_path / "top.flac", np.minimum(voice, 0.25), rate)
    write(tmp_path / "bottom.flac", np.maximum(voice, -0.25), rate)
    found = examine_recordings(tmp_path, progress=False)
    assert told(found) >= {("top.flac", "clipped"), ("bottom.flac", "clipped")}


def test_a_little_clipping_is_found_and_a_chance_flat_top_is_not(tmp_path: Path) -> None:
    """A second of clipping with some 60 flat samples is told of; the same few in minutes of sound, or 15, are not."""
    voice, rate = read(VOICE)
    voice = voice[:, :rate] / np.abs(voice[:, :rate]).max()
    for name, least in (("weak", 60), ("chance", 12)):
        ceiling = next(top for top in np.arange(0.99, 0.1, -0.002) if flat_samples(voice[0], top) >= least)
        made = np.clip(voice, -ceiling, ceiling).astype(np.float32)
        write(tmp_path / f"{name}.wav", made, rate)
        if name == "weak":
            write(tmp_path / "long.wav", np.concatenate([made, *[0.5 * voice] * 39], axis=1).astype(np.float32), rate)
    found = examine_recordings(tmp_path, progress=False)
    assert {file for file, kind in told(found) if kind == "clipped"} == {"weak.wav"}
    assert 30 <= round(value(found, "clipped") * rate) <= 100


def flat_samples(channel: np.ndarray, ceiling: float) -> int:
    """Count samples that clipping at a ceiling would leave in runs of three and more."""
    over = np.diff(np.concatenate([[0], np.abs(channel) >= ceiling, [0]]).astype(int))
    lengths = np.flatnonzero(over == -1) - np.flatnonzero(over == 1)
    return int(lengths[lengths >= 3].sum())


def test_the_same_samples_are_not_the_same_bytes(tmp_path: Path) -> None:
    """Half a sound of 16 bits is exact in a float32 WAV: their likeness is 1, or by rounding a little more."""
    voice, rate = read(VOICE)
    write(tmp_path / "a.flac", voice, rate)
    soundfile.write(tmp_path / "b.wav", -0.5 * voice[0], rate, subtype="FLOAT")
    (alone,) = examine_recordings(tmp_path, progress=False).findings
    assert "the same sound (1.000) as b.wav;" in alone.line()
    shutil.copy(tmp_path / "a.flac", tmp_path / "c.flac")
    (group,) = examine_recordings(tmp_path, progress=False).findings
    assert "the same sound (1.000) as b.wav, c.flac;" in group.line()
    assert alone.value <= 1


@pytest.mark.parametrize("ending", [".ogg", ".mp3", ".opus", ".wav"])
def test_a_copy_in_another_container_is_known(ending: str, tmp_path: Path) -> None:
    voice, rate = read(VOICE)
    write(tmp_path / "a.flac", voice, rate)
    write(tmp_path / f"b{ending}", -0.5 * voice, rate)
    write(tmp_path / "c.flac", np.roll(voice, voice.shape[1] // 2, axis=1), rate)
    found = examine_recordings(tmp_path, progress=False)
    (copy,) = found.findings
    assert (copy.kind, copy.file, copy.others) == ("duplicate", "a.flac", (f"b{ending}",))
    assert "the same sound (" in copy.line()


def test_copies_are_told_of_as_a_group(tmp_path: Path) -> None:
    voice, rate = read(VOICE)
    halves = {"first": voice[:, : voice.shape[1] // 2], "second": voice[:, voice.shape[1] // 2 :]}
    for name, half in halves.items():
        write(tmp_path / f"{name}_a.flac", half, rate)
        for letter in "bcd":
            shutil.copy(tmp_path / f"{name}_a.flac", tmp_path / f"{name}_{letter}.flac")
    for number in range(6):
        write(tmp_path / f"first_{number}.ogg", (0.3 + 0.1 * number) * halves["first"], rate)
    found = examine_recordings(tmp_path, progress=False)
    groups = {one.file: one for one in found.findings}
    assert {one.kind for one in found.findings} == {"duplicate"}
    assert groups.keys() == {"first_0.ogg", "second_a.flac"}
    assert groups["second_a.flac"].others == tuple(f"second_{letter}.flac" for letter in "bcd")
    assert "the same bytes as second_b.flac, second_c.flac, second_d.flac;" in groups["second_a.flac"].line()
    one = groups["first_0.ogg"]
    assert one.others == (*(f"first_{n}.ogg" for n in range(1, 6)), *(f"first_{letter}.flac" for letter in "abcd"))
    assert 0.95 < one.value < 1
    assert "first_5.ogg, first_a.flac and 3 more;" in one.line()
    assert (found.faulty(), found.as_dict()["counts"]) == (3 + 9, {"duplicate": 2})


def padded(voice: Waveform, before: float, after: float, rate: int) -> Waveform:
    return np.pad(voice, ((0, 0), (round(before * rate), round(after * rate))))


def test_a_file_two_thirds_silent_is_told_of_and_pauses_are_not(tmp_path: Path) -> None:
    voice, rate = read(VOICE)
    voice = voice[:, : 3 * rate]
    words = [voice[:, start : start + rate // 2] for start in range(0, 2 * rate, rate // 2)]
    for name, before, after in (("late", 5.6, 0.0), ("early", 0.0, 5.6), ("both", 2.8, 2.8), ("end", 0.0, 1.4)):
        write(tmp_path / f"{name}.flac", padded(voice, before, after, rate), rate)
    write(tmp_path / "middle.flac", np.concatenate([padded(words[0], 0, 3, rate), words[1]], axis=1), rate)
    # 71 % silence, of somebody who says words one by one, and a drum that is over soon.
    write(tmp_path / "words.flac", np.concatenate([padded(word, 0, 1.25, rate) for word in words], axis=1), rate)
    write(tmp_path / "drum.flac", padded(words[2][:, : rate // 10], 0, 0.3, rate), rate)
    found = examine_recordings(tmp_path, progress=False)
    silent = {one.file: one for one in found.findings if one.kind == "silent"}
    assert silent.keys() == {"late.flac", "early.flac", "both.flac", "middle.flac"}
    assert silent["late.flac"].value == pytest.approx(0.67, abs=0.03)
    assert re.match(r"5\.[67]\d s from 0\.00 s on$", silent["late.flac"].where)
    assert silent["both.flac"].where.endswith(" s on, and elsewhere")


def test_a_bass_note_is_neither_clipped_nor_off_zero(tmp_path: Path) -> None:
    seconds = np.arange(96000) / 48000
    for hertz in (25, 40, 97):
        write(tmp_path / f"{hertz}.wav", (0.9 * np.sin(2 * np.pi * hertz * seconds)).astype(np.float32)[None], 48000)
    assert examine_recordings(tmp_path, progress=False).findings == []


def test_a_single_swing_of_a_drum_is_no_offset(tmp_path: Path) -> None:
    """Half a swing is all that there is of 20 Hz in a stroke of 40 ms; what stands for longer is an offset."""
    stroke = 0.2 * np.sin(2 * np.pi * 12 * np.arange(1920) / 48000) * np.hanning(1920)
    write(tmp_path / "stroke.wav", stroke.astype(np.float32)[None], 48000)
    write(tmp_path / "off.wav", (0.03 + 0.1 * stroke[np.arange(19200) % 1920]).astype(np.float32)[None], 48000)
    assert told(examine_recordings(tmp_path, progress=False)) == {("off.wav", "offset")}


def test_the_command_tells_and_its_code_says(clean: Path, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(clean)]) == 0
    assert "none" in capsys.readouterr().out
    write_manifest(made, read_manifest(made)[:2])
    assert main(["pairs", str(clean), str(made), "--check"]) == 0
    assert main(["pairs", str(made), "--check"]) == 0
    voice, rate = read(VOICE)
    write(clean / "kathleen/offset.flac", 0.5 * voice[:, 7000:] + np.float32(0.03), rate)
    capsys.readouterr()
    assert main(["inspect", str(clean)]) == 1
    said = capsys.readouterr().out
    assert re.search(r"^faults +1 in 1 file$", said, re.MULTILINE)
    assert re.search(r"^  offset +1$", said, re.MULTILINE)
    assert "kathleen/offset.flac: offset" in said
    assert main(["pairs", str(clean), "--check"]) == 1
    capsys.readouterr()
    assert main(["inspect", str(clean), "--json"]) == 1
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert (finding["file"], finding["kind"]) == ("kathleen/offset.flac", "offset")
    assert main(["pairs", str(clean), "--check", "--rate", "96000"]) == 1
    assert "leave it out, or make pairs of at most" in capsys.readouterr().out


def test_an_empty_folder_holds_neither(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tmp_path)]) == 2
    assert f"{tmp_path} holds no audio and no model: name " in capsys.readouterr().err


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    for words in (
        ["inspect", str(tmp_path / "empty")],
        ["pairs", str(tmp_path / "empty"), "--check"],
        ["pairs", str(tmp_path / "nowhere"), "--check"],
        ["pairs", str(CLIPS)],
    ):
        assert main(words) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("unshift: ")
        assert said.err.count("\n") == 1
