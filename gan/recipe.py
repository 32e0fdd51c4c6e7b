"""What a recipe says: frozen dataclasses that refuse numbers out of their range, each in one line."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from torch import nn
from torch.optim import Optimizer

from gan.adversarial import AdversarialLoss, FeatureMatching
from gan.schedule import Rate
from gan.weighing import Ramp

OptimiserFactory = Callable[[Iterable[nn.Parameter]], Optimizer]


SHORTEST = 0.001  # seconds: no audio's rate makes this less than a sample


class ConfigError(ValueError):
    """The configuration cannot be used; the message is one line that says what to do."""


def _at_least(least: float, owner: object, prefix: str, *names: str) -> None:
    for name in names:
        value = getattr(owner, name)
        if not (math.isfinite(value) and value >= least):
            raise ConfigError(f"{prefix}{name} must be a number from {least} up, not {value}")


def _positive(owner: object, prefix: str, *names: str) -> None:
    for name in names:
        if not getattr(owner, name) > 0:  # infinity may be: it clips nothing
            raise ConfigError(f"{prefix}{name} must be greater than 0, not {getattr(owner, name)}")


@dataclass(frozen=True)
class Data:
    """What is trained on.

    Attributes:
        pairs: folder that `unshift pairs` wrote.
        crop: length of a training example, seconds.
        batch: examples a step, over all processes and micro-batches together: a run gives the same weights on one
            process as on eight.
        accumulate: micro-batches a step; each process holds batch / (processes x accumulate) examples at once.
        workers: loader processes beside each training process.
        gain: every example is made louder or softer by up to so many dB, source and target alike.
        narrow: share of the examples whose source and target lose all above a frequency drawn from 4 kHz on.
        unshifted: share of the examples that are of unshifted pairs, below 1; null for as many as were made.
        semitones: which shifts to use; null for all.
    """

    pairs: str
    crop: float = 1.0
    batch: int = 32
    accumulate: int = 1
    workers: int = 4
    gain: float = 0.0
    narrow: float = 0.0
    unshifted: float | None = None
    semitones: list[float] | None = None

    def __post_init__(self) -> None:
        _at_least(1, self, "data.", "batch", "accumulate")
        _at_least(0, self, "data.", "workers", "gain")
        for name in ("narrow", "unshifted"):
            share = getattr(self, name)
            if share is not None and not 0 <= share < 1:
                raise ConfigError(f"data.{name} must be a share from 0 to below 1, not {share}")
        _at_least(SHORTEST, self, "data.", "crop")


@dataclass(frozen=True)
class Adversary:
    """The critics and when they take part.

    Attributes:
        panel: the discriminators, a module that gives named opinions.
        optimiser: of the critics.
        loss: the adversarial loss.
        matching: the feature matching loss.
        learn_from: first step (counted from 0) at which the critics learn.
        judge_from: first step at which the generator hears them; between the two they learn alone.
        learn_every: the critics learn at every so-many-th step.
        clip: largest norm of the critics' gradient.
        members: how many of the panel's members speak at a step, each drawn equally likely; null for all.
    """

    panel: nn.Module
    optimiser: OptimiserFactory
    loss: AdversarialLoss
    matching: FeatureMatching
    learn_from: int = 0
    judge_from: int = 0
    learn_every: int = 1
    clip: float = 100.0
    members: int | None = None

    def learns(self, step: int) -> bool:
        """Whether the critics learn at this step."""
        return step >= self.learn_from and (step - self.learn_from) % self.learn_every == 0

    def judges(self, step: int) -> bool:
        """Whether the generator hears the critics at this step."""
        return step >= self.judge_from


@dataclass(frozen=True)
class Initialise:
    """Where a new run's weights come from (going on with an old run needs nothing: start it again).

    Attributes:
        folder: a run, a checkpoint or a generator's folder; of a run the best checkpoint, of a checkpoint the average.
        parts: "generator", or some of its parts ("generator.encoder"; the rest starts fresh, and may be of another
            kind); "critics", and "critics_optimiser" for what their optimiser remembers (then folder is a run, a
            checkpoint or a model that has its critics with it).
        elsewhere: the folders of those parts that come from another one: `critics: voice48`.
    """

    folder: str
    parts: list[str] = field(default_factory=lambda: ["generator"])
    elsewhere: dict[str, str] = field(default_factory=dict)

    def folder_of(self, part: str) -> Path:
        """Say where a part comes from."""
        return Path(self.elsewhere.get(part, self.folder))


@dataclass(frozen=True)
class Rhythm:
    """How often the run speaks, listens and saves, in steps.

    Attributes:
        journal: between two lines of losses.
        validate: between two validations, a multiple of journal; the last step is always validated.
        save: between two checkpoints, a multiple of journal; the last step is always saved.
        keep: how many of the newest checkpoints stay (the best one stays besides).
        clips: validation clips, at most.
        clip_seconds: length of a validation clip at most, taken from the middle.
        listen: validation clips that go to TensorBoard and the samples folder as audio.
        patience: seconds that loading, a step, a validation or a save may take before standard error names the
            process, its step and what it does; 0 for never. Each of several processes tells of itself.
        give_up: end a process whose patience is over, with exit code 76, for a launcher to start anew.
    """

    journal: int = 50
    validate: int = 1000
    save: int = 1000
    keep: int = 2
    clips: int = 64
    clip_seconds: float = 6.0
    listen: int = 3
    patience: float = 600.0
    give_up: bool = False

    def __post_init__(self) -> None:
        _at_least(1, self, "rhythm.", "journal", "validate", "save", "keep", "clips")
        _at_least(0, self, "rhythm.", "listen", "patience")
        _at_least(SHORTEST, self, "rhythm.", "clip_seconds")
        # So that a validation and a checkpoint have a line of losses beside them. (A run that is stopped between two
        # lines saves there, too.)
        for name in ("validate", "save"):
            if getattr(self, name) % self.journal:
                raise ConfigError(
                    f"rhythm.{name} must be a multiple of rhythm.journal ({self.journal}), not {getattr(self, name)}"
                )


@dataclass(frozen=True)
class BadNumbers:
    """What to do at a gradient that is NaN, infinite or above a limit; the step is not taken in any case.

    Every time the run's folder gets faults/<step>.json, which `python -m gan.faults.replay` reproduces.

    Attributes:
        do: "stop" the run (exit code 3); "skip" the batch and go on; or "roll_back" to the newest checkpoint and go on
            from there with a lower learning rate.
        limit: a gradient's norm above it is bad, too (before it is clipped).
        skips: after so many bad steps in a row the run stops.
        rolls: after so many roll-backs the run stops.
        factor: on the learning rates, at each roll-back; faults/rolled.json keeps what they have become.
    """

    do: Literal["stop", "skip", "roll_back"] = "stop"
    limit: float = math.inf
    skips: int = 10
    rolls: int = 3
    factor: float = 0.5

    def __post_init__(self) -> None:
        _positive(self, "bad_numbers.", "limit")
        _at_least(0, self, "bad_numbers.", "skips", "rolls")
        if not 0 < self.factor < 1:
            raise ConfigError(f"bad_numbers.factor must be greater than 0 and less than 1, not {self.factor}")


@dataclass(frozen=True)
class Recipe:
    """One stage, whole.

    Attributes:
        folder: of the run, made if it is not there.
        steps: optimiser steps in all.
        data: what is trained on.
        generator: the network.
        optimiser: of the generator.
        terms: the losses on an estimate, by name.
        weights: of every loss, by name: the terms, the generator's penalties, and with an adversary "adversarial" and
            "feature_matching". A number, or a ramp: {first: 0, last: 0.1, steps: 5000}.
        rate: factor on the learning rates as a function of the step.
        adversary: the critics; null for none.
        initialise: where the weights come from; null for a fresh start.
        frozen: parts of the generator that do not learn, as prefixes of parameter names; a part frozen whole works as
            it will in use, without dropout.
        average: decay of the exponential moving average of the generator's weights; 0 for none.
        clip: largest norm of the generator's gradient.
        precision: of the generator's forward pass; losses and critics stay in fp32.
        tf32: TF32 matrix products on GPUs that have them.
        compile: torch.compile the generator (tens of seconds at the start).
        seed: of the weights and the data's order.
        rhythm: how often the run speaks, listens and saves.
        bad_numbers: what to do at a gradient that is NaN, infinite or too large.
    """

    folder: str
    steps: int
    data: Data
    generator: nn.Module
    optimiser: OptimiserFactory
    terms: dict[str, nn.Module]
    weights: dict[str, float | Ramp]
    rate: Rate
    adversary: Adversary | None = None
    initialise: Initialise | None = None
    frozen: list[str] = field(default_factory=list)
    average: float = 0.999
    clip: float = 1000.0
    precision: Literal["fp32", "bf16"] = "fp32"
    tf32: bool = True
    compile: bool = False
    seed: int = 0
    rhythm: Rhythm = field(default_factory=Rhythm)
    bad_numbers: BadNumbers = field(default_factory=BadNumbers)

    def __post_init__(self) -> None:
        _at_least(1, self, "", "steps")
        _positive(self, "", "clip")
        if not 0 <= self.average < 1:
            raise ConfigError(f"average must be from 0 (for none) up to, and less than, 1, not {self.average}")
        for name, weight in self.weights.items():
            if not all(map(math.isfinite, (weight.first, weight.last) if isinstance(weight, Ramp) else (weight,))):
                raise ConfigError(f"weights.{name} must be a number, or a ramp of numbers, not {weight}")
        # The parts that may be null are looked at here: the parser buries what they say themselves.
        if self.adversary:
            _at_least(1, self.adversary, "adversary.", "learn_every")
            _at_least(0, self.adversary, "adversary.", "learn_from", "judge_from")
            _positive(self.adversary, "adversary.", "clip")
            if self.adversary.members is not None:
                _at_least(1, self.adversary, "adversary.", "members")
        if self.initialise and not self.initialise.parts:
            raise ConfigError("initialise.parts names nothing: name generator, or leave initialise out")
        if self.initialise and (unknown := sorted(set(self.initialise.elsewhere) - set(self.initialise.parts))):
            raise ConfigError(
                f"initialise.elsewhere names {unknown[0]!r}, but initialise.parts does not: name it there"
            )
        _check_rate(self.rate, self.steps)


def _check_rate(rate: Rate, steps: int) -> None:
    for step in (0, steps - 1):
        try:
            factor = rate(step, steps)
        except ArithmeticError as error:
            raise ConfigError(f"the rate gives no factor at step {step}: {error}; look at its arguments") from error
        if not (math.isfinite(factor) and factor >= 0):
            raise ConfigError(f"the rate's factor at step {step} is {factor}: look at its arguments")
