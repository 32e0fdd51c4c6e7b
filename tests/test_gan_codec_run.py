"""Whole runs of the codec recipes at toy size on real speech: the phases follow each other, by configuration alone."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from accelerate.state import AcceleratorState, GradientState, PartialState
from safetensors.torch import load_file

from gan import checkpoint
from gan.cli import main
from gan.config import load
from gan.journal import read_journal
from gan.pairs.make import PairSettings, make_pairs
from gan.trainer import train
from generators import store
from generators.codec import Codec

RECIPES = Path(__file__).parents[1] / "recipes" / "codec"
TINY = RECIPES.parent / "tiny"
CLIPS = Path(__file__).parents[1] / "demo" / "clips"
G = "--generator.init_args"
SMALL = [
    *("--data.batch", "4", "--data.crop", "0.2", "--data.workers", "0", "--average", "0.5"),
    *("--rhythm.clips", "1", "--rhythm.clip_seconds", "0.4", "--rhythm.journal", "2", "--rhythm.validate", "4"),
    *("--rhythm.save", "2", "--rhythm.keep", "9"),
    *(f"{G}.encoder.init_args.width", "16", f"{G}.encoder.init_args.layers", "1"),
    *(f"{G}.decoder.init_args.width", "16", f"{G}.decoder.init_args.layers", "1"),
    *(f"{G}.bottleneck.init_args.codebooks", "3", f"{G}.bottleneck.init_args.code_dimension", "4"),
]
BOOKS = (f"{G}.bottleneck.init_args.entries", "16")


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real speech as it is, at 16 kHz."""
    root = tmp_path_factory.mktemp("speech")
    (root / "clips").mkdir()
    for file in sorted((CLIPS / "kathleen").glob("*.flac"))[:2]:
        (root / "clips" / file.name).symlink_to(file)
    split = {"semitones": (0.0,), "split_by": "file", "validation": 0.5, "test": 0.0}
    make_pairs(PairSettings(root / "clips", root / "pairs", sample_rate=16_000, workers=1, **split), progress=False)
    return root / "pairs"


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    yield
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()


def run_recipe(name: str, run: Path, speech: Path, *arguments: str) -> Path:
    start = ["--folder", str(run), "--data.pairs", str(speech), *SMALL]
    return train(load([*start, *arguments], RECIPES / f"{name}.yaml"))


def weights(run: Path, part: str = "generator") -> dict[str, torch.Tensor]:
    return load_file(run / "latest" / part / "weights.safetensors")


def test_phases_follow_each_other(speech: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = run_recipe("stage1", tmp_path / "one", speech, "--steps", "4", *BOOKS)
    line = next(e["values"] for e in read_journal(one) if e["kind"] == "train")
    assert 0 < line["fact/bitrate"] <= 3 * 4 * 50 / 1000 + 1e-6, "kbit/s: three books of four bits, 50 frames a second"
    assert {"loss/mel", "loss/commitment", "fact/codebook/2/used", "fact/codebook/0/entropy"} <= set(line)

    more = ("--initialise.folder", str(one), "--adversary.judge_from", "2", "--steps", "4")
    three = run_recipe("stage3", tmp_path / "three", speech, *BOOKS, *more)
    start, end = load_file(store.resolve(one) / "weights.safetensors"), weights(three)
    moved = {name for name in start if not torch.equal(start[name], end[name])}
    assert {name.split(".")[0] for name in moved} == {"decoder", "bottleneck"}, (
        "usage stays, or codes could not be read"
    )
    assert not any(name.startswith(("bottleneck.enter", "bottleneck.books")) for name in moved), "codes stay good"
    first, last = store.load(store.resolve(one)), store.load(store.resolve(three))
    assert isinstance(first, Codec)
    assert isinstance(last, Codec)
    x = torch.randn(1, 1, 5000)
    assert torch.equal(first.encode(x), last.encode(x))

    voice, encoded = sorted((CLIPS / "kathleen").glob("*.flac"))[0], tmp_path / "voice.unshift"
    assert main(["encode", str(voice), str(encoded), "--model", str(one)]) == 0
    for run, remarks in ((one, 0), (three, 1)):
        assert main(["decode", str(encoded), str(tmp_path / f"{run.name}.wav"), "--model", str(run)]) == 0
        assert capsys.readouterr().err.count("another decoder") == remarks
    before, after = (soundfile.read(tmp_path / f"{name}.wav")[0] for name in ("one", "three"))
    assert before.shape == after.shape == (soundfile.info(voice).frames,)
    assert not np.array_equal(before, after)

    maps = (f"{G}.bottleneck.init_args.grid", "[4, 4]", "--initialise.folder", str(one), "--steps", "2")
    other = run_recipe("requantise", tmp_path / "other", speech, *maps)
    kept = {name for name, x in weights(other).items() if name in start and torch.equal(x, start[name])}
    assert {name for name in start if name.startswith("encoder")} <= kept
    assert store.load(store.resolve(other)).codebooks == (16, 16, 16)


def test_the_tiny_chain_follows_itself(speech: Path, tmp_path: Path) -> None:
    """As they are but for steps and clips: what one recipe writes, the next one starts from."""
    short = ["--data.pairs", str(speech), "--data.batch", "2", "--data.crop", "0.3", "--steps", "2"]
    short += ["--rhythm.clips", "1", "--rhythm.clip_seconds", "0.4", "--rhythm.journal", "1"]
    runs = {}
    for name, more in {"codec": [], "codec_stage3": ["--adversary.judge_from", "1"], "codec_maps": []}.items():
        words = yaml.safe_load((TINY / f"{name}.yaml").read_text())
        if "initialise" in words:
            more += ["--initialise.folder", str(runs[words["initialise"]["folder"]])]
        more += ["--folder", str(tmp_path / words["folder"])]
        runs[words["folder"]] = train(load([*short, *more], TINY / f"{name}.yaml"))
    first, critics, maps = (store.load(store.resolve(run)) for run in runs.values())
    assert isinstance(first, Codec)
    assert isinstance(critics, Codec)
    assert isinstance(maps, Codec)
    x = torch.randn(1, 1, 3200)
    assert torch.equal(first.encode(x), critics.encode(x)), "its files are read by the next"
    start, end = first.state_dict(), maps.state_dict()
    assert all(torch.equal(start[name], end[name]) for name in start if name.startswith("encoder"))
    assert maps.codebooks == (64, 64, 64, 64)
    assert hasattr(maps.bottleneck, "draw")


def test_a_codec_resumes_as_if_it_had_gone_straight_on(speech: Path, tmp_path: Path) -> None:
    straight = run_recipe("stage1", tmp_path / "straight", speech, "--steps", "6", *BOOKS)
    broken = tmp_path / "broken"
    shutil.copytree(straight, broken, symlinks=True)
    config = broken / "config.yaml"
    config.write_text(config.read_text().replace(str(straight), str(broken)))
    for folder in checkpoint.whole_checkpoints(broken):
        if int(folder.name) > 2:
            shutil.rmtree(folder)
    for link in ("latest", "best"):
        checkpoint.point(broken / link, checkpoint.folder_of(broken, 2))
    run_recipe("stage1", broken, speech, "--steps", "6", *BOOKS)
    for part in ("generator", "average"):
        one, other = weights(straight, part), weights(broken, part)
        assert any("books" in name for name in one)
        assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_a_frozen_bottleneck_of_averages_is_left_alone(speech: Path, tmp_path: Path) -> None:
    run = run_recipe("stage1", tmp_path / "run", speech, "--steps", "4", *BOOKS, "--frozen", "[bottleneck]")
    first, last = (
        load_file(run / "checkpoints" / step / "generator" / "weights.safetensors") for step in ("00000002", "00000004")
    )
    moved = {name.split(".")[0] for name in first if not torch.equal(first[name], last[name])}
    assert moved == {"encoder", "decoder", "usage"}
