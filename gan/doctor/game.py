"""Looks at the critics: have they won, are they dead, does feature matching leap?

Nothing here knows a loss's targets: the loss itself is asked what critics pay that guess.
"""

import math
from collections.abc import Mapping
from typing import cast

import numpy as np
import torch

from discriminators.contract import Panel
from gan.adversarial import AdversarialLoss
from gan.critics import ADVERSARIAL, FEATURE_MATCHING
from gan.doctor.lines import LONG, SEVERAL, Lines, drift
from gan.recipe import Adversary

# So long may critics that learn see no difference: at their start all fakes are alike to them, and some are very good.
BLIND = 60  # lines
PATIENCE = 1000  # steps
GAP = "gap"


class Game:
    """Watches one game between a generator and its critics.

    Args:
        lines: of the run.
        adversary: of the recipe.
    """

    def __init__(self, lines: Lines, adversary: Adversary) -> None:
        self.lines, self.loss = lines, adversary.loss
        whole = len(cast(Panel, adversary.panel).members)
        guess, told = guessing(adversary.loss)
        self.guess = guess
        self.paid_for_guessing = guess * min(adversary.members or whole, whole)
        self.told_for_guessing = told * whole
        self.steepest = 0.0

    def gap(self, values: Mapping[str, float]) -> dict[str, float]:
        """Give what the best member of a line saves by telling real from fake, over what guessing costs."""
        self.steepest = max(self.steepest, values.get("norm/critics", 0.0))
        saved = []
        for name, real in values.items():
            if name.startswith("score/") and name.endswith("/real") and self.guess > 0:
                fake = values[name.removesuffix("real") + "fake"]
                middle = (real + fake) / 2
                saved.append(abs(_learn(self.loss, middle, middle) - _learn(self.loss, real, fake)) / self.guess)
        return {GAP: max(saved)} if saved else {}

    def won(self) -> str | None:
        """See whether the critics tell all real from all fake, and the generator gets nowhere with them."""
        told, paid = (self.lines.present(f"loss/{name}", SEVERAL) for name in (ADVERSARIAL, "critics"))
        if not self.guess > 0 or min(len(told), len(paid)) < SEVERAL:
            return None
        if paid.max() > 0.1 * self.paid_for_guessing or told.min() <= self.told_for_guessing:
            return None
        return (
            f"for {SEVERAL} lines they tell all real from all fake: their loss is {np.median(paid):.3g}, where "
            f"guessing costs {self.paid_for_guessing:.3g}, and the adversarial loss is {np.median(told):.3g}, where "
            f"guessing critics leave {self.told_for_guessing:.3g}; lower adversary.optimiser's lr or raise "
            "adversary.learn_every, and look whether the generator learns at all"
        )

    def burst(self) -> str | None:
        """See whether the critics pay far more than guessing costs: their scores have run away."""
        paid = self.lines.present("loss/critics", SEVERAL)
        if not self.guess > 0 or len(paid) < SEVERAL or paid.min() <= 10 * self.paid_for_guessing:
            return None
        return (
            f"for {SEVERAL} lines their loss is {np.median(paid):.3g}, where guessing costs "
            f"{self.paid_for_guessing:.3g}; lower adversary.optimiser's lr, and go back to a checkpoint from before"
        )

    def dead(self) -> str | None:
        """See whether the critics have no gradient, or score real and fake alike for very long."""
        norms = self.lines.present("norm/critics", SEVERAL)
        if len(norms) == SEVERAL and norms.max() <= 1e-6 * self.steepest:
            return (
                f"for {SEVERAL} lines the norm of their gradient is {norms.max():.2g}; see that they are not frozen "
                "and their weights not zero, or start a new --folder with fresh critics"
            )
        lines = self._blind()
        if not lines:
            return None
        paid, gaps = (np.median(self.lines.present(name, lines)) for name in ("loss/critics", GAP))
        return (
            f"for {lines} lines they score real and fake alike (telling them apart saves {gaps:.2%} of their loss), "
            f"and their loss stays at {paid:.3g}, where guessing costs {self.paid_for_guessing:.3g}; look at "
            "adversary.optimiser's lr, or start a new --folder with fresh or larger critics"
        )

    def _blind(self) -> int:
        """Give on how many lines the critics have seen no difference and not moved; 0 if that is not so."""
        paid = self.lines.present("loss/critics", BLIND)
        if not self.guess > 0 or len(paid) < LONG:
            return 0
        # Critics that learn soon find what guessing costs; those that stay above it learn nothing.
        learn = bool(np.median(paid[-LONG:]) < 1.1 * self.paid_for_guessing)
        if learn and (len(paid) < BLIND or self.lines.steps[-1] - self.lines.steps[-BLIND] < PATIENCE):
            return 0
        lines = BLIND if learn else LONG
        gaps = self.lines.present(GAP, lines)
        if len(gaps) < lines or np.median(gaps) > 0.01 or np.median(paid[-lines:]) < 0.97 * self.paid_for_guessing:
            return 0
        change, doubt = drift(paid[-LONG:])
        return lines if learn or abs(change) + doubt < 0.01 else 0

    def spike(self) -> str | None:
        """See whether feature matching towers over the lines before."""
        name = f"loss/{FEATURE_MATCHING}"
        now, before = self.lines.now(name), self.lines.present(name, LONG, len(self.lines.steps) - 1)
        if math.isnan(now) or len(before) < SEVERAL:
            return None
        # Over the upper end as well: with drawn members, or some pairs that are alike, lines differ by themselves.
        usual = float(np.median(before))
        if now <= 3 * usual or now <= 2 * float(np.quantile(before, 0.9)):
            return None
        return (
            f"it is {now:.3g}, {now / usual:.1f} times the median of the {len(before)} lines before ({usual:.3g}); "
            "look for bad recordings; if it stays so, go back to a checkpoint from before, and lower "
            "weights.feature_matching or adversary.optimiser's lr"
        )


def guessing(loss: AdversarialLoss) -> tuple[float, float]:
    """Say what a critic pays that scores real and fake alike, as well as it can, and what its generator pays then."""
    scores = np.linspace(-2, 2, 81)
    paid = np.array([_learn(loss, score, score) for score in scores])
    middle = float(scores[paid <= paid.min() + 1e-6].mean())
    return float(paid.min()), float(loss.judge(torch.tensor([middle])))


def _learn(loss: AdversarialLoss, real: float, fake: float) -> float:
    return float(loss.learn(torch.tensor([real]), torch.tensor([fake])))
