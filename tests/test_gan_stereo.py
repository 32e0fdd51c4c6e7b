"""Runs on pairs of two channels: a codec that writes both down together, and a restorer that mends each."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from accelerate.state import AcceleratorState, GradientState, PartialState
from stereo_audio import music

from gan.audio import read
from gan.cli import main
from gan.config import load
from gan.data.dataset import PairCrops
from gan.journal import read_journal
from gan.losses import SISDR, STFTDistance
from gan.pairs.make import PairSettings, make_pairs
from gan.trainer import run_stage, train
from generators import store
from generators.codec import Codec
from generators.contract import Estimate

RECIPES = Path(__file__).parents[1] / "recipes"
G = "--generator.init_args"
RHYTHM = [
    *("--data.batch", "4", "--data.crop", "0.2", "--data.workers", "0", "--average", "0.5"),
    *("--rhythm.clips", "1", "--rhythm.clip_seconds", "0.4"),
    *("--rhythm.journal", "1", "--rhythm.validate", "9", "--rhythm.save", "9"),
]
SIZES = [
    *(f"{G}.encoder.init_args.width", "16", f"{G}.encoder.init_args.layers", "1"),
    *(f"{G}.decoder.init_args.width", "16", f"{G}.decoder.init_args.layers", "1"),
    *(f"{G}.bottleneck.init_args.codebooks", "3", f"{G}.bottleneck.init_args.code_dimension", "4"),
    *(f"{G}.bottleneck.init_args.entries", "16"),
]


def halves_of(channels: int) -> list[str]:
    return [f"{G}.encoder.init_args.audio", str(channels), f"{G}.decoder.init_args.audio", str(channels)]


def make(source: Path, folder: Path, channels: int) -> Path:
    shares = {"validation": 0.5, "test": 0.0}
    plain = PairSettings(source, folder, 16000, (0.0, 7.0), split_by="file", workers=1, channels=channels, **shares)
    make_pairs(plain, progress=False)
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return music(tmp_path_factory.mktemp("stereo") / "music")


@pytest.fixture(scope="module")
def pairs(source: Path) -> Path:
    return make(source, source.parent / "pairs", channels=2)


@pytest.fixture(scope="module")
def one(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A codec of two channels after three steps of the stage script, in a process of its own."""
    run = tmp_path_factory.mktemp("run") / "one"
    script = [str(RECIPES / "stage1.py"), "--config", str(RECIPES / "codec" / "stage1.yaml")]
    words = ["--folder", str(run), "--data.pairs", str(pairs), "--steps", "3", *RHYTHM, *SIZES, *halves_of(2)]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true"}
    told = subprocess.run(
        [sys.executable, *script, *words], env=environment, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr[-500:]
    return run


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    yield
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()


def test_a_codec_of_two_channels_learns(one: Path) -> None:
    codec = store.load(store.resolve(one))
    assert isinstance(codec, Codec)
    assert codec.channels == 2
    lines = [entry["values"] for entry in read_journal(one) if entry["kind"] == "train"]
    assert [len(lines), lines[-1]["loss/mel"] < lines[0]["loss/mel"]] == [3, True]
    shown, rate = read(one / "samples/0/mended_00000003.flac")
    assert (len(shown), rate) == (2, 16000)
    assert not np.array_equal(shown[0], shown[1])


def test_critics_join(one: Path, pairs: Path, tmp_path: Path) -> None:
    more = ("--initialise.folder", str(one), "--adversary.judge_from", "1", "--steps", "2")
    words = ["--folder", str(tmp_path / "three"), "--data.pairs", str(pairs), *RHYTHM, *SIZES, *halves_of(2), *more]
    run = train(load(words, RECIPES / "codec" / "stage3.yaml"))
    first, last = (entry["values"] for entry in read_journal(run) if entry["kind"] == "train")
    assert "loss/adversarial" not in first
    assert {"loss/adversarial", "loss/feature_matching", "loss/critics", "score/period3/fake"} <= set(last)
    before, after = (store.load(store.resolve(folder)).state_dict() for folder in (one, run))
    moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert "decoder" in moved
    assert "encoder" not in moved


def test_two_channels_cost_what_they_cost_as_examples(pairs: Path) -> None:
    recipe = load(["--data.pairs", str(pairs)], RECIPES / "codec" / "stage3.yaml").build()
    assert recipe.adversary is not None
    crops = PairCrops(pairs, 0.2, seed=0)
    output, target = (torch.stack(x) for x in zip(*(crops[index] for index in range(3)), strict=True))
    both, each = Estimate(0.9 * output, target), Estimate(0.9 * output.reshape(6, 1, -1), target.reshape(6, 1, -1))
    terms = [*recipe.terms.values(), STFTDistance(), SISDR()]
    for term in terms:
        assert float(term(both)) == pytest.approx(float(term(each)), rel=1e-5)
    adversary, costs = recipe.adversary, []
    adversary.panel.requires_grad_(False)
    for estimate in (both, each):
        real, fake = adversary.panel(estimate.target), adversary.panel(estimate.output)
        costs.append([float(adversary.matching(real, fake))])
        costs[-1] += [float(adversary.loss.learn(real[name].score, fake[name].score)) for name in real]
    assert costs[0] == pytest.approx(costs[1], rel=1e-4)
    assert costs[0][0] > 0


def test_a_gain_is_the_same_for_both_channels(pairs: Path) -> None:
    plain, loud = PairCrops(pairs, 0.2, 1), PairCrops(pairs, 0.2, 1, gain=6.0)
    for index in range(5):
        for was, now in zip(plain[index], loud[index], strict=True):
            left, right = (now.norm(dim=1) / was.norm(dim=1)).tolist()
            assert left == pytest.approx(right, rel=1e-5)
            assert abs(left - 1) > 1e-3


def test_a_file_of_two_channels_is_one_stream(one: Path, source: Path, tmp_path: Path) -> None:
    song, model = source / "song.flac", ["--model", str(one), "--device", "cpu"]
    assert main(["encode", str(song), str(tmp_path / "song.unshift"), *model]) == 0
    assert main(["decode", str(tmp_path / "song.unshift"), str(tmp_path / "song.flac"), *model]) == 0
    was, now = soundfile.info(song), soundfile.info(tmp_path / "song.flac")
    assert (now.frames, now.samplerate, now.channels) == (was.frames, was.samplerate, 2)
    codec = store.load(store.resolve(one)).eval()
    assert isinstance(codec, Codec)
    with torch.inference_mode():
        waveform = torch.from_numpy(read(song, sample_rate=16000)[0])[None]
        left, right = codec.decode(codec.encode(waveform), waveform.shape[-1])[0]
    assert codec.encode(waveform).shape == (1, 3, 100)
    assert not torch.equal(left, right)


def test_a_restorer_takes_any_number_of_channels(pairs: Path, tmp_path: Path) -> None:
    small = [f"{G}.width", "16", f"{G}.layers", "1", f"{G}.sample_rate", "16000"]
    small += ["--terms.mel.init_args.sample_rate", "16000", "--steps", "2", "--data.semitones", "[7]"]
    words = ["--folder", str(tmp_path / "run"), "--data.pairs", str(pairs), *RHYTHM, *small]
    run = train(load(words, RECIPES / "tiny" / "stage1.yaml"))
    entries = read_journal(run)
    start, end = (entry["values"] for entry in entries if entry["kind"] == "validation")
    assert start["mel"] == pytest.approx(start["mel_baseline"], rel=1e-4)
    assert end["mel"] != start["mel"]
    assert len(read(run / "samples/0/mended_00000002.flac")[0]) == 2


@pytest.mark.parametrize(("channels", "there"), [(1, 2), (2, 1)])
def test_channels_that_do_not_fit_are_told_in_one_line(
    channels: int,
    there: int,
    pairs: Path,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if there == 1:
        pairs = make(source, tmp_path / "mono", channels=1)
    given = ["--config", str(RECIPES / "codec" / "stage1.yaml"), "--folder", str(tmp_path / "run")]
    given += ["--data.pairs", str(pairs), "--steps", "2", *RHYTHM, *SIZES, *halves_of(channels)]
    monkeypatch.setattr(sys, "argv", ["stage1.py", *given])
    with pytest.raises(SystemExit) as caught:
        run_stage(str(RECIPES / "stage1.py"), None)
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert f"codes {channels} channel{'s' * (channels != 1)}, but {pairs} holds pairs of {there}" in said
    assert f"`unshift pairs --channels {channels}`" in said
    assert said.count("\n") == 1
