"""What a run does at a step whose gradients are bad, on all processes alike: it stops, skips or rolls back.

A roll-back takes up a checkpoint that knows nothing of it: until the next one is saved, a stop or a kill would have the
run do it all again. So faults/rolled.json says what roll-backs have led to, {"rolled": 2, "factor": 0.25}.
"""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from tqdm import tqdm

from gan.checkpoint import State, whole_checkpoints
from gan.critics import NonFiniteError
from gan.data.loading import Share
from gan.faults.agreement import first_alone
from gan.faults.contents import check_count, check_numbers
from gan.faults.record import FAULTS, record
from gan.files import write_text
from gan.recipe import ConfigError, Recipe
from gan.step import BadStepError

T = TypeVar("T")


class BadSteps:
    """Decides at bad steps; what it counts is in the state, and goes on with it.

    Where faults/rolled.json tells of more roll-backs than the state, that counts; not in a folder without checkpoints,
    where it is of a run before.

    Args:
        recipe: says what to do.
        run: the run's folder.
        state: of the run; its `faults` are "in_a_row", bad steps since the last good one, "rolled", roll-backs so far,
            and "factor", what they have made of the learning rates.
        share: which examples this process takes.
        accelerator: of the run.

    Raises:
        ConfigError: faults/rolled.json is damaged.
    """

    def __init__(self, recipe: Recipe, run: Path, state: State, share: Share, accelerator: Accelerator) -> None:
        self.rules, self.keep = recipe.bad_numbers, recipe.rhythm.keep
        self.run, self.state, self.share, self.accelerator = run, state, share, accelerator
        self.file = run / FAULTS / "rolled.json"
        self.rolled = self._from_first(self._read)

    def factor(self) -> float:
        """Give what roll-backs have made of the learning rates."""
        if self.rolled.get("rolled", 0) > self.state.faults.get("rolled", 0):
            self.state.faults |= self.rolled
        return self.state.faults.get("factor", 1.0)

    def good(self) -> None:
        """Take note of a good step."""
        self.state.faults.pop("in_a_row", None)

    def meet(self, error: BadStepError, step: int, random: Mapping[str, Any]) -> Literal["skip", "roll_back"]:
        """Write down what led to a bad step, and decide; all processes decide the same.

        Args:
            error: what the step raised.
            step: counted from 0.
            random: this process's random state before the step.

        Returns:
            What to do, told on standard error.

        Raises:
            NonFiniteError: the run is to stop.
        """
        file = record(self.run, self.keep, error, step, random, self.state, self.share, self.accelerator)
        faults = self.state.faults
        faults["in_a_row"] = faults.get("in_a_row", 0) + 1
        why = f"step {step}: {str(error).split(':', maxsplit=1)[0]}"
        rules = self.rules
        if rules.do == "skip" and faults["in_a_row"] <= rules.skips:
            self._tell(f"{why}; skipped, see {file}")
            return "skip"
        tried = {"stop": "", "skip": f", after {rules.skips} skipped in a row", "roll_back": ", after all roll-backs"}
        if rules.do == "roll_back" and not self._from_first(lambda: bool(whole_checkpoints(self.run))):
            tried["roll_back"] = ", before the first checkpoint, so that there is none to roll back to"
        elif rules.do == "roll_back" and faults.get("rolled", 0) < rules.rolls:
            self._tell(f"{why}; back to the newest checkpoint with {rules.factor:g} of the learning rates, see {file}")
            return "roll_back"
        raise NonFiniteError(f"step {step}{tried[rules.do]}: {error}; {file} says what led to it") from error

    def rolled_back(self, before: Mapping[str, float]) -> None:
        """Take note of a roll-back, for good; every process has to call this.

        Args:
            before: the state's `faults` before it took up an older state.

        Raises:
            ConfigError: on every process, where it cannot be written.
        """
        factor = before.get("factor", 1.0) * self.rules.factor
        self.rolled = {"rolled": before.get("rolled", 0) + 1, "factor": factor}
        self.state.faults = dict(self.rolled)
        first_alone(self.accelerator, lambda: write_text(self.file, json.dumps(self.rolled) + "\n"))

    def _read(self) -> dict[str, float]:
        if not (self.file.exists() and whole_checkpoints(self.run)):
            return {}
        try:
            rolled = check_numbers("it", json.loads(self.file.read_text()))
            check_count("rolled", rolled["rolled"])
            return {"rolled": rolled["rolled"], "factor": rolled["factor"]}
        except (ArithmeticError, KeyError, RecursionError, ValueError) as error:
            raise ConfigError(
                f"{self.file} is damaged: remove it to go on with the learning rates of the newest checkpoint"
            ) from error

    def _from_first(self, look: Callable[[], T]) -> T:
        """Give all processes what the first one sees: a shared disk may show the others something older."""
        found = [first_alone(self.accelerator, look, (ConfigError, OSError))]
        broadcast_object_list(found)
        return cast(T, found[0])

    def _tell(self, line: str) -> None:
        if self.accelerator.is_main_process:
            tqdm.write(f"unshift: {line}", file=sys.stderr)
