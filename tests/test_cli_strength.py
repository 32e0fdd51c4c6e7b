"""`unshift restore --strength`: at 0 the input bit for bit, at 1 what there was without it, between them the mix."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tiny_restorer import SMALL, VOICE, files, restore

from gan.cli import main
from generators import store
from generators.spectral import SpectralRestorer


@pytest.fixture(scope="module")
def changer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A restorer whose output is not its input: its weights are drawn."""
    torch.manual_seed(0)
    network = SpectralRestorer(**SMALL)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    folder = tmp_path_factory.mktemp("changer") / "generator"
    store.save(folder, network, {"class_path": "generators.spectral.SpectralRestorer", "init_args": SMALL})
    return folder


def write(path: Path, subtype: str, rate: int = 48000, channels: int = 1, length: int = 30011) -> Path:
    """Write random samples at full scale: no bit of theirs is left to chance."""
    drawn = np.random.default_rng(0).integers(-(2**31), 2**31, (length, channels)).astype(np.int32)
    drawn[:2] = [[-(2**31)] * channels, [2**31 - 1] * channels]
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, drawn if subtype.startswith("PCM") else drawn / 2**31, rate, subtype=subtype)
    return path


def samples(path: Path, kind: str) -> np.ndarray:
    return soundfile.read(path, dtype=kind, always_2d=True)[0]


@pytest.mark.parametrize(("rate", "channels"), [(48000, 1), (44100, 2), (96000, 1), (8000, 2)])
@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("x.wav", "PCM_16"),
        ("x.wav", "PCM_24"),
        ("x.wav", "PCM_32"),
        ("x.wav", "FLOAT"),
        ("x.wav", "DOUBLE"),
        ("x.flac", "PCM_16"),
        ("x.flac", "PCM_24"),
        ("x.aiff", "PCM_24"),
        ("x.ogg", "VORBIS"),
    ],
)
def test_nothing_of_it_is_the_input(
    name: str, subtype: str, rate: int, channels: int, changer: Path, tmp_path: Path
) -> None:
    source = write(tmp_path / "in" / name, subtype, rate, channels)
    assert restore(source, tmp_path / name, changer, "--strength", "0") == 0
    assert (tmp_path / name).read_bytes() == source.read_bytes()
    assert set(files(tmp_path)) == {f"in/{name}", name}, "nothing else is left"


@pytest.mark.parametrize(
    ("one", "subtype", "other"),
    [
        ("x.wav", "PCM_16", "y.flac"),
        ("x.wav", "PCM_24", "y.flac"),
        ("x.flac", "PCM_24", "y.wav"),
        ("x.wav", "FLOAT", "y.aiff"),
    ],
)
def test_in_another_container_its_samples_stay(
    one: str, subtype: str, other: str, changer: Path, tmp_path: Path
) -> None:
    source = write(tmp_path / one, subtype, 44100, 2)
    assert restore(source, tmp_path / other, changer, "--strength", "0") == 0
    kind = "float32" if subtype == "FLOAT" else "int32"
    assert np.array_equal(samples(source, kind), samples(tmp_path / other, kind))


def test_a_file_whose_header_is_the_longer_one_comes_back_too(changer: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.wav"
    soundfile.write(source, np.random.default_rng(0).normal(size=(999, 8)), 48000, format="WAVEX", subtype="PCM_16")
    assert restore(source, tmp_path / "out.wav", changer, "--strength", "0") == 0
    assert (tmp_path / "out.wav").read_bytes() == source.read_bytes()


def test_all_of_it_is_what_there_was_without_it(changer: Path, tmp_path: Path) -> None:
    assert restore(VOICE, tmp_path / "plain.wav", changer) == 0
    assert restore(VOICE, tmp_path / "whole.wav", changer, "--strength", "1") == 0
    assert (tmp_path / "plain.wav").read_bytes() == (tmp_path / "whole.wav").read_bytes()
    assert np.abs(samples(tmp_path / "plain.wav", "float64") - samples(VOICE, "float64")).max() > 0.01


@pytest.mark.parametrize("strength", [0.25, 0.9])
@pytest.mark.parametrize("rate", [48000, 44100])
def test_between_them_it_is_the_mix_sample_by_sample(
    strength: float, rate: int, changer: Path, voice: np.ndarray, tmp_path: Path
) -> None:
    wave = np.stack([voice, -0.5 * voice[::-1]], axis=1)
    soundfile.write(tmp_path / "in.wav", wave, rate, subtype="FLOAT")
    for name, given in {"whole": "1", "part": str(strength)}.items():
        # Short chunks: the input has to be found again behind the network's context.
        more = ["--strength", given, "--chunk-seconds", "0.07"]
        assert restore(tmp_path / "in.wav", tmp_path / f"{name}.wav", changer, *more) == 0
    was, whole, part = (samples(tmp_path / f"{name}.wav", "float64") for name in ("in", "whole", "part"))
    inner = slice(2000, -2000)  # resampled there and back the ends are not what they were
    near = 1e-6 if rate == 48000 else 2e-3
    assert np.abs(part - (was + strength * (whole - was)))[inner].max() < near
    assert np.abs(whole - was)[inner].max() > 0.01


def test_a_damaged_file_is_refused_at_any_strength(
    changer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in.wav"
    soundfile.write(source, np.array([0.1, np.nan, 0.2]), 48000, subtype="FLOAT")
    assert restore(source, tmp_path / "out.wav", changer, "--strength", "0") == 2
    assert "holds NaN" in capsys.readouterr().err
    assert set(files(tmp_path)) == {"in.wav"}


@pytest.mark.parametrize("wrong", ["-0.1", "1.01", "nan", "much", ""])
def test_a_strength_is_from_0_to_1(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["restore", "in.wav", "out.wav", f"--strength={wrong}"])
    assert left.value.code == 2
    assert "is not a strength from 0 to 1" in capsys.readouterr().err
