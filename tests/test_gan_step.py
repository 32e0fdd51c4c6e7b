"""The step: gradients that never cross, accumulation that equals one batch, two verbs, and numbers that go bad."""

from collections.abc import Callable, Sequence
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
from gan.critics import Critics, NonFiniteError
from gan.losses import L1, STFTDistance
from gan.step import BadStepError, Step
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

    def backward(self, loss: Tensor, output: Tensor, gradient: Tensor | None) -> None:
        loss.backward(retain_graph=True)
        if gradient is not None:
            output.backward(gradient)

    def held_back(self, module: nn.Module, wait: bool) -> AbstractContextManager[None]:
        return nullcontext()

    def send(self, parameters: Sequence[nn.Parameter]) -> Callable[[], None]:
        return lambda: None


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


def test_critics_learn_from_the_fake() -> None:
    # A fake term without a gradient was one of the ways in which a seed's critics collapsed.
    ends = []
    for source in pairs_of(2, 1):
        step = make_step()
        assert step.critics
        step([Pair(source.source, torch.zeros_like(source.source), 8000)], 0)
        ends.append(weights_of(step.critics.panel))
    assert not torch.equal(*ends)


def test_the_critics_learn_to_tell_apart() -> None:
    step = make_step()
    assert step.critics
    time = torch.arange(400, dtype=torch.float64) / 8000
    real = torch.sin(2 * torch.pi * 500 * time).expand(4, 1, -1)
    fake = torch.sin(2 * torch.pi * 1500 * time).expand(4, 1, -1)
    step.critics.optimiser.param_groups[0]["lr"] = 1e-2
    step.optimiser.param_groups[0]["lr"] = 0.0
    losses = [float(step([Pair(fake, real, 8000)], number)["loss/critics"]) for number in range(60)]
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
    assert torch.allclose(weights_of(whole.critics.panel), weights_of(parts.critics.panel), rtol=1e-9, atol=1e-12)


def test_critics_learn_alone_then_judge() -> None:
    step = make_step(From(learn=1, judge=2))
    assert step.critics
    start = weights_of(step.critics.panel)
    said = [step(pairs_of(1, 2, seed=n), n) for n in range(1)]
    assert torch.equal(weights_of(step.critics.panel), start)
    said += [step(pairs_of(1, 2, seed=n), n) for n in (1, 2)]
    assert not torch.equal(weights_of(step.critics.panel), start)
    assert ["loss/critics" in s for s in said] == [False, True, True]
    assert ["loss/adversarial" in s for s in said] == [False, False, True]


def test_total_is_the_weighed_sum() -> None:
    said = make_step()(pairs_of(1, 2), 0)
    assert float(said["loss/total"]) == pytest.approx(sum(w * float(said[f"loss/{n}"]) for n, w in WEIGHTS.items()))
    assert float(said["fact/level"]) > 0


@pytest.mark.parametrize("where", ["source", "target"])
def test_a_bad_gradient_stops_before_any_weight(where: str) -> None:
    step, other = make_step(), make_step()
    assert step.critics
    before = weights_of(step.generator), weights_of(step.critics.panel)
    pair = pairs_of(1, 2)[0]
    getattr(pair, where)[0, 0, 10] = float("nan")
    with pytest.raises(NonFiniteError, match="generator"):
        step([pair], 0)
    assert torch.equal(weights_of(step.generator), before[0])
    assert torch.equal(weights_of(step.critics.panel), before[1])
    for one in (step, other):
        one(pairs_of(1, 2), 1)
    assert torch.equal(weights_of(step.generator), weights_of(other.generator)), "nothing of it is left"
    assert torch.equal(weights_of(step.critics.panel), weights_of(other.critics.panel))


def test_a_gradient_above_the_limit_is_bad_and_what_it_was_is_told() -> None:
    step, other = make_step(), make_step()
    said = other(pairs_of(1, 2), 0)
    norm = float(said["norm/critics"])
    step.limit = norm * 0.999
    before = weights_of(step.generator)
    with pytest.raises(BadStepError, match=r"critics.*above the limit") as caught:
        step(pairs_of(1, 2), 0)
    assert torch.equal(weights_of(step.generator), before)
    assert {name: float(x) for name, x in caught.value.said.items()} == {name: float(x) for name, x in said.items()}
    step.limit = norm
    step(pairs_of(1, 2), 0)
    assert torch.equal(weights_of(step.generator), weights_of(other.generator))


def test_what_is_read_of_the_norms_decides() -> None:
    """Another process's may be bad where this one's are good."""
    step = make_step(read=lambda norms: [float("inf")] * len(norms))
    with pytest.raises(BadStepError, match="generator's gradient is inf"):
        step(pairs_of(1, 2), 0)


def test_a_bad_gradient_of_the_critics_stops_the_generator_too() -> None:
    step = make_step()
    assert step.critics
    before = weights_of(step.generator)
    step.critics.panel.members["p2"].last.bias.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(NonFiniteError, match="critics"):
        step(pairs_of(1, 2), 0)
    assert torch.equal(weights_of(step.generator), before)


def test_the_generator_works_once_on_each_micro_batch() -> None:
    step = make_step()
    calls = []
    step.generator.register_forward_hook(lambda *_: calls.append(1))
    step(pairs_of(3, 2), 0)
    assert len(calls) == 3


def test_the_critics_judge_before_they_learn() -> None:
    step, pair = make_step(), pairs_of(1, 2)[0]
    assert step.critics
    judged = step.critics.hear(pair.target, step.generator(pair).output, 0, WEIGHTS, learns=False).losses
    said = step([pair], 0)
    for name in ("adversarial", "feature_matching"):
        assert float(said[f"loss/{name}"]) == pytest.approx(float(judged[name]), rel=1e-12)


def test_the_generator_follows_all_its_losses() -> None:
    """One step down the gradient of the plain sum of all losses."""
    step, pair = make_step(), pairs_of(1, 2)[0]
    assert step.critics
    step.optimiser = torch.optim.SGD(step.generator.parameters(), lr=1.0)
    step.clip = float("inf")
    twin = deepcopy(step.generator)
    panel = deepcopy(step.critics.panel)
    start = weights_of(step.generator)
    estimate = twin(pair)
    of_real, of_fake = panel(pair.target), panel(estimate.output)
    losses = {name: term(estimate) for name, term in step.terms.items()} | estimate.penalties
    losses["adversarial"] = torch.stack([LeastSquares().judge(o.score) for o in of_fake.values()]).sum()
    losses["feature_matching"] = FeatureMatching()(of_real, of_fake)
    weigh(losses, WEIGHTS).backward()
    wanted = torch.cat([parameter.grad.flatten() for parameter in twin.parameters()])
    step([pair], 0)
    assert (start - weights_of(step.generator) - wanted).abs().max() < 1e-10 * wanted.abs().max()


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
    step.critics.panel.float()
    step.generator.layer.register_forward_hook(lambda _, __, output: seen.update(layer=output.dtype))
    step.critics.panel.members["p2"].register_forward_hook(lambda _, given, __: seen.update(critics=given[0].dtype))
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
