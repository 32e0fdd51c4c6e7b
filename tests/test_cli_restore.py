"""`unshift restore` and `unshift shift` on real clips, with a network that has not learned yet: it is the identity."""

import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import tiny_codec
import torch
from tiny_restorer import SMALL, VOICE, files, restore

from gan.cli import main
from generators import store
from generators.gated import GatedRestorer


def level(wave: np.ndarray) -> float:
    """Root mean square in dB."""
    return float(10 * np.log10(np.mean(np.square(wave, dtype=np.float64)) + 1e-30))


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000, 96000])
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_length_rate_and_channels_stay(
    rate: int, channels: int, model: Path, voice: np.ndarray, tmp_path: Path
) -> None:
    wave = soxr.resample(voice[:20011], 48000, rate)
    gains = 0.9 ** np.arange(channels)
    soundfile.write(tmp_path / "in.wav", wave[:, None] * gains, rate, subtype="FLOAT")
    assert restore(tmp_path / "in.wav", tmp_path / "out.wav", model, "--chunk-seconds", "0.1") == 0
    was, now = (soundfile.info(tmp_path / name) for name in ("in.wav", "out.wav"))
    assert (now.frames, now.samplerate, now.channels, now.subtype) == (len(wave), rate, channels, "FLOAT")
    assert was.format == now.format
    out, _ = soundfile.read(tmp_path / "out.wav", dtype="float32", always_2d=True)
    # 96 kHz sound above 24 kHz is lost; all else is the identity, resampled there and back.
    known = soxr.resample(soxr.resample(wave, rate, 48000, "VHQ"), 48000, rate, "VHQ")[: len(wave)]
    inner = slice(rate // 50, len(known) - rate // 50)
    assert level((out[: len(known)] - known[:, None] * gains)[inner]) < level(known) - 60


@pytest.mark.parametrize("samples", [1, 2, 255, 256, 257, 1023])
@pytest.mark.parametrize("rate", [8000, 48000])
def test_very_short_files(samples: int, rate: int, model: Path, voice: np.ndarray, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "in.wav", voice[:samples], rate, subtype="FLOAT")
    assert restore(tmp_path / "in.wav", tmp_path / "out.wav", model) == 0
    assert soundfile.info(tmp_path / "out.wav").frames == samples


def test_chunks_make_no_difference(model: Path, tmp_path: Path) -> None:
    outputs = []
    for seconds in ("0.05", "0.7", "100"):
        assert restore(VOICE, tmp_path / f"{seconds}.wav", model, "--chunk-seconds", seconds) == 0
        outputs.append(soundfile.read(tmp_path / f"{seconds}.wav", dtype="int16")[0])
    source, _ = soundfile.read(VOICE, dtype="int16")
    for output in outputs:
        assert np.abs(output.astype(int) - source).max() <= 1


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("x.wav", "PCM_16"),
        ("x.wav", "PCM_24"),
        ("x.wav", "FLOAT"),
        ("x.flac", "PCM_24"),
        ("x.ogg", "VORBIS"),
        ("x.mp3", "MPEG_LAYER_III"),
        ("x.aiff", "PCM_16"),
    ],
)
def test_the_sample_format_stays(name: str, subtype: str, model: Path, voice: np.ndarray, tmp_path: Path) -> None:
    source, output = tmp_path / name, tmp_path / "out" / name
    output.parent.mkdir()
    soundfile.write(source, voice, 48000, subtype=subtype)
    assert restore(source, output, model) == 0
    was, now = soundfile.info(source), soundfile.info(output)
    assert (now.format, now.subtype, now.frames) == (was.format, subtype, was.frames)


def test_silence_stays_silent(model: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "in.wav", np.zeros(30000), 44100)
    assert restore(tmp_path / "in.wav", tmp_path / "out.wav", model) == 0
    assert not soundfile.read(tmp_path / "out.wav")[0].any()


def test_peaks_over_full_scale_are_clipped_with_a_remark_or_kept(
    model: Path, voice: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loud = 1.5 * voice / np.abs(voice).max()
    soundfile.write(tmp_path / "in.wav", loud, 48000, subtype="FLOAT")
    assert restore(tmp_path / "in.wav", tmp_path / "kept.wav", model) == 0
    assert capsys.readouterr().err == ""
    assert np.abs(soundfile.read(tmp_path / "kept.wav")[0]).max() == pytest.approx(1.5, rel=1e-3)
    assert restore(tmp_path / "in.wav", tmp_path / "cut.flac", model) == 0
    assert "over full scale and were clipped" in capsys.readouterr().err
    out, _ = soundfile.read(tmp_path / "cut.flac")
    assert np.abs(out - np.clip(loud, -1, 1)).max() < 1e-3, "clipped, neither scaled nor wrapped"


def test_a_folder_is_mirrored(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    album = tmp_path / "album"
    (album / "deep/er").mkdir(parents=True)
    for name in ("a.flac", "deep/b.flac", "deep/er/c.flac"):
        shutil.copy(VOICE, album / name)
    (album / "notes.txt").write_text("not audio")
    before = files(album)
    out = tmp_path / "new/out"
    assert restore(album, out, model) == 0
    assert set(files(out)) == {"a.flac", "deep/b.flac", "deep/er/c.flac"}
    assert "restored 3 files; passed over 1 file that is not audio" in capsys.readouterr().err
    (out / "a.flac").unlink()
    others = files(out)
    assert restore(album, out, model) == 0
    assert "restored 1 file; left 2 files already there" in capsys.readouterr().err
    assert {**files(out), **others} == files(out), "what was there is left alone"
    assert restore(album, out, model, "--overwrite") == 0
    assert "restored 3 files; passed" in capsys.readouterr().err
    assert files(album) == before


def test_one_bad_file_does_not_stop_a_folder(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    album = tmp_path / "album"
    album.mkdir()
    shutil.copy(VOICE, album / "a.flac")
    (album / "b.wav").write_bytes(b"")
    shutil.copy(VOICE, album / "c.flac")
    assert restore(album, tmp_path / "out", model) == 1
    assert set(files(tmp_path / "out")) == {"a.flac", "c.flac"}
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("unshift: 1 file failed: ")
    assert last.endswith("b.wav")


def pitch(wave: np.ndarray, rate: int) -> float:
    """Give the strongest frequency, Hz."""
    return float(np.argmax(np.abs(np.fft.rfft(wave * np.hanning(len(wave)))))) * rate / len(wave)


@pytest.mark.parametrize("more", [["--no-restore"], ["--model"]], ids=["shifted only", "mended too"])
@pytest.mark.parametrize("semitones", [-12.0, 5.0])
def test_shift_moves_the_pitch_and_keeps_the_length(
    semitones: float, more: list[str], model: Path, tmp_path: Path
) -> None:
    rate = 44100
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    soundfile.write(tmp_path / "in.wav", np.stack([tone, 0.5 * tone], axis=1), rate, subtype="PCM_24")
    more = [*more, str(model)] if more == ["--model"] else more
    command = ["shift", str(tmp_path / "in.wav"), str(tmp_path / "out.wav"), f"--semitones={semitones}", *more]
    assert main(command) == 0
    info = soundfile.info(tmp_path / "out.wav")
    assert (info.frames, info.samplerate, info.channels, info.subtype) == (rate, rate, 2, "PCM_24")
    out, _ = soundfile.read(tmp_path / "out.wav")
    assert pitch(out[rate // 4 : -rate // 4, 0], rate) == pytest.approx(440 * 2 ** (semitones / 12), rel=0.01)
    assert level(out[:, 0]) - level(out[:, 1]) == pytest.approx(6.02, abs=0.2)
    assert set(files(tmp_path)) == {"in.wav", "out.wav"}


def test_a_gate_does_not_doubt_what_the_same_command_has_shifted(tmp_path: Path) -> None:
    sizes = {"listeners": 4, "hold": 9, **SMALL}
    network = GatedRestorer(**sizes)
    torch.nn.init.constant_(network.gate[-1].bias, -100.0)  # type: ignore[arg-type]
    torch.nn.init.normal_(network.leave.weight, std=0.1)
    store.save(tmp_path / "m", network, {"class_path": "generators.gated.GatedRestorer", "init_args": sizes})
    plain = tmp_path / "plain.flac"
    assert main(["shift", str(VOICE), str(plain), "--semitones", "3", "--no-restore"]) == 0
    assert restore(plain, tmp_path / "mended.flac", tmp_path / "m") == 0
    for shift, name in (("3", "mended too"), ("0", "unshifted")):
        more = ["--semitones", shift, "--model", str(tmp_path / "m")]
        assert main(["shift", str(VOICE), str(tmp_path / f"{name}.flac"), *more]) == 0

    def far(one: Path, other: Path) -> float:
        waves = [soundfile.read(file, dtype="float32")[0] for file in (one, other)]
        return level(waves[0] - waves[1]) - level(waves[1])

    assert far(tmp_path / "mended.flac", plain) < -60, "by itself it leaves alone what it takes for clean"
    assert far(tmp_path / "mended too.flac", plain) > -40
    assert far(tmp_path / "unshifted.flac", VOICE) < -60


def test_threads_are_not_left_changed(model: Path, tmp_path: Path) -> None:
    before = torch.get_num_threads(), signal.getsignal(signal.SIGTERM)
    assert restore(VOICE, tmp_path / "out.flac", model) == 0
    assert (torch.get_num_threads(), signal.getsignal(signal.SIGTERM)) == before


def test_a_codec_that_restores_is_called_what_it_is(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    codec = tiny_codec.save(tmp_path / "codec")
    words = ["restore", str(VOICE), str(tmp_path / "out.wav"), "--device", "cpu", "--trust", "--overwrite", "--model"]
    assert main([*words, str(codec)]) == 0
    told = capsys.readouterr().err
    assert told.count(f"unshift: {codec} is a codec: what comes out is what it would encode and decode") == 1
    assert main([*words, str(model)]) == 0
    assert "codec" not in capsys.readouterr().err
