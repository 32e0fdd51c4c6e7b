"""Whole runs of tiny recipes on real audio: resume equals straight on, stages follow each other, mistakes are told."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState, GradientState, PartialState
from runs import tensors_of
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gan import checkpoint
from gan.config import load
from gan.critics import NonFiniteError
from gan.journal import read_journal
from gan.recipe import ConfigError
from gan.trainer import train
from generators import store

RECIPES = Path(__file__).parents[1] / "recipes"
SMALL = [
    *(
        "--data.batch",
        "2",
        "--data.crop",
        "0.1",
        "--generator.init_args.width",
        "16",
        "--generator.init_args.layers",
        "1",
    ),
    *("--rhythm.clips", "2", "--rhythm.clip_seconds", "0.4", "--rhythm.journal", "2", "--rhythm.validate", "4"),
    *("--rhythm.save", "2", "--rhythm.keep", "9"),
]


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """Accelerate remembers its processes for good: every run here starts without."""
    yield
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()


def run_stage(number: int, run: Path, pairs: Path, *arguments: str) -> Path:
    file = RECIPES / "tiny" / f"stage{number}.yaml"
    return train(load([*("--folder", str(run), "--data.pairs", str(pairs)), *SMALL, *arguments], file))


def journal_without_clock(run: Path) -> list[object]:
    return [
        (e["kind"], e["step"], {k: v for k, v in e["values"].items() if not k.startswith("speed/")})
        for e in read_journal(run)
    ]


MUON = ("--optimiser", "gan.optimisers.Muon")
ACCUMULATED = ("--data.accumulate", "2", "--data.workers", "1")


@pytest.mark.parametrize(
    ("stage", "stop", "more"), [(1, 2, ()), (1, 4, MUON), (3, 4, ()), (3, 2, ACCUMULATED)], ids=str
)
def test_resume_equals_straight_on(stage: int, stop: int, more: tuple[str], pairs: Path, tmp_path: Path) -> None:
    first = run_stage(1, tmp_path / "first", pairs, "--steps", "2")
    start = [*more, *(["--initialise.folder", str(first), "--adversary.judge_from", "2"] if stage == 3 else [])]
    straight = run_stage(stage, tmp_path / "straight", pairs, "--steps", "6", *start)
    # Interrupted: as if the process had died after a later journal line than its newest whole checkpoint.
    broken = tmp_path / "broken"
    shutil.copytree(straight, broken, symlinks=True)
    for folder in checkpoint.whole_checkpoints(broken):
        if int(folder.name) > stop:
            shutil.rmtree(folder)
    (broken / "checkpoints" / "00000006.partial").mkdir()
    for link in ("latest", "best"):
        checkpoint.point(broken / link, checkpoint.folder_of(broken, stop))
    run_stage(stage, broken, pairs, "--steps", "6", *start)
    one, other = (tensors_of(checkpoint.folder_of(run, 6)) for run in (straight, broken))
    assert len(one) > 50
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
    assert journal_without_clock(straight) == journal_without_clock(broken)


def test_a_run_leaves_what_the_house_says(pairs: Path, tmp_path: Path) -> None:
    run = run_stage(1, tmp_path / "run", pairs, "--steps", "6", "--rhythm.keep", "1")
    assert {"config.yaml", "provenance.json", "journal.jsonl", "tensorboard", "samples", "latest", "best"} <= {
        f.name for f in run.iterdir()
    }
    assert (run / "latest").resolve().name == "00000006"
    assert len(checkpoint.whole_checkpoints(run)) <= 2
    assert json.loads((run / "provenance.json").read_text())["versions"]["torch"]
    entries = read_journal(run)
    assert [e["step"] for e in entries if e["kind"] == "train"] == [2, 4, 6]
    assert [e["step"] for e in entries if e["kind"] == "validation"] == [0, 4, 6]
    start = entries[0]["values"]
    assert start["mel"] == pytest.approx(start["mel_baseline"], rel=1e-4), "this network starts as the identity"
    assert start["mel_unshifted"] < 0.1 < start["mel"], "unshifted clips are counted apart"
    board = EventAccumulator(str(run / "tensorboard"))
    board.Reload()
    assert {"train/loss/mel", "validation/mel"} <= set(board.Tags()["scalars"])
    assert "0/mended" in board.Tags()["audio"]
    assert "0/mended/spectrogram" in board.Tags()["images"]
    last = board.Scalars("train/loss/mel")[-1]
    written = [e["values"]["loss/mel"] for e in entries if e["kind"] == "train"][-1]
    assert last.step == 6
    assert last.value == pytest.approx(written)
    assert store.load(store.resolve(run)).sample_rate == 48_000


def test_stages_follow_each_other(pairs: Path, tmp_path: Path) -> None:
    one = run_stage(1, tmp_path / "one", pairs, "--steps", "2")
    two = run_stage(2, tmp_path / "two", pairs, "--steps", "2", "--initialise.folder", str(one))
    three = run_stage(
        3, tmp_path / "three", pairs, "--steps", "4", "--initialise.folder", str(two), "--adversary.judge_from", "2"
    )
    ends = [read_journal(run)[-1]["values"]["mel"] for run in (one, two, three)]
    starts = [read_journal(run)[0]["values"]["mel"] for run in (one, two, three)]
    assert starts[1] == pytest.approx(ends[0], rel=1e-6), "stage 2 starts where stage 1's average ended"
    assert starts[2] == pytest.approx(ends[1], rel=1e-6)
    lines = {e["step"]: e["values"] for e in read_journal(three) if e["kind"] == "train"}
    assert "loss/critics" in lines[2]
    assert "loss/adversarial" not in lines[2]
    assert {"loss/adversarial", "loss/feature_matching", "score/period3/real", "norm/critics"} <= set(lines[4])
    four = run_stage(
        3,
        tmp_path / "four",
        pairs,
        *("--steps", "2", "--initialise.folder", str(three), "--initialise.parts", "[generator, critics]"),
        *("--adversary.optimiser.init_args.lr", "0"),
    )
    old, new = (load_file(run / "latest" / "critics" / "weights.safetensors") for run in (three, four))
    best = load_file((three / "best").resolve() / "critics" / "weights.safetensors")
    assert all(torch.allclose(best[name], new[name], atol=1e-7) for name in old)


def test_golden_losses(pairs: Path, tmp_path: Path) -> None:
    """The losses of a tiny real run, written down by hand once: a change of the mathematics shows here."""
    one = run_stage(1, tmp_path / "one", pairs, "--steps", "4")
    start = ("--initialise.folder", str(one), "--adversary.judge_from", "2")
    three = run_stage(3, tmp_path / "three", pairs, "--steps", "4", *start)
    golden = json.loads((Path(__file__).parent / "golden" / "losses.json").read_text())
    for name, run in (("stage1", one), ("stage3", three)):
        found = [e["values"] for e in read_journal(run) if e["kind"] == "train"]
        assert len(found) == len(golden[name]) == 2
        for line, expected in zip(found, golden[name], strict=True):
            assert {k: line[k] for k in expected} == pytest.approx(expected, rel=1e-2), name


def test_another_configuration_in_the_same_folder_stops_with_the_difference(pairs: Path, tmp_path: Path) -> None:
    run_stage(1, tmp_path / "run", pairs, "--steps", "2")
    with pytest.raises(ConfigError, match=r"-seed: 0; \+seed: 1"):
        run_stage(1, tmp_path / "run", pairs, "--steps", "2", "--seed", "1")
    with pytest.raises(ConfigError, match="no parameter"):
        run_stage(1, tmp_path / "mistaken", pairs, "--steps", "2", "--frozen", "[nothing]")
    assert run_stage(1, tmp_path / "mistaken", pairs, "--steps", "2").exists(), "a mistake can be mended"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").touch()
    with pytest.raises(ConfigError, match="not empty"):
        run_stage(1, tmp_path / "other", pairs, "--steps", "2")


def test_a_complete_run_is_left_alone(pairs: Path, tmp_path: Path) -> None:
    run = run_stage(1, tmp_path / "run", pairs, "--steps", "2")
    before = (run / "journal.jsonl").read_text()
    run_stage(1, run, pairs, "--steps", "2")
    assert (run / "journal.jsonl").read_text() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--weights", "{mel: 1.0}"], "no weight"),
        (["--weights.extra", "1.0"], "nobody gives"),
        (["--frozen", "[nothing]"], "no parameter"),
        (["--generator.init_args.sample_rate", "44100"], "44100 Hz"),
        (["--data.batch", "3", "--data.accumulate", "2"], "multiple of 2"),
        (["--data.pairs", "nowhere"], "nowhere"),
        (["--initialise.folder", "nowhere"], "nowhere"),
        (["--weights.mel", "{first: 0, last: 1, steps: 0}"], "one step at least"),
        (["--data.semitones", "[5]"], "shift of"),
    ],
)
def test_mistakes_are_told(arguments: list[str], words: str, pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        run_stage(1, tmp_path / "run", pairs, "--steps", "2", *arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["training.pt", "critics/weights.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "gone", "flipped"])
def test_a_damaged_checkpoint_is_told_in_one_line(name: str, damage: str, pairs: Path, tmp_path: Path) -> None:
    more = ("--steps", "2", "--initialise", "null")
    run = run_stage(3, tmp_path / "run", pairs, *more)
    file = (run / "latest").resolve() / name
    whole = file.read_bytes()
    file.unlink()
    if damage != "gone":
        file.write_bytes(whole[: len(whole) // 2] if damage == "cut" else bytes([whole[0] ^ 255]) + whole[1:])
    with pytest.raises(ValueError, match=r"00000002") as caught:
        run_stage(3, run, pairs, *more)
    assert "\n" not in str(caught.value)


def test_a_learning_rate_that_explodes_stops_the_run(pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError):
        run_stage(1, tmp_path / "run", pairs, "--steps", "50", "--optimiser.init_args.lr", "1e30", "--clip", "1e30")


def test_frozen_parts_do_not_move(pairs: Path, tmp_path: Path) -> None:
    run = run_stage(1, tmp_path / "run", pairs, "--steps", "4", "--frozen", "[enter, layers]", "--average", "0")
    first, last = (
        load_file(run / "checkpoints" / s / "generator" / "weights.safetensors") for s in ("00000002", "00000004")
    )
    moved = {name.split(".")[0] for name in first if not torch.equal(first[name], last[name])}
    assert moved == {"leave", "leave_norm", "norm"}


def test_a_part_alone_is_taken_over(pairs: Path, tmp_path: Path) -> None:
    one = run_stage(1, tmp_path / "one", pairs, "--steps", "2", "--average", "0")
    parts = ("--initialise.folder", str(one), "--initialise.parts", "[generator.enter]", "--seed", "5")
    two = run_stage(1, tmp_path / "two", pairs, "--steps", "2", "--average", "0", *parts, "--frozen", "[enter]")
    first, second = (load_file(run / "latest" / "generator" / "weights.safetensors") for run in (one, two))
    same = {name.split(".")[0] for name in first if torch.equal(first[name], second[name])}
    assert same == {"enter"}
    for wrong, words in (("generators", "generator.<a part"), ("generator.nobody", "no part 'nobody'")):
        with pytest.raises(ValueError, match=words):
            run_stage(1, tmp_path / "three", pairs, *parts[:2], "--initialise.parts", f"[{wrong}]")


def test_bf16_stays_near_fp32(pairs: Path, tmp_path: Path) -> None:
    ends = {}
    for name, more in (("fp32", []), ("bf16", ["--precision", "bf16"])):
        run = run_stage(1, tmp_path / name, pairs, "--steps", "2", *more)
        ends[name] = read_journal(run)[-1]["values"]["mel"]
    assert ends["bf16"] == pytest.approx(ends["fp32"], rel=0.01)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the compiler imports old names, and looks at all modules
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++ on this machine")
def test_compiling_changes_no_result(pairs: Path, tmp_path: Path) -> None:
    file = tmp_path / "restorer.yaml"
    sizes = "{sample_rate: 48000, channels: [2, 3], strides: [4], dilations: [1], identity: true}"
    file.write_text(f"class_path: generators.restorer.Restorer\ninit_args: {sizes}\n")
    small = SMALL[:4] + SMALL[8:]  # without the sizes of another network
    runs = []
    for word in ("false", "true"):
        start = ["--folder", str(tmp_path / word), "--data.pairs", str(pairs), "--generator", str(file), *small]
        more = ["--steps", "4", "--compile", word]
        runs.append(train(load([*start, *more], RECIPES / "tiny" / "stage1.yaml")))
    plain, compiled = ([e["values"] for e in read_journal(run) if e["kind"] == "train"] for run in runs)
    assert len(plain) == 2
    assert [e["loss/total"] for e in compiled] == pytest.approx([e["loss/total"] for e in plain], rel=1e-5)
    assert [e["norm/generator"] for e in compiled] == pytest.approx([e["norm/generator"] for e in plain], rel=1e-4)
    one, other = (tensors_of(checkpoint.folder_of(run, 4)) for run in runs)
    assert one.keys() == other.keys(), "a compiled module's names are its own"
