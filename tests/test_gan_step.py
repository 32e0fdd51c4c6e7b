"""The step: gradients that never cross, accumulation that equals one batch, two verbs, and numbers that go bad."""

from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from discriminators.ensemble import Ensemble
from discriminators.period import Period
from discriminators.spectrogram import MultiBandSpectrogram
from gan.adversarial import FeatureMatching, LeastSquares
from gan.critics import Critics, NonFiniteError, frozen
from gan.losses import L1, STFTDistance
from gan.step import Step
from gan.weighing import WeightError, check_weights, weigh
from generators.contract import Estimate, Pair


class Filter(nn.Module):
    """The smallest generator: one convolution, with a penalty and a fact."""

    sample_rate = 8000

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv1d(1, 1, 9, padding=4)

    def forward(self, pair: Pair) -> Estimate:
        output = self.layer(pair.source)
        return Estimate(output, pair.target, {"size": output.square().mean()}, {"peak": output.detach().abs().max()})


class OneProcess:
    """Gradients that stay where they are."""

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def held_back(self, module: nn.Module, wait: bool) -> AbstractContextManager[None]:
        return nullcontext()


@dataclass
class From:
    learn: int = 0
    judge: int = 0

    def learns(self, step: int) -> bool:
        return step >= self.learn

    def judges(self, step: int) -> bool:
        return step >= self.judge


WEIGHTS = {"waveform": 10.0, "stft": 1.0, "size": 0.1, "adversarial": 1.0, "feature_matching": 2.0}


def make_step(timetable: From | None = None, seed: int = 0, **changes: object) -> Step:
    torch.manual_seed(seed)
    generator = Filter().double()
    panel = Ensemble({"p2": Period(2, channels=2), "s": MultiBandSpectrogram(64, channels=2)}).double()
    optimiser = torch.optim.AdamW(panel.parameters(), lr=1e-3)
    critics = Critics(panel, optimiser, LeastSquares(), FeatureMatching(), 100.0, OneProcess())
    step = Step(
        generator,
        torch.optim.AdamW(generator.parameters(), lr=1e-3),
        {"waveform": L1(), "stft": STFTDistance((64,), (16,), (64,)).double()},
        WEIGHTS,
        OneProcess(),
        critics,
        timetable or From(),
    )
    for name, value in changes.items():
        setattr(step, name, value)
    return step


def pairs_of(count: int, each: int, seed: int = 1) -> list[Pair]:
    draw = torch.Generator().manual_seed(seed)
    waves = torch.randn(2, count * each, 1, 400, generator=draw, dtype=torch.float64)
    return [Pair(waves[0, i * each : (i + 1) * each], waves[1, i * each : (i + 1) * each], 8000) for i in range(count)]


def weights_of(module: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten().clone() for p in module.parameters()])


def test_learning_leaves_the_generator_alone_and_judging_leaves_the_critics_alone() -> None:
    step = make_step()
    assert step.critics
    real = pairs_of(1, 2)[0].target
    fake = step.generator.layer(real)
    step.critics.learn([(real, fake)], 1)
    assert all(p.grad is None for p in step.generator.parameters())
    losses = step.critics.judge(real, fake)
    (losses["adversarial"] + losses["feature_matching"]).backward()
    assert all(p.grad is None for p in step.critics.bare.parameters())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in step.generator.parameters())
    assert all(p.requires_grad for p in step.critics.bare.parameters())


def test_critics_learn_from_the_fake() -> None:
    # A fake term without a gradient was one of the ways in which a seed's critics collapsed.
    step = make_step()
    assert step.critics
    real = torch.zeros(1, 1, 400, dtype=torch.float64)
    other = deepcopy(step.critics)
    draw = torch.Generator().manual_seed(5)
    first, second = torch.randn(2, 1, 1, 400, generator=draw, dtype=torch.float64)
    step.critics.learn([(real, first)], 1)
    other.learn([(real, second)], 1)
    assert not torch.equal(weights_of(step.critics.bare), weights_of(other.bare))


def test_the_critics_learn_to_tell_apart() -> None:
    step = make_step()
    assert step.critics
    time = torch.arange(400, dtype=torch.float64) / 8000
    real = torch.sin(2 * torch.pi * 500 * time).expand(4, 1, -1)
    fake = torch.sin(2 * torch.pi * 1500 * time).expand(4, 1, -1)
    step.critics.optimiser.param_groups[0]["lr"] = 1e-2
    losses = [float(step.critics.learn([(real, fake)], 1)["loss/critics"]) for _ in range(60)]
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize("micro", [2, 4])
def test_accumulation_equals_one_batch(micro: int) -> None:
    whole, parts = make_step(), make_step()
    for number in range(3):
        batch = pairs_of(1, 4, seed=number)
        pieces = [Pair(*(x.chunk(micro)[i] for x in (batch[0].source, batch[0].target)), 8000) for i in range(micro)]
        said, said_in_parts = whole(batch, number), parts(pieces, number)
        for name in ("loss/total", "loss/critics", "norm/generator", "norm/critics"):
            assert float(said[name]) == pytest.approx(float(said_in_parts[name]), rel=1e-9), name
    assert torch.allclose(weights_of(whole.generator), weights_of(parts.generator), rtol=1e-9, atol=1e-12)
    assert whole.critics and parts.critics
    assert torch.allclose(weights_of(whole.critics.bare), weights_of(parts.critics.bare), rtol=1e-9, atol=1e-12)


def test_critics_learn_alone_then_judge() -> None:
    step = make_step(From(learn=1, judge=2))
    assert step.critics
    start = weights_of(step.critics.bare)
    said = [step(pairs_of(1, 2, seed=n), n) for n in range(1)]
    assert torch.equal(weights_of(step.critics.bare), start)
    said += [step(pairs_of(1, 2, seed=n), n) for n in (1, 2)]
    assert not torch.equal(weights_of(step.critics.bare), start)
    assert ["loss/critics" in s for s in said] == [False, True, True]
    assert ["loss/adversarial" in s for s in said] == [False, False, True]


def test_total_is_the_weighed_sum() -> None:
    said = make_step()(pairs_of(1, 2), 0)
    assert float(said["loss/total"]) == pytest.approx(sum(w * float(said[f"loss/{n}"]) for n, w in WEIGHTS.items()))
    assert float(said["fact/peak"]) > 0


def test_a_bad_gradient_stops_before_the_weights() -> None:
    step = make_step()
    assert step.critics
    before, critics_before = weights_of(step.generator), weights_of(step.critics.bare)
    pair = pairs_of(1, 2)[0]
    pair.source[0, 0, 10] = float("nan")
    with pytest.raises(NonFiniteError, match="critics"):
        step([pair], 0)
    step.critics = None
    step.weights = {name: WEIGHTS[name] for name in ("waveform", "stft", "size")}
    with pytest.raises(NonFiniteError, match="generator"):
        step([pair], 0)
    assert torch.equal(weights_of(step.generator), before)
    assert not torch.isnan(critics_before).any()


def test_the_gradient_is_clipped() -> None:
    loose, tight = make_step(), make_step(clip=1e-9)
    for step in (loose, tight):
        step.optimiser = torch.optim.SGD(step.generator.parameters(), lr=1.0)
    start = weights_of(loose.generator)
    loose(pairs_of(1, 2), 0)
    tight(pairs_of(1, 2), 0)
    assert (weights_of(tight.generator) - start).norm() <= 1.01e-9 < (weights_of(loose.generator) - start).norm()


def test_a_loss_without_a_weight_and_a_weight_without_a_loss_are_errors() -> None:
    one = torch.ones(())
    assert float(weigh({"a": one, "b": one}, {"a": 2.0, "b": 0.5})) == 2.5
    with pytest.raises(WeightError, match=r"no weight.*'b'"):
        weigh({"a": one, "b": one}, {"a": 1.0})
    with pytest.raises(WeightError, match=r"nobody gives.*'b'"):
        weigh({"a": one}, {"a": 1.0, "b": 1.0})
    assert float(weigh({"a": one}, {"a": 1.0, "b": 1.0}, silent=("b",))) == 1.0
    with pytest.raises(WeightError, match="'adversarial'"):
        check_weights({"mel": 1.0}, ["mel"], ["adversarial"])


def test_frozen_gives_back_what_it_took() -> None:
    layer = nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    with frozen(layer):
        assert not any(p.requires_grad for p in layer.parameters())
    assert layer.weight.requires_grad
    assert not layer.bias.requires_grad
