"""One optimiser step: the generator turns pairs into estimates, the critics judge and learn, the losses are weighed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from gan.critics import ADVERSARIAL, FEATURE_MATCHING, Critics, Example, Gradients, NonFiniteError, refuse_non_finite
from gan.losses import Term
from gan.weighing import Weights, weigh, weights_at
from generators.contract import Estimate, Generator, Learner, Pair


class Timetable(Protocol):
    """When the critics take part."""

    def learns(self, step: int) -> bool:
        """Whether the critics learn at this step."""

    def judges(self, step: int) -> bool:
        """Whether the generator hears the critics at this step."""


@dataclass
class Step:
    """Everything that one step needs.

    Attributes:
        generator: wrapped for several processes where there are several.
        optimiser: of the generator.
        terms: losses on an estimate, by name.
        weights: of every loss, by name, as numbers or ramps.
        gradients: how gradients travel.
        critics: and when they take part; None for none.
        timetable: see critics.
        clip: largest norm of the generator's gradient.
        precision: dtype of the generator's forward pass; None for that of its weights. Losses and critics stay in fp32.
    """

    generator: nn.Module
    optimiser: Optimizer
    terms: Mapping[str, nn.Module]
    weights: Weights
    gradients: Gradients
    critics: Critics | None = None
    timetable: Timetable | None = None
    clip: float = 1000.0
    precision: torch.dtype | None = None

    def __call__(self, pairs: Sequence[Pair], step: int) -> dict[str, Tensor]:
        """Take one step of the generator's and the critics' optimisers.

        The critics judge first and learn then, from the same outputs: so the generator works once on each micro-batch
        and its graph is gone before the critics learn. What learns by other means than gradients (see
        generators.contract.Learner) does so once, after the optimiser. So a batch in parts is the same step as the
        batch in one.

        Args:
            pairs: the micro-batches that make up one batch.
            step: counted from 0.

        Returns:
            What goes into the journal, scalars on the device.

        Raises:
            NonFiniteError: before any weight, codebook or average is touched by a bad gradient or what led to it.
            WeightError: losses and weights do not match.
        """
        weights = weights_at(self.weights, step)
        facts: dict[str, Tensor] = {}
        examples: list[Example] = []
        self.optimiser.zero_grad(set_to_none=True)
        for number, pair in enumerate(pairs, start=1):
            with self.gradients.held_back(self.generator, wait=number < len(pairs)):
                estimate = self._estimate(pair)
                losses = self._losses(estimate, step)
                total = weigh(losses, weights, self._silent(step)) / len(pairs)
                self.gradients.backward(total)
            examples.append((estimate.target, estimate.output.detach()))
            said = {f"loss/{name}": loss.detach() / len(pairs) for name, loss in losses.items()}
            said |= {f"fact/{name}": fact.detach() / len(pairs) for name, fact in estimate.facts.items()}
            said["loss/total"] = total.detach()
            facts |= {name: facts.get(name, 0) + value for name, value in said.items()}
        facts["norm/generator"] = self._learn()
        if self.critics and self.timetable and self.timetable.learns(step):
            facts |= self.critics.learn(examples)
        return facts

    def _learn(self) -> Tensor:
        """Have the generator learn, or forget where its gradient is bad; gives the gradient's norm."""
        # Of a wrapped or compiled generator the modules are still these.
        learners = [module for module in self.generator.modules() if isinstance(module, Learner)]
        norm = clip_grad_norm_(self.generator.parameters(), self.clip)
        try:
            refuse_non_finite(norm, "generator")
        except NonFiniteError:
            for learner in learners:
                learner.forget()
            raise
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        for learner in learners:
            learner.learn()
        return norm

    def _losses(self, estimate: Estimate, step: int) -> dict[str, Tensor]:
        losses = {name: cast(Term, term)(estimate) for name, term in self.terms.items()} | estimate.penalties
        if self.critics and self.timetable and self.timetable.judges(step):
            losses |= self.critics.judge(estimate.target, estimate.output)
        return losses

    def _silent(self, step: int) -> tuple[str, ...]:
        judging = self.critics is None or self.timetable is None or self.timetable.judges(step)
        return () if judging else (ADVERSARIAL, FEATURE_MATCHING)

    def _estimate(self, pair: Pair) -> Estimate:
        kind = pair.source.device.type
        with torch.autocast(kind, dtype=self.precision, enabled=self.precision is not None):
            estimate = cast(Generator, self.generator)(pair)
        if self.precision is None:
            return estimate
        penalties, facts = (
            {name: value.float() for name, value in said.items()} for said in (estimate.penalties, estimate.facts)
        )
        return Estimate(estimate.output.float(), estimate.target.float(), penalties, facts)
