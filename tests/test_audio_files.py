"""Audio files: what goes in comes out, bad files are named in one line, and nothing is ever half written."""

import resource
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from gan.audio import (
    AudioError,
    Reader,
    StreamResampler,
    Waveform,
    Writer,
    find_audio,
    read,
    read_section,
    resample,
    resampled_length,
    write,
)

CLIP = Path(__file__).parents[1] / "demo/clips/kathleen/speech_en_kathleen_0.flac"


def noise(channels: int, samples: int, seed: int = 0) -> Waveform:
    draw = np.random.default_rng(seed)
    return (0.1 * draw.standard_normal((channels, samples))).astype(np.float32)


@pytest.mark.parametrize("ending", ["wav", "flac", "aiff"])
@pytest.mark.parametrize(("channels", "samples"), [(1, 1), (2, 1000), (8, 48000)])
def test_lossless_files_keep_every_sample(tmp_path: Path, ending: str, channels: int, samples: int) -> None:
    path = tmp_path / f"a.{ending}"
    integers = np.random.default_rng(1).integers(-32768, 32768, (channels, samples))
    waveform = (integers / 32768).astype(np.float32)
    write(path, waveform, 44100, subtype="PCM_16")
    back, rate = read(path)
    assert rate == 44100
    np.testing.assert_array_equal(back, waveform)


@pytest.mark.parametrize("ending", ["ogg", "oga", "opus", "mp3"])
def test_lossy_files_keep_length_and_sound(tmp_path: Path, ending: str) -> None:
    waveform, rate = read(CLIP)
    path = tmp_path / f"a.{ending}"
    write(path, np.concatenate([waveform, waveform]), rate)
    back, _ = read(path)
    assert back.shape == (2, waveform.shape[1])
    assert np.corrcoef(back[0], waveform[0])[0, 1] > 0.95


def test_a_minute_of_vorbis_in_one_call_does_not_end_the_process(tmp_path: Path) -> None:
    write(tmp_path / "a.ogg", noise(1, 70 * 16000), 16000)
    assert read(tmp_path / "a.ogg")[0].shape == (1, 70 * 16000)


@given(start=st.integers(0, 200_000), samples=st.integers(1, 50_000))
@settings(max_examples=25, deadline=None)
def test_a_section_is_the_slice_and_then_silence(start: int, samples: int) -> None:
    whole, _ = read(CLIP)
    wanted = np.pad(whole, ((0, 0), (0, 300_000)))[:, start : start + samples]
    np.testing.assert_array_equal(read_section(CLIP, start, samples), wanted)


def test_blocks_joined_are_the_file() -> None:
    with Reader(CLIP) as reader:
        blocks = list(reader.blocks(7777))
        assert reader.samples == sum(block.shape[1] for block in blocks)
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), read(CLIP)[0])


def make_bad(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.{kind.rpartition('_')[2]}"
    match kind.rpartition("_")[0]:
        case "missing":
            pass
        case "folder":
            path.mkdir()
        case "empty":
            path.touch()
        case "text":
            path.write_text("this is no audio\n" * 100)
        case "truncated":
            write(path, noise(2, 48000), 48000)
            path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        case "corrupt":
            write(path, noise(2, 48000), 48000)
            data = bytearray(path.read_bytes())
            data[50_000:60_000] = bytes(np.random.default_rng(0).integers(0, 256, 10_000, dtype=np.uint8))
            path.write_bytes(data)
        case "nan" | "infinite" as value:
            waveform = noise(1, 1000)
            waveform[0, 500] = np.nan if value == "nan" else np.inf
            soundfile.write(path, waveform.T, 48000, subtype="FLOAT")
        case "samples":
            soundfile.write(path, np.zeros((0, 1)), 48000)
    return path


BAD = [
    *("missing_wav", "folder_wav", "empty_wav", "empty_flac", "text_wav", "text_mp3", "samples_wav", "samples_flac"),
    *("truncated_wav", "truncated_flac", "truncated_ogg", "truncated_mp3", "truncated_aiff", "corrupt_flac"),
    *("nan_wav", "infinite_wav"),
]


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_named_in_one_line(tmp_path: Path, kind: str) -> None:
    path = make_bad(tmp_path, kind)
    with pytest.raises(AudioError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_the_first_bad_sample_is_named_by_its_time(tmp_path: Path) -> None:
    waveform = noise(2, 8000 * 30)
    waveform[1, 8000 * 12 + 2000] = np.nan
    waveform[0, 8000 * 20] = np.inf
    soundfile.write(tmp_path / "a.wav", waveform.T, 8000, subtype="FLOAT")
    with Reader(tmp_path / "a.wav") as reader, pytest.raises(AudioError, match=r"the first at 12\.25 s$"):
        list(reader.blocks(8000 * 10))


def test_damage_gets_no_time_that_is_not_its_own(tmp_path: Path) -> None:
    """libsndfile does not say where it gave up; the block's start is not it."""
    with pytest.raises(AudioError, match=r"is damaged or cut short$"):
        read(make_bad(tmp_path, "corrupt_flac"))


@pytest.mark.parametrize("rate", [1, 7, 1999, 768_001, 2_000_000_000])
def test_a_rate_that_no_recording_has_is_refused(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((1000, 1)), rate)
    with pytest.raises(AudioError, match=f"a.wav: a rate of {rate} Hz is not in 2000..768000") as caught:
        read_section(tmp_path / "a.wav", 0, 10)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rate", [2000, 11025, 768_000])
def test_any_other_rate_is_read(tmp_path: Path, rate: int) -> None:
    write(tmp_path / "a.wav", noise(1, 1000), rate)
    assert read(tmp_path / "a.wav")[1] == rate


def test_a_wav_from_a_pipe_is_no_cut_one(tmp_path: Path) -> None:
    path = tmp_path / "pipe.wav"
    write(path, noise(1, 1000), 48000, subtype="PCM_16")
    data = path.read_bytes()
    at = data.index(b"data") + 4
    path.write_bytes(data[:4] + b"\xff" * 4 + data[8:at] + b"\xff" * 4 + data[at + 4 :])
    assert read(path)[0].shape == (1, 1000)


def write_and_stop(path: Path) -> None:
    with Writer(path, 48000, 1) as writer:
        writer.write(noise(1, 5000, seed=1))
        raise KeyboardInterrupt


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    write(path, noise(1, 1000), 48000)
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        write_and_stop(path)
    with pytest.raises(AudioError, match="NaN"), Writer(path, 48000, 1) as writer:
        writer.write(np.full((1, 10), np.nan, np.float32))
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.flac"]


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg"])
def test_a_full_disk_is_an_error_and_the_old_file_stays(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    path.write_bytes(b"precious")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
        with pytest.raises(AudioError, match=f"{path}: .*large"):
            write(path, noise(1, 200_000), 48000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == b"precious"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "rate", "channels"),
    [
        ("a.xyz", 48000, 1),
        ("none/a.wav", 48000, 1),
        ("folder.wav", 48000, 1),
        ("a.mp3", 48000, 8),
        ("a.opus", 44100, 1),
    ],
)
def test_what_cannot_be_written_is_said_before_anything_is(tmp_path: Path, name: str, rate: int, channels: int) -> None:
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(AudioError, match=name):
        write(tmp_path / name, noise(channels, 100), rate)
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder.wav"]


def test_integer_formats_clip_and_float_formats_do_not(tmp_path: Path) -> None:
    loud = np.array([[0.5, 1.5, -3.0]], np.float32)
    with Writer(tmp_path / "a.wav", 48000, 1, subtype="PCM_16") as writer:
        writer.write(loud)
    assert writer.clipped == 2
    np.testing.assert_allclose(read(tmp_path / "a.wav")[0], [[0.5, 1, -1]], atol=1e-4)
    write(tmp_path / "f.wav", loud, 48000, subtype="FLOAT")
    np.testing.assert_array_equal(read(tmp_path / "f.wav")[0], loud)


@pytest.mark.parametrize(
    ("like", "subtype", "ending", "wanted"),
    [
        ("wav", "FLOAT", "wav", "FLOAT"),
        ("wav", "FLOAT", "flac", "PCM_24"),
        ("wav", "PCM_24", "aiff", "PCM_24"),
        ("flac", "PCM_16", "wav", "PCM_16"),
        ("ogg", None, "wav", "PCM_16"),
        ("ogg", None, "ogg", "VORBIS"),
    ],
)
def test_a_file_like_another_keeps_its_resolution(
    tmp_path: Path, like: str, subtype: str | None, ending: str, wanted: str
) -> None:
    write(tmp_path / f"old.{like}", noise(1, 1000), 48000, subtype=subtype)
    with (
        Reader(tmp_path / f"old.{like}") as reader,
        Writer(tmp_path / f"new.{ending}", 48000, 1, like=reader) as writer,
    ):
        writer.write(noise(1, 100))
    with Reader(tmp_path / f"new.{ending}") as reader:
        assert reader.subtype == wanted


def test_a_file_is_not_written_over_the_one_being_read(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", noise(1, 1000), 48000)
    (tmp_path / "b.wav").symlink_to(tmp_path / "a.wav")
    with Reader(tmp_path / "a.wav") as reader, pytest.raises(AudioError, match="same file"):
        Writer(tmp_path / "b.wav", 48000, 1, like=reader)


@pytest.mark.parametrize(("old", "new"), [(44100, 48000), (48000, 44100), (8000, 48000), (48000, 8000), (48000, 32037)])
def test_resampling_keeps_a_tone_in_place(old: int, new: int) -> None:
    seconds = np.arange(old) / old
    tone = np.sin(2 * np.pi * 440 * seconds, dtype=np.float32)[None]
    out = resample(tone, old, new)
    assert out.shape == (1, resampled_length(old, old, new))
    wanted = np.sin(2 * np.pi * 440 * np.arange(out.shape[1]) / new)
    middle = slice(new // 4, 3 * new // 4)
    np.testing.assert_allclose(out[0, middle], wanted[middle], atol=2e-4)


@given(
    cuts=st.lists(st.integers(0, 5000), max_size=6),
    samples=st.integers(1, 5000),
    rates=st.sampled_from([(44100, 48000), (48000, 16000), (8000, 48000), (48000, 48000)]),
)
@settings(max_examples=40, deadline=None)
def test_resampling_in_blocks_equals_resampling_the_whole(
    cuts: list[int], samples: int, rates: tuple[int, int]
) -> None:
    waveform = noise(2, samples)
    stream = StreamResampler(*rates, channels=2)
    borders = [0, *sorted(min(cut, samples) for cut in cuts), samples]
    spans = list(pairwise(borders))
    blocks = [stream.process(waveform[:, a:b], last=i == len(spans) - 1) for i, (a, b) in enumerate(spans)]
    joined = np.concatenate(blocks, axis=1)
    assert joined.shape == (2, resampled_length(samples, *rates))
    np.testing.assert_allclose(joined, resample(waveform, *rates), atol=1e-6)


def test_audio_is_found_sorted_and_without_what_is_hidden(tmp_path: Path) -> None:
    for name in ("b/2.WAV", "b/1.flac", "a.mp3", ".hidden.wav", ".git/x.wav", "notes.txt", "c/._1.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b/loop").symlink_to(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in find_audio(tmp_path)] == ["a.mp3", "b/1.flac", "b/2.WAV"]
    with pytest.raises(AudioError, match="no such folder"):
        find_audio(tmp_path / "none")
