"""A recipe's configuration: frozen dataclasses, read from one YAML file and dotted overrides.

The only file that knows jsonargparse. Parts (networks, losses, optimisers) are named by class path, and a part can be a
path to a YAML file of its own (`generator: models/restorer48.yaml`, relative to the file that names it).
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from difflib import unified_diff
from pathlib import Path
from typing import Any, Literal, cast

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace
from torch import nn
from torch.optim import Optimizer

from gan.adversarial import AdversarialLoss, FeatureMatching
from gan.schedule import Rate
from gan.weighing import Ramp

OptimiserFactory = Callable[[Iterable[nn.Parameter]], Optimizer]


class ConfigError(ValueError):
    """The configuration cannot be used; the message is one line that says what to do."""


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
        semitones: which shifts to use; null for all.
    """

    pairs: str
    crop: float = 1.0
    batch: int = 32
    accumulate: int = 1
    workers: int = 4
    gain: float = 0.0
    semitones: list[float] | None = None


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
    """

    panel: nn.Module
    optimiser: OptimiserFactory
    loss: AdversarialLoss
    matching: FeatureMatching
    learn_from: int = 0
    judge_from: int = 0
    learn_every: int = 1
    clip: float = 100.0

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
            kind); "critics" (then folder is a run or a checkpoint).
    """

    folder: str
    parts: list[str] = field(default_factory=lambda: ["generator"])


@dataclass(frozen=True)
class Rhythm:
    """How often the run speaks, listens and saves, in steps.

    Attributes:
        journal: between two lines of losses.
        validate: between two validations; the last step is always validated.
        save: between two checkpoints; the last step is always saved.
        keep: how many of the newest checkpoints stay (the best one stays besides).
        clips: validation clips, at most.
        clip_seconds: length of a validation clip at most, taken from the middle.
        listen: validation clips that go to TensorBoard and the samples folder as audio.
    """

    journal: int = 50
    validate: int = 1000
    save: int = 1000
    keep: int = 2
    clips: int = 64
    clip_seconds: float = 6.0
    listen: int = 3


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


@dataclass(frozen=True)
class Config:
    """A configuration that was checked and not built yet: networks are built after the processes have met."""

    parser: ArgumentParser
    values: Namespace

    def dump(self) -> str:
        """Give the resolved configuration as YAML, parts and defaults written out."""
        return cast(str, self.parser.dump(self.values))

    def build(self) -> Recipe:
        """Build every part. Seed the random state before: weights are drawn here.

        Raises:
            ConfigError: a part does not take its arguments.
        """
        try:
            built = self.parser.instantiate(self.values)
        except (ArgumentError, ValueError) as error:
            raise ConfigError(" ".join(str(error).split())) from error
        return Recipe(**{name: built[name] for name in Recipe.__dataclass_fields__})

    def part(self, name: str) -> dict[str, Any]:
        """Give the class path and the arguments of one part, as written."""
        values = yaml.safe_load(self.dump())[name]
        return {"class_path": values["class_path"], "init_args": values.get("init_args") or {}}


def load(arguments: Sequence[str], default: Path, description: str | None = None) -> Config:
    """Read a recipe from the command line: `--config FILE`, dotted overrides, `--print_config`, `--help`.

    Args:
        arguments: the command line after the program's name.
        default: the YAML file that is read where no --config is given.
        description: for --help.

    Raises:
        ConfigError: an unknown key, a wrong type, a class that cannot be imported, a second --config, no such file.
    """
    arguments = list(arguments)
    named = [a for a in arguments if a == "--config" or a.startswith("--config=")]
    if len(named) > 1:
        raise ConfigError("one --config at most: a second file would drop loss terms of the first in silence")
    if not named:
        arguments = ["--config", str(default), *arguments]
    parser = ArgumentParser(description=description, exit_on_error=False)
    parser.add_argument("--config", action="config", help="the stage's YAML file")
    parser.add_class_arguments(Recipe, sub_configs=True, fail_untyped=True)
    try:
        values = parser.parse_args(arguments)
    except (ArgumentError, TypeError, ImportError, OSError, yaml.YAMLError) as error:
        raise ConfigError(" ".join(str(error).split())) from error
    values.pop("config", None)
    return Config(parser, values)


def difference(old: str, new: str) -> list[str]:
    """Name the lines in which two dumped configurations differ, "-" for the old, "+" for the new."""
    lines = unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0)
    return [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]


def load_for_command(file: str, description: str | None) -> Config:
    """Read the recipe of a stage script from sys.argv; its default is the YAML file of the same name beside it."""
    return load(sys.argv[1:], Path(file).with_suffix(".yaml"), description)
