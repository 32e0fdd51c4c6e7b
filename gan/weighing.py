"""Losses by name times weights by name. A loss without a weight, or a weight without a loss, is an error."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor


class WeightError(ValueError):
    """Losses and weights do not match by name; the message is one line that says which."""


def check_weights(weights: Mapping[str, float], terms: Iterable[str], adversarial: Iterable[str]) -> None:
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
        weights: factors by name.
        silent: names that have a weight and say nothing at this step: critics that do not judge yet.

    Raises:
        WeightError: a loss without a weight, or a weight without a loss.
    """
    if extra := set(losses) - set(weights):
        raise WeightError(f"no weight for the losses {sorted(extra)}: add them under weights")
    if missing := set(weights) - set(losses) - set(silent):
        raise WeightError(f"weights for losses that nobody gives: {sorted(missing)}")
    return torch.stack([loss * weights[name] for name, loss in losses.items()]).sum()
