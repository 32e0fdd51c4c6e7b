"""The maker of pairs on real clips: bad recordings, kills, other settings, one result."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

from gan.audio import read, write
from gan.data.manifest import ManifestError, PairRecord, read_manifest, write_manifest
from gan.pairs.make import PairError, PairSettings, _largest_first, make_pairs
from gan.pairs.recording import HIGHEST

CLIPS = Path(__file__).parents[1] / "demo/clips"


@pytest.fixture
def voices(tmp_path: Path) -> Path:
    """Three speakers, a second and a half of each."""
    for speaker in ("kathleen", "kerstin", "sms_male"):
        file = min((CLIPS / speaker).glob("*.flac"))
        waveform, rate = read(file)
        (tmp_path / "voices" / speaker).mkdir(parents=True)
        write(tmp_path / "voices" / speaker / file.name, waveform[:, rate // 2 : 2 * rate], rate)
    return tmp_path / "voices"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def quick(source: Path, name: str = "pairs", **settings: object) -> PairSettings:
    plain = PairSettings(source, source.parent / name, semitones=(0.0, 12.0), workers=1)
    return replace(plain, **settings)  # type: ignore[arg-type]


def test_a_record_says_what_is_on_the_disk(voices: Path) -> None:
    settings = quick(voices, semitones=(-7.0, 0.0, 12.0), held_out=("kerstin",))
    report = make_pairs(settings, progress=False)
    assert (report.made, report.kept, report.left_out) == (9, 0, [])
    assert read_manifest(settings.destination) == report.records
    for record in report.records:
        source, rate = read(settings.destination / record.source)
        target, _ = read(settings.destination / record.target)
        assert source.shape == target.shape == (1, record.samples)
        assert rate == record.sample_rate == 48000
        assert record.seconds == pytest.approx(1.5)
        assert record.origin.startswith(record.speaker)
        assert np.array_equal(source, target) == (record.semitones == 0)
        assert abs(record.checks["lag_ms"]) < 5
    assert {r.speaker for r in report.records if r.split == "test"} == {"kerstin"}
    assert {r.split for r in report.records} == {"train", "validation", "test"}


def test_the_target_is_the_recording_at_the_new_rate(voices: Path) -> None:
    report = make_pairs(quick(voices), progress=False)
    for record in report.records:
        original, _ = read(voices / record.origin, sample_rate=48000)
        target, _ = read(voices.parent / "pairs" / record.target)
        gain = 10 ** (record.checks["gain_db"] / 20)
        np.testing.assert_allclose(target, gain * original, atol=1e-4)


def test_one_way_pairs_share_a_band_and_differ_in_pitch(voices: Path) -> None:
    settings = quick(voices, direction="one_way", semitones=(-5.0, 0.0, 7.0))
    report = make_pairs(settings, progress=False)
    assert report.made == 9
    for record in report.records:
        assert record.direction == "one_way"
        assert abs(record.checks["cents"]) < 50
    assert len({record.target for record in report.records}) == 6


def test_two_processes_and_one_give_the_same_bytes(voices: Path) -> None:
    make_pairs(quick(voices, "one"), progress=False)
    make_pairs(quick(voices, "two", workers=2), progress=False)
    one, two = contents(voices.parent / "one"), contents(voices.parent / "two")
    assert len(one) > 10
    assert one == two


def test_a_killed_run_goes_on_and_ends_as_if_nothing_had_been(voices: Path) -> None:
    for number in range(3):
        for path in list(voices.glob("k*/speech*_0.flac")):
            (path.parent / f"{number}.flac").write_bytes(path.read_bytes())
    settings = quick(voices, "killed", semitones=(-12.0, -3.0, 12.0), workers=2)
    call = f"from pathlib import Path\nfrom gan.pairs.make import *\nmake_pairs({settings!r})"
    process = subprocess.Popen([sys.executable, "-c", call.replace("PosixPath", "Path")])
    begun = time.monotonic()
    while not list(settings.destination.glob("notes/*/*.json")) and time.monotonic() < begun + 60:
        time.sleep(0.01)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(workers) >= 2
    assert not psutil.wait_procs(workers, timeout=20)[1], "workers outlive their parent"
    assert not (settings.destination / "manifest.jsonl").exists(), "it was done before the kill"

    report = make_pairs(replace(settings, workers=1), progress=False)
    assert report.kept > 0
    assert report.made > 0
    make_pairs(replace(settings, destination=voices.parent / "straight", workers=1), progress=False)
    assert contents(settings.destination) == contents(voices.parent / "straight")
    again = make_pairs(settings, progress=False)
    assert (again.made, again.kept) == (0, report.made + report.kept)


def test_bad_recordings_are_left_out_with_a_reason_and_the_rest_is_made(voices: Path) -> None:
    bad = voices / "bad"
    bad.mkdir()
    good = (0.1 * np.random.default_rng(0).standard_normal((48000, 1))).astype(np.float32)
    hurt = good.copy()
    hurt[1000] = np.nan
    for name, samples in (
        ("nan", hurt),
        ("silent", 0 * good),
        ("single", good[:1]),
        ("clipped", np.sign(good)),
        ("cancelling", np.concatenate([good, -good], axis=1)),
    ):
        soundfile.write(bad / f"{name}.wav", samples, 48000, subtype="FLOAT")
    soundfile.write(bad / "slow.wav", good, 7)
    soundfile.write(bad / "truncated.flac", good, 48000)
    (bad / "truncated.flac").write_bytes((bad / "truncated.flac").read_bytes()[:50_000])
    (bad / "empty.wav").touch()
    (bad / "text.mp3").write_text("no music here")
    (bad / "gone.wav").symlink_to(bad / "nowhere")
    report = make_pairs(quick(voices, workers=2), progress=False)
    assert report.made == 6
    reasons = {origin.removeprefix("bad/"): reason for origin, reason in report.left_out}
    for name, words in {
        "nan.wav": "NaN",
        "silent.wav": "is silent",
        "single.wav": "shorter",
        "clipped.wav": "clipped",
        "cancelling.wav": "cancel",
        "slow.wav": "7 Hz",
        "truncated.flac": "cut short",
        "empty.wav": "is empty",
        "text.mp3": "not audio",
        "gone.wav": "No such file",
    }.items():
        assert words in reasons.pop(name)
    assert not reasons
    lines = (voices.parent / "pairs/left_out.jsonl").read_text().splitlines()
    assert [tuple(json.loads(line).values()) for line in lines] == report.left_out


@pytest.mark.parametrize(("channels", "rate", "ending"), [(8, 8000, "wav"), (2, 44100, "mp3"), (1, 96000, "flac")])
def test_any_rate_channels_and_format_become_a_pair(tmp_path: Path, channels: int, rate: int, ending: str) -> None:
    speech, _ = read(CLIPS / "kathleen/speech_en_kathleen_1.flac", sample_rate=rate)
    (tmp_path / "voices").mkdir()
    write(tmp_path / f"voices/a.{ending}", np.repeat(speech, channels, axis=0), rate)
    report = make_pairs(quick(tmp_path / "voices", semitones=(5.0,)), progress=False)
    record = report.records[0]
    assert record.seconds == pytest.approx(speech.shape[1] / rate, abs=1e-3)
    assert record.speaker == "a"
    assert record.split == "train"
    assert "nothing for validation" in report.remarks[-1]


def test_a_long_recording_is_cut_into_even_pieces_that_join(tmp_path: Path) -> None:
    speech, rate = read(CLIPS / "sms_male/speech_male_sms.flac")
    (tmp_path / "voices").mkdir()
    write(tmp_path / "voices/long.flac", speech, rate)
    report = make_pairs(quick(tmp_path / "voices", semitones=(0.0, 3.0), piece_seconds=2.0), progress=False)
    clean = [record for record in report.records if record.semitones == 0]
    assert [record.start for record in clean] == pytest.approx([0, 5.5 / 3, 11 / 3], abs=1e-3)
    joined = np.concatenate([read(tmp_path / "pairs" / record.target)[0] for record in clean], axis=1)
    whole, _ = read(tmp_path / "voices/long.flac", sample_rate=48000)
    assert joined.shape == whole.shape
    np.testing.assert_allclose(joined, whole, atol=2e-3)


def test_peaks_are_brought_down_on_both_sides_alike(tmp_path: Path) -> None:
    speech, rate = read(CLIPS / "kathleen/speech_en_kathleen_0.flac")
    (tmp_path / "voices").mkdir()
    loud = 0.998 * speech / np.abs(speech).max()
    write(tmp_path / "voices/loud.flac", loud, rate)
    report = make_pairs(quick(tmp_path / "voices", semitones=(-12.0, 0.0, 12.0)), progress=False)
    gains = {record.checks["gain_db"] for record in report.records}
    assert len(gains) == 1
    assert gains.pop() < -0.05
    highest = max(np.abs(read(tmp_path / "pairs" / record.source)[0]).max() for record in report.records)
    assert highest == pytest.approx(HIGHEST, abs=1e-3)


def test_a_changed_recording_is_made_anew_and_a_lost_file_too(voices: Path) -> None:
    settings = quick(voices)
    first = make_pairs(settings, progress=False)
    waveform, rate = read(voices / first.records[0].origin)
    write(voices / first.records[0].origin, 0.5 * waveform, rate)
    (settings.destination / first.records[-1].source).unlink()
    report = make_pairs(settings, progress=False)
    assert (report.made, report.kept) == (4, 2)
    assert report.records[0].origin_sha256 != first.records[0].origin_sha256
    assert report.records[-1] == first.records[-1]


def test_other_settings_in_the_same_folder_are_refused_by_name(voices: Path) -> None:
    make_pairs(quick(voices), progress=False)
    before = contents(voices.parent / "pairs")
    with pytest.raises(PairError, match=r"semitones was \[0.0, 12.0\], is now \[5.0\].*new folder"):
        make_pairs(quick(voices, semitones=(5.0,)), progress=False)
    assert contents(voices.parent / "pairs") == before


def test_a_folder_with_something_else_is_left_alone(voices: Path) -> None:
    (voices.parent / "full").mkdir()
    (voices.parent / "full/thesis.txt").write_text("my only copy")
    for wrong, words in (
        (quick(voices, "full"), "not empty"),
        (quick(voices, "voices/pairs"), "inside"),
        (quick(voices, shifters=("Nonesuch",)), "Nonesuch"),
        (quick(voices, held_out=("nobody",)), "nobody"),
        (quick(voices.parent / "full", "new"), "no audio"),
    ):
        with pytest.raises(PairError, match=words):
            make_pairs(wrong, progress=False)
    assert contents(voices.parent / "full") == {"thesis.txt": b"my only copy"}
    assert not (voices.parent / "new").exists()


def test_a_full_disk_stops_the_run_and_a_later_one_goes_on(voices: Path) -> None:
    call = (
        "import resource, sys\nfrom pathlib import Path\nfrom gan.pairs.make import *\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, -1))\n"
        f"try: make_pairs({quick(voices)!r})\nexcept PairError as error: print(error)"
    ).replace("PosixPath", "Path")
    told = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, check=True, env=os.environ)
    assert "large" in told.stdout
    assert not list((voices.parent / "pairs").rglob("*.partial"))
    make_pairs(quick(voices), progress=False)
    make_pairs(quick(voices, "straight"), progress=False)
    assert contents(voices.parent / "pairs") == contents(voices.parent / "straight")


def test_making_pairs_needs_no_torch(voices: Path) -> None:
    call = (
        "import sys\nfrom pathlib import Path\nfrom gan.pairs.make import *\n"
        f"print(make_pairs({quick(voices)!r}).made, 'torch' in sys.modules)"
    ).replace("PosixPath", "Path")
    told = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, check=True).stdout
    assert told == "6 False\n"


def test_the_largest_recordings_come_first_and_one_that_is_gone_last(tmp_path: Path) -> None:
    for name, size in (("a.wav", 10), ("b.wav", 30), ("c.wav", 20)):
        (tmp_path / name).write_bytes(bytes(size))
    assert _largest_first(["a.wav", "b.wav", "c.wav", "gone.wav"], tmp_path) == ["b.wav", "c.wav", "a.wav", "gone.wav"]


def test_a_damaged_manifest_is_named_with_its_line(tmp_path: Path) -> None:
    record = PairRecord("a", "b", 1.0, 48000, 48000, 1.0, "x", "one_way", "train", "s", "o", "h")
    write_manifest(tmp_path, [record])
    assert read_manifest(tmp_path) == [record]
    good = (tmp_path / "manifest.jsonl").read_text()
    for bad in ("{", "[]", "{}", good.replace("48000", '"48000"'), good.replace('"origin"', '"origins"')):
        (tmp_path / "manifest.jsonl").write_text(good + bad)
        with pytest.raises(ManifestError, match="line 2"):
            read_manifest(tmp_path)
    with pytest.raises(ManifestError, match="unshift pairs"):
        read_manifest(tmp_path / "none")
    write_manifest(tmp_path, [])
    with pytest.raises(ManifestError, match="holds no pair"):
        read_manifest(tmp_path)
