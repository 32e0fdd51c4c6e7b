"""What learns by other means than gradients learns once a step: from parts as from the whole, never from a bad one."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from test_gan_step import OneProcess
from torch import Tensor, nn

from gan.critics import NonFiniteError
from gan.losses import L1
from gan.step import Step
from generators.codec import Codec
from generators.contract import Pair
from generators.factorised import FactorisedVQ
from generators.residual_vq import ResidualVQ
from generators.som import SelfOrganisingMaps

Bottlenecks = Callable[[], nn.Module]
COMMON = {"dimension": 4, "codebooks": 2, "decay": 0.8}


def books(learning: str, **arguments: object) -> Bottlenecks:
    words = COMMON | {"entries": 8, "learning": learning, "revive": 0.0, "code_dimension": 3} | arguments
    return lambda: ResidualVQ(**words)  # type: ignore[arg-type]


def maps(learning: str) -> Bottlenecks:
    words = COMMON | {"grid": (2, 4), "learning": learning, "radius": 1.0, "shrinking": 5, "code_dimension": 3}
    return lambda: SelfOrganisingMaps(**words)  # type: ignore[arg-type]


class Encoder(nn.Conv1d):
    """Four samples a frame."""

    channels, dimension, frame, reach = 1, 4, 4, 0

    def __init__(self) -> None:
        super().__init__(1, 4, 4, stride=4)


class Decoder(nn.ConvTranspose1d):
    """And back."""

    channels, dimension, frame, reach = 1, 4, 4, 0

    def __init__(self) -> None:
        super().__init__(4, 1, 4, stride=4)


def make_step(bottleneck: Bottlenecks) -> Step:
    torch.manual_seed(0)
    codec = Codec(Encoder(), bottleneck(), Decoder(), 8000).double()
    weights = {"waveform": 1.0, "commitment": 0.25}
    if getattr(codec.bottleneck, "learning", "gradient") == "gradient":
        weights["codebook"] = 1.0
    optimiser = torch.optim.AdamW([p for p in codec.parameters() if p.requires_grad], lr=1e-2)
    return Step(codec, optimiser, {"waveform": L1()}, weights, OneProcess())


def batch(seed: int) -> Tensor:
    return torch.randn(6, 1, 100, generator=torch.Generator().manual_seed(seed)).double()


def take(step: Step, waves: Tensor, parts: int = 1) -> dict[str, Tensor]:
    torch.manual_seed(0)  # of k-means
    return step([Pair(part, part, 8000) for part in waves.chunk(parts)], 0)


def spoilt(waves: Tensor, example: int = -1) -> Tensor:
    bad = waves.clone()
    bad[example, 0, 50] = float("nan")
    return bad


def state(step: Step) -> dict[str, Tensor]:
    return deepcopy(step.generator.state_dict())


def assert_alike(one: Step, two: Step, within: float = 0.0) -> None:
    for name, x in one.generator.state_dict().items():
        torch.testing.assert_close(two.generator.state_dict()[name], x, rtol=0, atol=within, msg=name)


every = pytest.mark.parametrize(
    "bottleneck",
    [books("ema", kmeans=False), books("gradient", kmeans=False, revive=0.1), maps("ema"), maps("gradient")],
    ids=["books-ema", "books-gradient", "maps-ema", "maps-gradient"],
)


@every
def test_a_batch_in_parts_teaches_what_the_batch_in_one_does(bottleneck: Bottlenecks) -> None:
    whole, parts = make_step(bottleneck), make_step(bottleneck)
    for step in (whole, parts):
        take(step, batch(0))  # maps start from the first part of the first batch
    before = state(whole)
    for seed in (1, 2, 3):
        said, said_in_parts = take(whole, batch(seed)), take(parts, batch(seed), 3)
        for name, fact in said.items():
            assert float(said_in_parts[name]) == pytest.approx(float(fact), rel=1e-9), name
    assert_alike(whole, parts, within=1e-12)
    same = [name for name, x in state(whole).items() if torch.equal(x, before[name])]
    assert same in ([], [f"bottleneck.books.{number}.initted" for number in range(2)])


@every
@pytest.mark.parametrize("example", [0, -1])
def test_a_step_that_is_refused_teaches_nothing(bottleneck: Bottlenecks, example: int) -> None:
    step, spared = make_step(bottleneck), make_step(bottleneck)
    for one in (step, spared):
        take(one, batch(0), 3)
    before = state(step)
    with pytest.raises(NonFiniteError, match="generator"):
        take(step, spoilt(batch(1), example), 3)
    assert all(torch.equal(before[name], x) for name, x in state(step).items())
    for one in (step, spared):
        take(one, batch(2), 3)
    assert_alike(step, spared)


@pytest.mark.parametrize("bottleneck", [books("ema"), books("gradient"), maps("ema"), maps("gradient")])
def test_a_bad_first_batch_starts_nothing(bottleneck: Bottlenecks) -> None:
    step, spared = make_step(bottleneck), make_step(bottleneck)
    before = state(step)
    with pytest.raises(NonFiniteError):
        take(step, spoilt(batch(1)))
    assert all(torch.equal(before[name], x) for name, x in state(step).items())
    for one in (step, spared):
        take(one, batch(2))
    assert_alike(step, spared)
    start = "bottleneck.books.1.embed" if "bottleneck.books.1.embed" in before else "bottleneck.entries"
    assert (state(step)[start] - before[start]).abs().max() > 0.1


@pytest.mark.parametrize("bottleneck", [books("ema"), books("gradient", revive=0.1), maps("ema"), maps("gradient")])
def test_a_first_step_that_is_refused_late_takes_its_start_back(bottleneck: Bottlenecks) -> None:
    step, spared = make_step(bottleneck), make_step(bottleneck)
    with pytest.raises(NonFiniteError, match="generator"):
        take(step, spoilt(batch(1)), 3)  # the first part was good
    for one in (step, spared):
        take(one, batch(2), 3)
    assert_alike(step, spared)
    learned = state(step)
    with pytest.raises(NonFiniteError):
        take(step, spoilt(batch(3)), 3)
    assert all(torch.equal(learned[name], x) for name, x in state(step).items()), "what was learned from stays started"
    assert all(learned[f"bottleneck.{name}"] for name in ("books.0.initted",) if f"bottleneck.{name}" in learned)


@pytest.mark.parametrize(
    ("bottleneck", "frozen"),
    [(books("ema"), "enter"), (maps("ema"), "enter"), (books("ema"), ""), (lambda: FactorisedVQ(4, 2, 8, 3), "")],
)
def test_usage_stays_with_a_frozen_bottleneck(bottleneck: Bottlenecks, frozen: str) -> None:
    step = make_step(bottleneck)
    shares = lambda: [x for name, x in state(step).items() if name.startswith("usage")]  # noqa: E731
    fresh = shares()
    take(step, batch(0), 3)
    learned = shares()
    assert not any(torch.equal(x, y) for x, y in zip(fresh, learned, strict=True))
    for part in ("encoder", f"bottleneck.{frozen}".rstrip(".")):
        step.generator.get_submodule(part).eval().requires_grad_(False)
    take(step, batch(1), 3)
    assert all(torch.equal(x, y) for x, y in zip(learned, shares(), strict=True))


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")  # the compiler looks at all there is
@pytest.mark.parametrize("bottleneck", [books("ema", kmeans=False), maps("ema")], ids=["books", "maps"])
def test_a_compiled_codec_learns_alike(bottleneck: Bottlenecks) -> None:
    plain, compiled = make_step(bottleneck), make_step(bottleneck)
    compiled.generator.compile(backend="eager")
    for step in (plain, compiled):
        for seed in range(2):
            take(step, batch(seed), 3)
    assert_alike(plain, compiled, within=1e-12)
