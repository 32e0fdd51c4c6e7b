"""Wrong numbers, wrong launchers and wrong moments to be killed: one line each, and nothing is lost."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from torch import nn

from gan import checkpoint
from gan.assembly import ELSEWHERE, Wires, make_average, make_optimiser, meet
from gan.config import load
from gan.faults.digests import seal
from gan.recipe import ConfigError
from gan.trainer import run_stage, train

RECIPES = Path(__file__).parents[1] / "recipes"
STAGES = sorted(file for place in (".", "tiny", "codec", "voice48") for file in (RECIPES / place).glob("*.yaml"))
SMALL = [
    *("--data.batch", "2", "--data.crop", "0.1", "--generator.init_args.width", "16"),
    *("--generator.init_args.layers", "1", "--rhythm.clips", "2", "--rhythm.clip_seconds", "0.4"),
    *("--rhythm.journal", "2", "--rhythm.validate", "2", "--rhythm.save", "2", "--rhythm.keep", "9"),
]


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """Accelerate remembers its processes for good: every test here starts without."""
    yield
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()


@pytest.fixture(scope="module")
def four_steps(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps, with the checkpoints 2 and 4: to be copied."""
    run = stage1(tmp_path_factory.mktemp("four") / "run", pairs)
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()
    return run


def arguments_of(run: Path, pairs: Path, *more: str) -> list[str]:
    return ["--folder", str(run), "--data.pairs", str(pairs), "--steps", "4", *SMALL, *more]


def stage1(run: Path, pairs: Path, *more: str) -> Path:
    return train(load(arguments_of(run, pairs, *more), RECIPES / "tiny" / "stage1.yaml"))


def copy_of(run: Path, target: Path) -> Path:
    shutil.copytree(run, target, symlinks=True)
    return target


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--data.crop 0", "data.crop must be a number from 0.001 up, not 0"),
        ("--data.crop -1", "data.crop"),
        ("--data.crop .inf", "data.crop"),
        ("--data.batch 0", "data.batch"),
        ("--data.accumulate 0", "data.accumulate"),
        ("--data.workers -1", "data.workers"),
        ("--data.gain .nan", "data.gain"),
        ("--data.narrow -0.1", "data.narrow must be a share"),
        ("--data.narrow .nan", "data.narrow must be a share"),
        ("--data.unshifted 1", "data.unshifted must be a share"),
        ("--rhythm.journal 0", "rhythm.journal must"),
        ("--rhythm.validate 0", "rhythm.validate must"),
        ("--rhythm.save 0", "rhythm.save must"),
        ("--rhythm.keep 0", "rhythm.keep"),
        ("--rhythm.clips 0", "rhythm.clips"),
        ("--rhythm.clip_seconds 0", "rhythm.clip_seconds"),
        ("--rhythm.listen -1", "rhythm.listen"),
        ("--rhythm.save 85", r"rhythm.save must be a multiple of rhythm.journal \(10\), not 85"),
        ("--rhythm.validate 85", r"rhythm.validate must be a multiple"),
        ("--adversary.learn_every 0", "^adversary.learn_every must"),
        ("--adversary.learn_from -1", "^adversary.learn_from must"),
        ("--adversary.judge_from -1", "^adversary.judge_from must"),
        ("--adversary.clip 0", "^adversary.clip must"),
        ("--steps -3", "^steps must"),
        ("--steps 0", "^steps must"),
        ("--clip 0", "^clip must"),
        ("--clip .nan", "^clip must"),
        ("--average 1.5", "^average must"),
        ("--average -0.1", "^average must"),
        ("--average .nan", "^average must"),
        ("--weights.mel .nan", "^weights.mel must"),
        ("--weights.mel {first:0,last:.inf,steps:2}", "^weights.mel must"),
        ("--seed -1", "^seed must"),
        ("--seed 99999999999999999999999", "^seed must"),
        ("--initialise.parts []", "^initialise.parts names nothing"),
        ("--rate.init_args.warm_up -1", "^the rate gives no factor at step 0"),
        ("--generator.init_args.hop 0", "^generators.spectral.SpectralRestorer does not take .* ZeroDivisionError"),
        ("--generator.init_args.fft 0", "hop 256 must divide fft 0"),
    ],
)
def test_a_number_out_of_its_range_is_told_in_one_line(arguments: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load(arguments.replace(":", ": ").split(" ", 1), RECIPES / "tiny" / "stage3.yaml").build()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file", STAGES, ids=lambda file: file.relative_to(RECIPES).as_posix())
def test_every_stage_saves_where_its_journal_has_a_line(file: Path) -> None:
    rhythm = load(["--config", str(file)], file).values["rhythm"]
    assert rhythm["save"] % rhythm["journal"] == rhythm["validate"] % rhythm["journal"] == 0


def test_what_clips_nothing_may_be_asked_for() -> None:
    assert load(["--clip", ".inf"], RECIPES / "tiny" / "stage1.yaml").build().clip == float("inf")


@pytest.mark.parametrize("kind", ["torch.optim.AdamW", "gan.optimisers.Muon"])
def test_a_stage_with_a_mistake_ends_with_two_and_one_line(
    kind: str, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = arguments_of(tmp_path / "run", pairs, "--optimiser", kind, "--optimiser.init_args.lr", "-1")
    monkeypatch.setattr(sys, "argv", ["stage1.py", *words])
    with pytest.raises(SystemExit) as caught:
        run_stage(str(RECIPES / "tiny" / "stage1.py"), None)
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("unshift: the optimiser of SpectralRestorer cannot be made")
    assert said.count("\n") == 1


def test_whatever_an_optimiser_or_a_copy_raises_is_a_mistake() -> None:
    class Odd(nn.Linear):
        def __deepcopy__(self, memo: object) -> nn.Module:
            raise TypeError("cannot\nbe copied")

    def factory(_: object) -> torch.optim.Optimizer:
        raise KeyError("betas")

    with pytest.raises(ConfigError, match="optimiser of Odd cannot be made: KeyError 'betas'"):
        make_optimiser(factory, Odd(1, 1))
    with pytest.raises(ConfigError, match="no average of Odd can be made: TypeError cannot be copied"):
        make_average(Odd(1, 1), 0.9)


ASKED = {"no": "inductor", "1": "4", "false": "true"}


@pytest.mark.parametrize(("variable", "nothing", "option", "instead"), ELSEWHERE)
def test_what_the_recipe_says_the_launcher_may_not(
    variable: str, nothing: str, option: str, instead: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, ASKED[nothing])
    with pytest.raises(ConfigError, match=option) as caught:
        meet()
    assert instead in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_launcher_that_asks_for_nothing_is_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, nothing, _, _ in ELSEWHERE:
        monkeypatch.setenv(variable, nothing.upper())
    assert meet().gradient_accumulation_steps == 1


def test_accelerate_does_not_scale_gradients() -> None:
    weight = nn.Parameter(torch.ones(3))
    wires = Wires(Accelerator(gradient_accumulation_steps=4))
    wires.backward((2 * weight).sum(), 3 * weight, torch.tensor([0.0, 1.0, 2.0]))
    assert weight.grad is not None
    assert weight.grad.tolist() == [2.0, 5.0, 8.0]


def test_a_run_goes_on_in_another_place_at_another_pace(four_steps: Path, pairs: Path, tmp_path: Path) -> None:
    run = copy_of(four_steps, tmp_path / "moved")
    first = (run / "config.yaml").read_text()
    elsewhere = copy_of(pairs, tmp_path / "pairs")
    shutil.rmtree(checkpoint.folder_of(run, 4))
    pace = ("--data.workers", "1", "--rhythm.save", "4", "--rhythm.validate", "4", "--rhythm.listen", "0")
    stage1(run, elsewhere, *pace)
    now = yaml.safe_load((run / "config.yaml").read_text())
    assert (now["folder"], now["data"]["pairs"]) == (str(run), str(elsewhere))
    assert now["rhythm"]["save"] == 4
    assert (run / "config.first.yaml").read_text() == first
    assert checkpoint.folder_of(run, 4).exists()
    stage1(run, pairs)
    assert (run / "config.first.yaml").read_text() == first, "the first stays the first"


DECIDING = ("--optimiser.init_args.lr 1", "--data.batch 4", "--rhythm.clips 1", "--tf32 false", "--frozen [enter]")


@pytest.mark.parametrize("arguments", [*DECIDING, "--steps 8"])
def test_what_decides_the_weights_stays(arguments: str, four_steps: Path, pairs: Path, tmp_path: Path) -> None:
    run = copy_of(four_steps, tmp_path / "run")
    before = (run / "config.yaml").read_text()
    name = arguments.split(maxsplit=1)[0].rsplit(".", maxsplit=1)[-1].strip("-")
    with pytest.raises(ConfigError, match=rf"- *{name}: .*\+ *{name}:.*--initialise.folder") as caught:
        stage1(run, pairs, *arguments.split())
    assert "\n" not in str(caught.value)
    assert (run / "config.yaml").read_text() == before


def test_other_pairs_are_not_the_same_pairs_moved(four_steps: Path, pairs: Path, tmp_path: Path) -> None:
    other = copy_of(pairs, tmp_path / "other")
    lines = (other / "manifest.jsonl").read_text().splitlines(keepends=True)
    (other / "manifest.jsonl").write_text("".join(reversed(lines)))
    with pytest.raises(ConfigError, match="began with other pairs"):
        stage1(copy_of(four_steps, tmp_path / "run"), other)


@pytest.mark.parametrize("text", [b"folder: [", b"nothing", b"\xff", b""])
def test_a_damaged_configuration_is_told(text: bytes, four_steps: Path, pairs: Path, tmp_path: Path) -> None:
    run = copy_of(four_steps, tmp_path / "run")
    (run / "config.yaml").write_bytes(text)
    with pytest.raises(ConfigError, match=r"config\.yaml is damaged") as caught:
        stage1(run, pairs)
    assert "\n" not in str(caught.value)


def test_a_run_goes_on_without_its_origin(four_steps: Path, pairs: Path, tmp_path: Path) -> None:
    origin = copy_of(four_steps, tmp_path / "origin")
    more = ("--initialise.folder", str(origin))
    run = stage1(tmp_path / "run", pairs, *more)
    shutil.rmtree(origin)
    shutil.rmtree(checkpoint.folder_of(run, 4))
    stage1(run, pairs, *more)
    assert checkpoint.folder_of(run, 4).exists()


def test_a_kill_before_the_links_loses_no_best_model(four_steps: Path, pairs: Path, tmp_path: Path) -> None:
    """As if killed between the checkpoint after step 2, the best so far, and the links to it."""
    run = copy_of(four_steps, tmp_path / "run")
    shutil.rmtree(checkpoint.folder_of(run, 4))
    two = checkpoint.folder_of(run, 2)
    training = checkpoint.load_tensors(two / "training.pt")
    torch.save(training | {"best": {"mel": -1.0, "step": 2}}, two / "training.pt")
    seal(two)
    shutil.copytree(two, checkpoint.folder_of(run, 1))
    checkpoint.point(run / "best", checkpoint.folder_of(run, 1))
    (run / "latest").unlink()
    stage1(run, pairs, "--rhythm.keep", "1")
    assert (run / "best").resolve() == two.resolve()
    assert (run / "latest").resolve().name == "00000004"
    assert [folder.name for folder in checkpoint.whole_checkpoints(run)] == ["00000002", "00000004"]


def test_links_of_a_complete_run_are_mended(four_steps: Path, pairs: Path, tmp_path: Path) -> None:
    run = copy_of(four_steps, tmp_path / "run")
    best = (run / "best").resolve().name
    for link in ("latest", "best"):
        (run / link).unlink()
    stage1(run, pairs)
    assert ((run / "latest").resolve().name, (run / "best").resolve().name) == ("00000004", best)


def test_a_damaged_journal_ends_a_run_in_one_line(four_steps: Path, pairs: Path, tmp_path: Path) -> None:
    run = copy_of(four_steps, tmp_path / "run")
    lines = (run / "journal.jsonl").read_text().splitlines()
    lines[1] = json.dumps({"kind": "train"})
    (run / "journal.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(ConfigError, match=r"journal\.jsonl, line 2 is damaged"):
        stage1(run, pairs)


def test_a_mistake_of_the_first_process_ends_both(pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").touch()
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    log = ["--log-dir", str(tmp_path / "log"), "--redirects", "3"]
    script = [str(RECIPES / "stage1.py"), "--config", str(RECIPES / "tiny" / "stage1.yaml")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    words = [*launcher, *log, *script, *arguments_of(tmp_path / "run", pairs)]
    subprocess.run(words, env=environment, capture_output=True, check=False, timeout=120)
    said = [file.read_text() for file in sorted((tmp_path / "log").rglob("stderr.log"))]
    assert len(said) == 2
    for text in said:
        assert "is not empty and holds no run" in text
        assert "Traceback" not in text
