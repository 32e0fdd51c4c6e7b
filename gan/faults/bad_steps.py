"""What a run does at a step whose gradients are bad, on all processes alike: it stops, skips or rolls back."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from accelerate import Accelerator
from tqdm import tqdm

from gan.checkpoint import State
from gan.critics import NonFiniteError
from gan.data.dataset import Share
from gan.faults.record import record
from gan.recipe import Recipe
from gan.step import BadStepError


class BadSteps:
    """Decides at bad steps; what it counts is in the state, and goes on with it.

    Args:
        recipe: says what to do.
        run: the run's folder.
        state: of the run; its `faults` are "in_a_row", bad steps since the last good one, "rolled", roll-backs so far,
            and "factor", what they have made of the learning rates.
        share: which examples this process takes.
        accelerator: of the run.
    """

    def __init__(self, recipe: Recipe, run: Path, state: State, share: Share, accelerator: Accelerator) -> None:
        self.rules, self.keep = recipe.bad_numbers, recipe.rhythm.keep
        self.run, self.state, self.share, self.accelerator = run, state, share, accelerator

    def factor(self) -> float:
        """Give what roll-backs have made of the learning rates."""
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
        if rules.do == "roll_back" and faults.get("rolled", 0) < rules.rolls:
            self._tell(f"{why}; back to the newest checkpoint with {rules.factor:g} of the learning rates, see {file}")
            return "roll_back"
        tried = {"stop": "", "skip": f", after {rules.skips} skipped in a row", "roll_back": ", after all roll-backs"}
        raise NonFiniteError(f"step {step}{tried[rules.do]}: {error}; {file} says what led to it") from error

    def rolled_back(self, before: Mapping[str, float]) -> None:
        """Take note of a roll-back.

        Args:
            before: the state's `faults` before it took up an older state.
        """
        factor = before.get("factor", 1.0) * self.rules.factor
        self.state.faults = {"rolled": before.get("rolled", 0) + 1, "factor": factor}

    def _tell(self, line: str) -> None:
        if self.accelerator.is_main_process:
            tqdm.write(f"unshift: {line}", file=sys.stderr)
