"""The doctor, told of real tiny trainings: each fault is put into one and named, healthy ones get no verdict."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

from gan import assembly, trainer
from gan.adversarial import Hinge, LeastSquares
from gan.assembly import Assembly
from gan.config import Config, load
from gan.doctor import game
from gan.doctor.game import guessing
from gan.doctor.lines import drift
from gan.doctor.verdicts import AGAIN, BURST, DEAD, FAST, SPIKE, STILL, WON, Diagnosis, Doctor
from gan.journal import read_journal
from gan.recipe import Recipe
from gan.schedule import set_rate
from gan.step import Step
from generators.contract import Estimate, Pair

TINY = Path(__file__).parents[1] / "recipes" / "tiny"
SMALL = (
    *("--data.batch", "3", "--data.crop", "0.1", "--data.gain", "0", "--data.semitones", "[12]"),
    *("--generator.init_args.width", "16", "--generator.init_args.layers", "1", "--rate", "gan.schedule.Constant"),
    *("--rhythm.journal", "1", "--rhythm.validate", "20", "--rhythm.save", "1000", "--rhythm.clips", "1"),
    *("--rhythm.clip_seconds", "0.2", "--rhythm.listen", "0"),
)
PERIOD = "{class_path: discriminators.period.Period, init_args: {period: %d, channels: 4}}"
PANEL = f"""class_path: discriminators.ensemble.Ensemble
init_args: {{members: {{period2: {PERIOD % 2}, period3: {PERIOD % 3}}}}}"""
UNSHIFTED = ("--data.semitones", "[0]")  # nothing to mend: feature matching is low
NO_LEARNING = ("--optimiser.init_args.lr", "1e-9")


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """Accelerate remembers its processes for good: every run here starts without."""
    yield
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()


@dataclass
class Run:
    """What a training left: its recipe and its journal."""

    recipe: Recipe
    entries: list[dict[str, Any]]

    def verdicts(self, known: int = 0) -> list[Diagnosis]:
        """Hear the journal; the first lines as a run that goes on after them does."""
        doctor = Doctor(self.recipe)
        doctor.recall(self.entries[:known])
        return [said for e in self.entries[known:] for said in doctor.hear(e["kind"], e["step"], e["values"])]

    def names(self) -> set[str]:
        return {said.name for said in self.verdicts()}


Fault = Callable[[Assembly], None]


def train(run: Path, pairs: Path, stage: int, steps: int, *words: str, fault: Fault | None = None) -> Run:
    """Train for real, with a fault put into the assembled parts."""
    words = (*SMALL, "--folder", str(run / "run"), "--data.pairs", str(pairs), "--steps", str(steps), *words)
    if stage == 3:
        (run / "panel.yaml").write_text(PANEL)
        words = ("--initialise", "null", "--adversary.panel", str(run / "panel.yaml"), *words)
        words = ("--adversary.judge_from", "0", *words)
    config = load(list(words), TINY / f"stage{stage}.yaml")
    made: list[Assembly] = []

    def assemble(config: Config, accelerator: Accelerator) -> Assembly:
        made.append(assembly.assemble(config, accelerator))
        if fault:
            fault(made[0])
        return made[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "assemble", assemble)
        trainer.train(config)
    return Run(made[0].recipe, read_journal(run / "run"))


def from_step(first: int, wreck: Callable[[Assembly, Sequence[Pair]], Sequence[Pair]], last: int = 10**9) -> Fault:
    """Wreck what a step needs before every step from one to another (counted from 0)."""

    def fault(assembly: Assembly) -> None:
        class Wrecked(Step):
            def __call__(self, pairs: Sequence[Pair], step: int) -> dict[str, Tensor]:
                return super().__call__(wreck(assembly, pairs) if first <= step <= last else pairs, step)

        assembly.step.__class__ = Wrecked

    return fault


def hum(assembly: Assembly) -> None:
    """A generator with a hum that no critic can miss."""

    def add(module: nn.Module, given: tuple[Pair], estimate: Estimate) -> Estimate:
        wave = 0.5 * torch.sin(torch.arange(estimate.output.shape[-1]) * (2 * math.pi * 6000 / 48_000))
        return replace(estimate, output=estimate.output + wave)

    assembly.step.generator.register_forward_hook(add)


def frozen(assembly: Assembly) -> None:
    assert assembly.step.critics
    for parameter in assembly.step.critics.panel.parameters():
        parameter.requires_grad_(False)


def one_batch() -> Callable[[Assembly, Sequence[Pair]], Sequence[Pair]]:
    """Let every batch be the first one, so that the loss moves by learning alone."""
    kept: list[Sequence[Pair]] = []

    def first(_: Assembly, given: Sequence[Pair]) -> Sequence[Pair]:
        kept.append(given)
        return kept[0]

    return first


@pytest.mark.parametrize("loss", ["LeastSquares", "Hinge"])
def test_critics_that_have_won(loss: str, pairs: Path, tmp_path: Path) -> None:
    rates = (*NO_LEARNING, "--adversary.optimiser.init_args.lr", "1e-2")
    run = train(tmp_path, pairs, 3, 50, *rates, "--adversary.loss", f"gan.adversarial.{loss}", fault=hum)
    assert run.names() == {WON}


@pytest.mark.parametrize("members", ["null", "1"])
def test_critics_that_do_not_learn_are_dead(members: str, pairs: Path, tmp_path: Path) -> None:
    rate = ("--adversary.optimiser.init_args.lr", "0")
    run = train(tmp_path, pairs, 3, 24, *rate, "--adversary.members", members)
    (said,) = run.verdicts()
    assert (said.name, said.step) == (DEAD, 20)


def test_frozen_critics_are_dead(pairs: Path, tmp_path: Path) -> None:
    run = train(tmp_path, pairs, 3, 12, fault=frozen)
    (said,) = run.verdicts()
    assert (said.name, said.step) == (DEAD, 10)
    assert "norm of their gradient is 0" in said.sentence


@pytest.mark.parametrize("loss", ["LeastSquares", "Hinge"])
def test_critics_that_see_nothing_for_very_long_are_dead(
    loss: str, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(tmp_path, pairs, 3, 60, "--adversary.loss", f"gan.adversarial.{loss}")
    assert run.names() == set(), "they have only begun"
    monkeypatch.setattr(game, "BLIND", 25)
    monkeypatch.setattr(game, "PATIENCE", 24)
    assert run.names() == {DEAD}


def test_a_poisoned_batch_is_a_spike_of_feature_matching(pairs: Path, tmp_path: Path) -> None:
    def poison(_: Assembly, given: Sequence[Pair]) -> list[Pair]:
        return [replace(pair, source=torch.randn_like(pair.source)) for pair in given]

    run = train(tmp_path, pairs, 3, 22, *UNSHIFTED, fault=from_step(15, poison, 15))
    assert [(said.name, said.step, said.holds) for said in run.verdicts()] == [(SPIKE, 16, True), (SPIKE, 21, False)]


def test_weights_that_jump_are_a_spike_of_feature_matching(pairs: Path, tmp_path: Path) -> None:
    def jump(assembly: Assembly, given: Sequence[Pair]) -> Sequence[Pair]:
        for parameter in assembly.step.generator.parameters():
            parameter.detach().add_(torch.randn_like(parameter))
        return given

    run = train(tmp_path, pairs, 3, 20, *UNSHIFTED, fault=from_step(15, jump, 15))
    assert [(said.name, said.step) for said in run.verdicts()] == [(SPIKE, 16)]


def test_a_generator_that_does_not_learn_is_said_to_stand(pairs: Path, tmp_path: Path) -> None:
    run = train(tmp_path, pairs, 1, 41, *NO_LEARNING, fault=from_step(0, one_batch()))
    (said,) = run.verdicts()
    assert (said.name, said.step) == (STILL, 40)


@pytest.mark.parametrize("stage", [1, 3])
def test_a_rate_of_nothing_is_said_at_once(stage: int, pairs: Path, tmp_path: Path) -> None:
    run = train(tmp_path, pairs, stage, 12, "--optimiser.init_args.lr", "0")
    (said,) = run.verdicts()
    assert (said.name, said.step) == (STILL, 10)


def test_the_end_of_a_schedule_may_stand(pairs: Path, tmp_path: Path) -> None:
    words = ("--rate", "gan.schedule.ExponentialDecay", "--rate.init_args.gamma", "0.8")
    run = train(tmp_path, pairs, 1, 60, *words, fault=from_step(0, one_batch()))
    late = [e["values"]["loss/total"] for e in run.entries if e["kind"] == "train"][40:]
    assert abs(drift(np.array(late))[0]) < 1e-3, "it stands"
    assert run.names() == set()


def test_a_rate_a_thousand_times_too_high(pairs: Path, tmp_path: Path) -> None:
    run = train(tmp_path, pairs, 1, 60, "--optimiser.init_args.lr", "1.0", "--average", "0")
    assert run.names() == {FAST}


def test_critics_whose_scores_run_away_have_burst(pairs: Path, tmp_path: Path) -> None:
    run = train(tmp_path, pairs, 3, 40, "--adversary.optimiser.init_args.lr", "5", "--rhythm.validate", "1000")
    assert BURST in run.names()


def test_a_rate_that_leaps(pairs: Path, tmp_path: Path) -> None:
    def leap(assembly: Assembly, given: Sequence[Pair]) -> Sequence[Pair]:
        set_rate(assembly.state.optimiser, 1000.0)
        return given

    run = train(tmp_path, pairs, 1, 50, "--rhythm.validate", "1000", fault=from_step(35, leap))
    assert run.names() == {FAST}


@pytest.mark.parametrize("seed", ["0", "1"])
@pytest.mark.parametrize("stage", [1, 3])
def test_nothing_is_said_of_a_healthy_run(stage: int, seed: str, pairs: Path, tmp_path: Path) -> None:
    run = train(tmp_path, pairs, stage, 100 if stage == 1 else 60, "--data.semitones", "null", "--seed", seed)
    assert run.verdicts() == []


def test_a_run_that_goes_on_hears_the_same(pairs: Path, tmp_path: Path) -> None:
    run = train(tmp_path, pairs, 3, 80, "--adversary.optimiser.init_args.lr", "0")
    straight = run.verdicts()
    assert [said.step for said in straight] == [20, 20 + AGAIN], "it is said again, and rarely"
    for known in range(0, len(run.entries), 7):
        last = run.entries[known - 1]["step"] if known else 0
        assert run.verdicts(known) == [said for said in straight if said.step > last]


def test_what_guessing_costs() -> None:
    assert guessing(LeastSquares()) == pytest.approx((0.5, 0.25))
    assert guessing(Hinge()) == pytest.approx((2.0, 0.0), abs=1e-6)


def test_verdicts_come_out(pairs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    idle = ("--adversary.optimiser.init_args.lr", "0", "--adversary.loss", "gan.adversarial.LeastSquares")
    run = train(tmp_path, pairs, 3, 24, *idle)
    (line,) = [e for e in run.entries if e["kind"] == "verdict"]
    (said,) = run.verdicts()
    assert (line["step"], line["values"], line["sentence"]) == (20, {DEAD: 1.0}, said.sentence)
    assert f"step 20: {said.sentence}" in capfd.readouterr().err
    board = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    board.Reload()
    assert board.Scalars(f"verdict/{DEAD}")[0].step == 20
    assert "verdict/text_summary" in board.Tags()["tensors"]
