"""The adversarial losses against Descript's and by hand; feature matching in both its forms."""

import warnings
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from discriminators.contract import Opinion
from features.torchaudio_extension import allow_torchaudio_without_extension
from gan.adversarial import AdversarialLoss, FeatureMatching, Hinge, LeastSquares

SHAPES = {"period": [(4, 2, 9), (4, 3, 7)], "bands": [(4, 2, 5, 5), (4, 2, 5, 4), (4, 2, 3, 3)], "scale": [(4, 8, 11)]}
GAMES = {"least squares": LeastSquares(), "hinge": Hinge()}
each = pytest.mark.parametrize("game", GAMES.values(), ids=GAMES.keys())


def opinions(seed: int) -> dict[str, Opinion]:
    """Three members with maps of different shapes; examples differ in level by 20 dB."""
    chance = torch.Generator().manual_seed(seed)
    levels = torch.tensor([1.0, 0.3, 0.2, 0.1], dtype=torch.float64)

    def some(*shape: int) -> Tensor:
        values = torch.randn(*shape, generator=chance, dtype=torch.float64)
        return values * levels.view(4, *[1] * (len(shape) - 1))

    return {
        name: Opinion(some(4, 1, 6 + len(shapes)), [some(*shape) for shape in shapes])
        for name, shapes in SHAPES.items()
    }


def part(panel: dict[str, Opinion], which: slice) -> dict[str, Opinion]:
    return {name: Opinion(one.score[which], [each[which] for each in one.features]) for name, one in panel.items()}


class Signal(SimpleNamespace):
    """Stands in for an AudioSignal, which their loss clones and detaches."""

    def clone(self) -> "Signal":
        return self

    def detach(self) -> "Signal":
        return self


@pytest.fixture
def descripts() -> nn.Module:
    """Their GANLoss around a discriminator that has its opinions ready."""
    allow_torchaudio_without_extension()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loss = pytest.importorskip("dac.nn.loss")

    def maps(panel: dict[str, Opinion]) -> list[list[Tensor]]:
        return [[*opinion.features, opinion.score] for opinion in panel.values()]

    return loss.GANLoss(maps)


def test_least_squares_and_plain_matching_equal_descripts(descripts: nn.Module) -> None:
    real, fake = opinions(0), opinions(1)
    game = LeastSquares()
    learn = sum(game.learn(real[name].score, fake[name].score) for name in real)
    judge = sum(game.judge(one.score) for one in fake.values())
    signals = Signal(audio_data=fake), Signal(audio_data=real)
    adversarial, matching = descripts.generator_loss(*signals)
    assert learn.item() == pytest.approx(descripts.discriminator_loss(*signals).item(), rel=1e-12)
    assert judge.item() == pytest.approx(adversarial.item(), rel=1e-12)
    assert FeatureMatching()(real, fake).item() == pytest.approx(matching.item(), rel=1e-12)


def test_least_squares_and_hinge_by_hand() -> None:
    real, fake = torch.tensor([[1.0, 3.0]]), torch.tensor([[-2.0, 0.5]])
    assert LeastSquares().learn(real, fake) == (0 + 4) / 2 + (4 + 0.25) / 2
    assert LeastSquares().judge(fake) == (9 + 0.25) / 2
    assert Hinge().learn(real, fake) == (0 + 0) / 2 + (0 + 1.5) / 2
    assert Hinge().learn(fake, real) == (3 + 0.5) / 2 + (2 + 4) / 2
    assert Hinge().judge(fake) == (2 - 0.5) / 2


@each
def test_learning_parts_scores_and_judging_joins_them(game: AdversarialLoss) -> None:
    real, fake = torch.zeros(2, 1, 4, requires_grad=True), torch.zeros(2, 1, 4, requires_grad=True)
    game.learn(real, fake).backward()
    assert (real.grad < 0).all()
    assert (fake.grad >= 0).all()
    fake.grad = None
    game.judge(fake).backward()
    assert (fake.grad < 0).all()


@each
def test_a_batch_costs_the_mean_of_its_parts(game: AdversarialLoss) -> None:
    real, fake = (panel["bands"].score for panel in (opinions(0), opinions(1)))
    halves = [slice(0, 2), slice(2, 4)]
    parts = sum(game.learn(real[half], fake[half]) for half in halves) / 2
    assert game.learn(real, fake).item() == pytest.approx(parts.item(), rel=1e-12)
    parts = sum(game.judge(fake[half]) for half in halves) / 2
    assert game.judge(fake).item() == pytest.approx(parts.item(), rel=1e-12)


@pytest.mark.parametrize("relative", [False, True])
def test_matching_a_batch_costs_the_mean_of_its_parts(relative: bool) -> None:
    match = FeatureMatching(relative)
    real, fake = opinions(0), opinions(1)
    parts = [match(part(real, half), part(fake, half)) for half in (slice(0, 2), slice(2, 4))]
    assert match(real, fake).item() == pytest.approx(sum(parts).item() / 2, rel=1e-12)


def test_relative_matching_is_encodecs_for_one_example() -> None:
    real, fake = part(opinions(0), slice(0, 1)), part(opinions(1), slice(0, 1))
    members = []
    for name in real:
        pairs = zip(real[name].features, fake[name].features, strict=True)
        members.append(sum((one - two).abs().mean() / one.abs().mean() for one, two in pairs) / len(SHAPES[name]))
    expected = sum(members) / 3
    assert FeatureMatching(relative=True)(real, fake).item() == pytest.approx(expected.item(), rel=1e-12)


def test_relative_matching_forgets_the_level() -> None:
    real, fake = opinions(0), opinions(1)
    louder = [
        {name: Opinion(one.score, [100 * each for each in one.features]) for name, one in panel.items()}
        for panel in (real, fake)
    ]
    match = FeatureMatching(relative=True)
    assert match(*louder).item() == pytest.approx(match(real, fake).item(), rel=1e-12)


@pytest.mark.parametrize("relative", [False, True])
def test_matching_moves_the_fake_alone_and_leaves_scores(relative: bool) -> None:
    real, fake = opinions(0), opinions(1)
    for panel in (real, fake):
        for one in panel.values():
            for each in [one.score, *one.features]:
                each.requires_grad_()
    FeatureMatching(relative)(real, fake).backward()
    assert all(each.grad is None for one in real.values() for each in [one.score, *one.features])
    assert all(each.grad.any() for one in fake.values() for each in one.features)
    assert all(one.score.grad is None for one in fake.values())
    assert FeatureMatching(relative)(real, real) == 0


def test_matching_silent_maps_stays_finite() -> None:
    silent = {"one": Opinion(torch.zeros(2, 1, 3), [torch.zeros(2, 4, 5)])}
    loud = {"one": Opinion(torch.zeros(2, 1, 3), [torch.ones(2, 4, 5)])}
    assert torch.isfinite(FeatureMatching(relative=True)(silent, loud))


def test_opinions_that_do_not_match_are_refused() -> None:
    real, fake = opinions(0), opinions(1)
    fake["period"].features.pop()
    with pytest.raises(ValueError, match="shorter"):
        FeatureMatching()(real, fake)


@each
def test_half_precision_scores_are_averaged_in_single(game: AdversarialLoss) -> None:
    score = torch.full((1, 1, 60_000), 0.3, dtype=torch.bfloat16)
    assert game.judge(score).dtype == torch.float32
    assert game.learn(score, score).dtype == torch.float32
