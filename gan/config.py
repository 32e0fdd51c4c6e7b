"""Reads a recipe's configuration (gan/recipe.py) from one YAML file and dotted overrides.

The only file that knows jsonargparse. Parts (networks, losses, optimisers) are named by class path, and a part can be a
path to a YAML file of its own (`generator: models/restorer48.yaml`, relative to the file that names it).
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Any, cast

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace
from torch import nn

from gan.recipe import ConfigError, Recipe
from gan.wording import plain

SEEDS = 2**32  # so many, and each process still draws from a stream of its own


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
            ConfigError: a part does not take its arguments, or a number is out of its range.
        """
        try:
            built = self.parser.instantiate(self.values)
        except (ArgumentError, ValueError) as error:
            raise ConfigError(one_line(error)) from error
        except Exception as error:  # a constructor may raise anything at an argument that it does not expect
            raise ConfigError(f"{_constructor(error)} does not take its arguments: {one_line(error)}") from error
        recipe = Recipe(**{name: built[name] for name in Recipe.__dataclass_fields__})
        parts = {"generator": recipe.generator} | {f"terms.{name}": term for name, term in recipe.terms.items()}
        parts |= {"adversary.panel": recipe.adversary.panel} if recipe.adversary else {}
        for name, part in parts.items():
            if type(part).forward is nn.Module.forward:  # {} is a Module too
                raise ConfigError(f"{name} is a {type(part).__name__}, which does nothing: give it another class_path")
        return recipe

    def without_start(self) -> "Config":
        """Give the same without `initialise`: a run that goes on has weights, and its origin may be gone."""
        values = self.values.clone()
        values["initialise"] = None
        return Config(self.parser, values)

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
    except (ArgumentError, TypeError, ImportError, OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(plain(str(error))) from error
    values.pop("config", None)
    if not 0 <= values["seed"] < SEEDS:  # here, as it is the seed of all that is built
        raise ConfigError(f"seed must be from 0 up to, and less than, {SEEDS}, not {values['seed']}")
    return Config(parser, values)


def one_line(error: Exception) -> str:
    """Give what an exception of another's code says, on one line, with its kind where the words alone say little."""
    words = plain(str(error))
    return (
        words if isinstance(error, (ArgumentError, ValueError)) and words else f"{type(error).__name__} {words}".strip()
    )


def _constructor(error: Exception) -> str:
    """Name the class whose constructor an exception came from: the outermost, as parts are built from the inside."""
    trace = error.__traceback__
    while trace:
        frame = trace.tb_frame
        if frame.f_code.co_name == "__init__" and "self" in frame.f_locals:
            kind = type(frame.f_locals["self"])
            return f"{kind.__module__}.{kind.__qualname__}"
        trace = trace.tb_next
    return "a part"


def difference(old: str, new: str) -> list[str]:
    """Name the lines in which two dumped configurations differ, "-" for the old, "+" for the new."""
    lines = unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0)
    return [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]


def load_for_command(file: str, description: str | None) -> Config:
    """Read the recipe of a stage script from sys.argv; its default is the YAML file of the same name beside it."""
    return load(sys.argv[1:], Path(file).with_suffix(".yaml"), description)
