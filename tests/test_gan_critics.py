"""The critics: one hearing gives the gradients that the plain form gives, and drawn members speak for all."""

import weakref
from collections.abc import Callable, Sequence
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from discriminators.contract import Opinion
from discriminators.ensemble import Ensemble
from discriminators.period import Period
from discriminators.scale import WaveformScale
from discriminators.spectrogram import MultiBandSpectrogram
from gan.adversarial import AdversarialLoss, FeatureMatching, Hinge, LeastSquares
from gan.critics import Critics, NonFiniteError, frozen, refuse_non_finite

WEIGHTS = {"adversarial": 1.3, "feature_matching": 2.0}


class OneProcess:
    """Gradients that stay where they are."""

    def send(self, parameters: Sequence[nn.Parameter]) -> Callable[[], None]:
        assert all(parameter.grad is not None for parameter in parameters)
        return lambda: None


class Doubling:
    """Gradients that come back from elsewhere, doubled, once they are waited for."""

    def __init__(self) -> None:
        self.sent, self.waited = 0, 0

    def send(self, parameters: Sequence[nn.Parameter]) -> Callable[[], None]:
        self.sent += 1

        def wait() -> None:
            self.waited += 1
            for parameter in parameters:
                parameter.grad.mul_(2)

        return wait


def make(loss: AdversarialLoss | None = None, relative: bool = False, members: int | None = None) -> Critics:
    torch.manual_seed(0)
    panel = Ensemble(
        {
            "p2": Period(2, channels=2),
            "p3": Period(3, channels=2, weight_norm=False),
            "s": MultiBandSpectrogram(64, channels=2),
            "w": WaveformScale(2, channels=2),
        }
    ).double()
    optimiser = torch.optim.SGD(panel.parameters(), lr=1.0)
    return Critics(panel, optimiser, loss or LeastSquares(), FeatureMatching(relative), 1e9, OneProcess(), members)


def waves(seed: int = 1, batch: int = 3) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    real, fake = torch.randn(2, batch, 1, 400, generator=draw, dtype=torch.float64)
    return real, fake


def gradients(panel: nn.Module) -> Tensor:
    return torch.cat(
        [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in panel.parameters()]
    )


def plain(critics: Critics, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Do it as papers write it, with a forward of the whole panel for everything: the fake's gradient, the weights'."""
    panel = critics.panel
    panel.zero_grad()
    fake = fake.detach().requires_grad_()
    of_real, of_fake = panel(real), panel(fake)
    losses = {
        "adversarial": torch.stack([critics.loss.judge(opinion.score) for opinion in of_fake.values()]).sum(),
        "feature_matching": critics.matching(of_real, of_fake),
    }
    sum(WEIGHTS[name] * loss for name, loss in losses.items()).backward()
    panel.zero_grad()
    of_real, of_fake = panel(real), panel(fake.detach())
    sum(critics.loss.learn(of_real[name].score, of_fake[name].score) for name in of_real).backward()
    learned = gradients(panel)
    panel.zero_grad()
    return fake.grad, learned, losses


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("loss", [LeastSquares(), Hinge()])
def test_one_hearing_is_the_plain_form(loss: AdversarialLoss, relative: bool) -> None:
    critics = make(loss, relative)
    real, fake = waves()
    judged, learned, losses = plain(critics, real, fake)
    both = critics.hear(real, fake, 0, WEIGHTS, learns=True)
    assert both.gradient is not None
    assert (both.gradient - judged).abs().max() < 1e-10 * judged.abs().max()
    assert (gradients(critics.panel) - learned).abs().max() < 1e-10 * learned.abs().max()
    for name, loss_ in losses.items():
        assert float(both.losses[name]) == pytest.approx(float(loss_.detach()), rel=1e-12)
    critics.forget()
    only_judged = critics.hear(real, fake, 0, WEIGHTS, learns=False)
    assert torch.allclose(only_judged.gradient, judged, rtol=0, atol=1e-10 * float(judged.abs().max()))
    assert all(parameter.grad is None for parameter in critics.panel.parameters())
    assert all(parameter.requires_grad for parameter in critics.panel.parameters())
    only_learned = critics.hear(real, fake, 0, None, learns=True)
    assert (only_learned.gradient, only_learned.losses) == (None, {})
    assert (gradients(critics.panel) - learned).abs().max() < 1e-10 * learned.abs().max()


def test_each_member_hears_either_side_once() -> None:
    critics = make()
    calls = []
    for member in critics.panel.members.values():
        member.register_forward_hook(lambda *_: calls.append(1))
    critics.hear(*waves(), 0, WEIGHTS, learns=True)
    assert len(calls) == 2 * 4


def test_gradients_never_cross() -> None:
    critics = make()
    real, fake = waves()
    source = fake.clone().requires_grad_()
    verdict = critics.hear(real, 2 * source, 0, WEIGHTS, learns=True)
    assert source.grad is None
    assert not any(x.requires_grad for x in (*verdict.losses.values(), *verdict.facts.values(), verdict.gradient))


def test_a_batch_in_parts_is_the_batch() -> None:
    whole, parts = make(), make()
    real, fake = waves(batch=4)
    whole.hear(real, fake, 0, None, learns=True)
    for part in (1, 2):
        half = slice(2 * part - 2, 2 * part)
        parts.hear(real[half], fake[half], 0, None, learns=True, part=part, parts=2)
    assert torch.allclose(gradients(whole.panel), gradients(parts.panel), rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("relative", [False, True])
def test_drawn_members_speak_for_all(relative: bool) -> None:
    """Every member is drawn as often as any other, and the mean of what the generator is told is the whole panel's."""
    critics = make(relative=relative, members=1)
    real, fake = waves()
    judged, learned, losses = plain(critics, real, fake)
    drawn = [critics._drawn(step)[0] for step in range(4000)]
    told = []
    for name in critics.panel.members:
        assert drawn.count(name) == pytest.approx(1000, abs=150)
        verdict = critics.hear(real, fake, drawn.index(name), WEIGHTS, learns=True)
        told.append((verdict.gradient, verdict.losses["adversarial"]))
    mean = torch.stack([gradient for gradient, _ in told]).mean(dim=0)
    assert (mean - judged).abs().max() < 1e-10 * judged.abs().max()
    assert float(sum(loss for _, loss in told)) / 4 == pytest.approx(float(losses["adversarial"].detach()), rel=1e-12)
    assert (gradients(critics.panel) - learned).abs().max() < 1e-10 * learned.abs().max(), "their own loss is their own"


def test_members_that_are_not_drawn_stand_still() -> None:
    critics = make(members=2)
    before = deepcopy(critics.panel.state_dict())
    critics.hear(*waves(), 5, None, learns=True)
    assert torch.isfinite(critics.norm())
    critics.learn()
    after = critics.panel.state_dict()
    moved = {name.split(".")[1] for name in after if not after[name].equal(before[name])}
    assert moved == set(critics._drawn(5))
    assert len(moved) == 2
    assert critics._drawn(5) == make(members=2)._drawn(5), "the draw is a function of the step"
    assert make(members=9)._drawn(5) == ["p2", "p3", "s", "w"]


def test_learning_goes_down_and_forgetting_does_not() -> None:
    critics = make()
    real, fake = waves()
    critics.optimiser.param_groups[0]["lr"] = 1e-3
    start = parameters_to_vector(critics.panel.parameters())
    first = critics.hear(real, fake, 0, None, learns=True).facts["loss/critics"]
    critics.forget()
    assert parameters_to_vector(critics.panel.parameters()).equal(start)
    critics.hear(real, fake, 0, None, learns=True)
    critics.norm()
    critics.learn()
    assert critics.hear(real, fake, 0, None, learns=False).facts == {}
    assert critics.hear(real, fake, 1, None, learns=True).facts["loss/critics"] < first


def test_the_gradient_is_clipped() -> None:
    critics = make()
    critics.clip = 1e-9
    start = parameters_to_vector(critics.panel.parameters()).detach()
    critics.hear(*waves(), 0, None, learns=True)
    assert critics.norm() > 1e-3
    critics.learn()
    assert 0 < (parameters_to_vector(critics.panel.parameters()) - start).norm() < 1.01e-9


def test_norms_that_are_none() -> None:
    good, bad = torch.ones(()), torch.full((), float("inf"))
    refuse_non_finite({"generator": good, "critics": good})
    with pytest.raises(NonFiniteError, match=r"critics.* gradient is inf"):
        refuse_non_finite({"generator": good, "critics": bad})
    with pytest.raises(NonFiniteError, match=r"generator.* gradient is nan"):
        refuse_non_finite({"generator": bad - bad})


def test_frozen_gives_back_what_it_took() -> None:
    layer = nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    with frozen(layer):
        assert not any(p.requires_grad for p in layer.parameters())
    assert layer.weight.requires_grad
    assert not layer.bias.requires_grad


def test_gradients_are_sent_with_the_last_part_and_waited_for() -> None:
    critics, alone = make(), make()
    wires = critics.gradients = Doubling()
    real, fake = waves(batch=4)
    for part in (1, 2):
        half = slice(2 * part - 2, 2 * part)
        for one in (critics, alone):
            one.hear(real[half], fake[half], 0, None, learns=True, part=part, parts=2)
        assert (wires.sent, wires.waited) == (4 * (part - 1), 0)
    assert critics.norm() == 2 * alone.norm()
    assert wires.waited == 4
    critics.hear(real, fake, 1, None, learns=True)
    critics.forget()
    critics.norm()
    assert wires.waited == 4, "what was forgotten is not waited for"


def test_a_members_maps_are_gone_before_the_next_one_hears() -> None:
    critics = make()
    alive: list[weakref.ref[Tensor]] = []

    def look(*_: object) -> None:
        assert not [map_ for map_ in alive if map_() is not None]

    def keep(_: nn.Module, __: object, opinion: Opinion) -> None:
        alive.extend(weakref.ref(map_) for map_ in opinion.features)

    first, *_, last = critics.panel.members.values()
    first.register_forward_hook(keep)
    last.register_forward_pre_hook(look)
    for weights, learns in ((WEIGHTS, True), (WEIGHTS, False), (None, True)):
        critics.hear(*waves(), 0, weights, learns)
        assert alive
        alive.clear()


def test_no_graph_that_nobody_needs() -> None:
    critics = make()
    heard: list[tuple[bool, bool, bool]] = []

    def note(member: nn.Module, _: object, opinion: Opinion) -> None:
        weights = any(parameter.requires_grad for parameter in member.parameters())
        heard.append((opinion.score.requires_grad, weights, torch.is_grad_enabled()))

    critics.panel.members["p3"].register_forward_hook(note)
    critics.hear(*waves(), 0, WEIGHTS, learns=False)
    assert heard == [(False, False, False), (True, False, True)], "judging alone: of the fake, with weights that rest"
    heard.clear()
    critics.hear(*waves(), 0, None, learns=True)
    assert heard == [(True, True, True)] * 2


def test_weights_are_computed_once() -> None:
    critics = make()
    computed = []
    norm = critics.panel.members["p2"].layers[0].parametrizations.weight[0]
    norm.register_forward_hook(lambda *_: computed.append(1))
    critics.hear(*waves(), 0, WEIGHTS, learns=True)
    assert len(computed) == 1


def test_a_frozen_member_judges_and_does_not_learn() -> None:
    critics = make()
    member = critics.panel.members["s"].requires_grad_(False)
    verdict = critics.hear(*waves(), 0, WEIGHTS, learns=True)
    assert verdict.gradient is not None
    assert all(parameter.grad is None for parameter in member.parameters())
    assert "score/s/real" in verdict.facts


def test_the_draw_follows_the_seed() -> None:
    draws = []
    for seed in (0, 1):
        critics = make(members=1)
        critics.seed = seed
        draws.append([critics._drawn(step)[0] for step in range(20)])
    assert draws[0] != draws[1]
