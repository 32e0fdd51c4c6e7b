"""Losses by name times weights by name. A loss without a weight, or a weight without a loss, is an error."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


class WeightError(ValueError):
    """Losses and weights do not match by name; the message is one line that says which."""


@dataclass(frozen=True)
class Ramp:
    """A weight that goes in a straight line from `first` at step 0 to `last` at step `steps`, and stays there.

    RAVE warms up its KL term so (Caillon and Esling 2021).
    """

    first: float
    last: float
    steps: int

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise WeightError(f"a ramp of a weight takes one step at least, not {self.steps}")

    def at(self, step: int) -> float:
        """Give the weight at a step, counted from 0."""
        return self.first + (self.last - self.first) * min(1.0, step / self.steps)


Weights = Mapping[str, float | Ramp]


def weights_at(weights: Weights, step: int) -> dict[str, float]:
    """Give every weight at a step, counted from 0."""
    return {name: weight.at(step) if isinstance(weight, Ramp) else weight for name, weight in weights.items()}


def check_weights(weights: Iterable[str], terms: Iterable[str], adversarial: Iterable[str]) -> None:
    """Refuse, before training, weights that lack a term's name or an adversarial loss's.

    A weight that is left over may belong to a penalty of the generator, known at the first step: weigh looks then.

    Raises:
        WeightError: a name is missing, or stands on both sides.
    """
    terms, adversarial = set(terms), set(adversarial)
    if both := terms & adversarial:
        raise WeightError(f"the critics give the losses {sorted(both)} already: give the terms other names")
    if missing := (terms | adversarial) - set(weights):
        raise WeightError(f"no weight for the losses {sorted(missing)}: add them under weights")


def weigh(losses: Mapping[str, Tensor], weights: Mapping[str, float], silent: Iterable[str] = ()) -> Tensor:
    """Sum up the losses times their weights.

    Args:
        losses: scalars by name.
        weights: factors by name, see `weights_at`.
        silent: names that have a weight and say nothing at this step: critics that do not judge yet.

    Raises:
        WeightError: a loss without a weight, or a weight without a loss.
    """
    if extra := set(losses) - set(weights):
        raise WeightError(f"no weight for the losses {sorted(extra)}: add them under weights")
    if missing := set(weights) - set(losses) - set(silent):
        raise WeightError(f"weights for losses that nobody gives: {sorted(missing)}")
    return torch.stack([loss * weights[name] for name, loss in losses.items()]).sum()
