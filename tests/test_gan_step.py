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
from gan.weighing import Ramp, WeightError, check_weights, weigh
from generators.contract import Estimate, Pair


class Filter(nn.Module):
    """The smallest generator: one convolution, with a penalty and a fact."""

    sample_rate = 8000

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv1d(1, 1, 9, padding=4)

    def forward(self, pair: Pair) -> Estimate:
        output = self.layer(pair.source)
        return Estimate(output, pair.target, {"size": output.square().mean()}, {"level": output.detach().abs().mean()})


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
    step.critics.learn([(real, fake)])
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
    step.critics.learn([(real, first)])
    other.learn([(real, second)])
    assert not torch.equal(weights_of(step.critics.bare), weights_of(other.bare))


def test_the_critics_learn_to_tell_apart() -> None:
    step = make_step()
    assert step.critics
    time = torch.arange(400, dtype=torch.float64) / 8000
    real = torch.sin(2 * torch.pi * 500 * time).expand(4, 1, -1)
    fake = torch.sin(2 * torch.pi * 1500 * time).expand(4, 1, -1)
    step.critics.optimiser.param_groups[0]["lr"] = 1e-2
    losses = [float(step.critics.learn([(real, fake)])["loss/critics"]) for _ in range(60)]
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize("micro", [2, 4])
def test_accumulation_equals_one_batch(micro: int) -> None:
    whole, parts = make_step(), make_step()
    for number in range(3):
        batch = pairs_of(1, 4, seed=number)
        pieces = [Pair(*(x.chunk(micro)[i] for x in (batch[0].source, batch[0].target)), 8000) for i in range(micro)]
        said, said_in_parts = whole(batch, number), parts(pieces, number)
        assert {"loss/total", "loss/critics", "loss/stft", "fact/level", "norm/critics", "score/s/fake"} <= said.keys()
        assert said.keys() == said_in_parts.keys()
        for name in said:
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
    assert float(said["fact/level"]) > 0


def test_a_bad_gradient_stops_before_the_weights() -> None:
    step = make_step()
    assert step.critics
    before = weights_of(step.generator), weights_of(step.critics.bare)
    pair = pairs_of(1, 2)[0]
    pair.source[0, 0, 10] = float("nan")
    with pytest.raises(NonFiniteError, match="generator"):
        step([pair], 0)
    with pytest.raises(NonFiniteError, match="critics"):
        step.critics.learn([(pair.target, pair.source)])
    assert torch.equal(weights_of(step.generator), before[0])
    assert torch.equal(weights_of(step.critics.bare), before[1])


def test_the_generator_works_once_on_each_micro_batch() -> None:
    step = make_step()
    calls = []
    step.generator.register_forward_hook(lambda *_: calls.append(1))
    step(pairs_of(3, 2), 0)
    assert len(calls) == 3


def test_the_critics_judge_before_they_learn() -> None:
    step, pair = make_step(), pairs_of(1, 2)[0]
    assert step.critics
    judged = step.critics.judge(pair.target, step.generator(pair).output.detach())
    said = step([pair], 0)
    for name in ("adversarial", "feature_matching"):
        assert float(said[f"loss/{name}"]) == pytest.approx(float(judged[name]), rel=1e-12)


def test_verdicts_are_summed_over_the_members() -> None:
    step, pair = make_step(), pairs_of(1, 2)[0]
    assert step.critics
    said = step.critics.judge(pair.target, pair.source)["adversarial"].detach()
    scores = [opinion.score.detach() for opinion in step.critics.bare(pair.source).values()]
    assert len(scores) == 2
    assert float(said) == pytest.approx(sum(float((score - 1).square().mean()) for score in scores), rel=1e-9)


def test_the_critics_gradient_is_clipped() -> None:
    moved = []
    for clip in (1e-9, 100.0):
        critics = make_step().critics
        assert critics
        critics.optimiser = torch.optim.SGD(critics.bare.parameters(), lr=1.0)
        critics.clip = clip
        start = weights_of(critics.bare)
        pair = pairs_of(1, 2)[0]
        critics.learn([(pair.target, pair.source)])
        moved.append(float((weights_of(critics.bare) - start).norm()))
    assert moved[0] <= 1.01e-9 < moved[1]


def test_a_step_goes_up_the_ramp() -> None:
    step = make_step(weights=WEIGHTS | {"stft": Ramp(0.0, 4.0, 2)})
    for number, weight in enumerate((0.0, 2.0, 4.0, 4.0)):
        said = step(pairs_of(1, 2), number)
        expected = sum(w * float(said[f"loss/{n}"]) for n, w in (WEIGHTS | {"stft": weight}).items())
        assert float(said["loss/total"]) == pytest.approx(expected)


def test_critics_that_are_missed_are_an_error() -> None:
    step = make_step(critics=None)
    with pytest.raises(WeightError, match=r"nobody gives.*'adversarial'"):
        step(pairs_of(1, 2), 0)


def test_half_precision_ends_at_the_generator() -> None:
    seen: dict[str, torch.dtype] = {}
    step = make_step(precision=torch.bfloat16)
    assert step.critics
    step.generator.float()
    step.critics.bare.float()
    step.generator.layer.register_forward_hook(lambda _, __, output: seen.update(layer=output.dtype))
    step.critics.bare.register_forward_hook(lambda _, given, __: seen.update(critics=given[0].dtype))
    step.terms["waveform"].register_forward_hook(lambda _, given, __: seen.update(term=given[0].output.dtype))
    step.terms["stft"].float()
    (pair,) = pairs_of(1, 2)
    said = step([Pair(pair.source.float(), pair.target.float(), 8000)], 0)
    assert seen == {"layer": torch.bfloat16, "critics": torch.float32, "term": torch.float32}
    assert {said[name].dtype for name in ("loss/size", "fact/level", "loss/total")} == {torch.float32}


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
