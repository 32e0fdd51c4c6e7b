"""One optimiser step: the generator turns pairs into estimates, the critics judge and learn, the losses are weighed."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from gan.critics import (
    ADVERSARIAL,
    FEATURE_MATCHING,
    Critics,
    Gradients,
    NonFiniteError,
    Verdict,
    refuse_non_finite,
)
from gan.losses import Term
from gan.weighing import Weights, weigh, weights_at
from generators.contract import Estimate, Generator, Learner, Pair


class BadStepError(NonFiniteError):
    """A step was not taken, as a gradient is bad: on every process at once; nothing has learned of it.

    Attributes:
        said: what would have gone into the journal.
    """

    def __init__(self, message: str, said: Mapping[str, Tensor]) -> None:
        super().__init__(message)
        self.said = said


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
        limit: a norm of a gradient above it is bad, as one that is not finite is.
        read: how the host reads the norms, see gan.critics.refuse_non_finite.
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
    limit: float = math.inf
    read: Callable[[Tensor], list[float]] = Tensor.tolist

    def __call__(self, pairs: Sequence[Pair], step: int) -> dict[str, Tensor]:
        """Take one step of the generator's and the critics' optimisers.

        The critics judge and learn from the same outputs, heard once; then all weights are touched together. What
        learns by other means than gradients (see generators.contract.Learner) does so once, after the optimiser. So a
        batch in parts is the same step as the batch in one.

        Args:
            pairs: the micro-batches that make up one batch.
            step: counted from 0.

        Returns:
            What goes into the journal, scalars on the device.

        Raises:
            BadStepError: before any weight, codebook or average is touched by a bad gradient or what led to it.
            WeightError: losses and weights do not match.
        """
        weights = weights_at(self.weights, step)
        facts: dict[str, Tensor] = {}
        for part, pair in enumerate(pairs, start=1):
            with self.gradients.held_back(self.generator, wait=part < len(pairs)):
                for name, value in self._take(pair, weights, step, part, len(pairs)).items():
                    facts[name] = facts.get(name, 0) + value / len(pairs)
        return self._learn(step, facts)

    def _take(self, pair: Pair, weights: Mapping[str, float], step: int, part: int, parts: int) -> dict[str, Tensor]:
        """Add a micro-batch to the gradients; gives what goes into the journal."""
        estimate = self._estimate(pair)
        losses = {name: cast(Term, term)(estimate) for name, term in self.terms.items()} | estimate.penalties
        verdict = Verdict({}, None, {})
        silent: tuple[str, ...] = ()
        if self.critics and self.timetable:
            judging = weights if self.timetable.judges(step) else None
            silent = () if judging else (ADVERSARIAL, FEATURE_MATCHING)
            learns = self.timetable.learns(step)
            if judging or learns:
                verdict = self.critics.hear(estimate.target, estimate.output, step, judging, learns, part, parts)
        told = losses | verdict.losses
        total = weigh(told, weights, silent)
        gradient = None if verdict.gradient is None else verdict.gradient / parts
        self.gradients.backward(total / parts, estimate.output, gradient)
        said = {f"loss/{name}": loss.detach() for name, loss in told.items()}
        said |= {f"fact/{name}": fact.detach() for name, fact in estimate.facts.items()}
        return said | verdict.facts | {"loss/total": total.detach()}

    def _learn(self, step: int, facts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Have everyone learn, or forget where a gradient is bad; gives the facts and the gradients' norms."""
        # Of a wrapped or compiled generator the modules are still these.
        learners: list[Learner] = [module for module in self.generator.modules() if isinstance(module, Learner)]
        norms = {"generator": clip_grad_norm_(self.generator.parameters(), self.clip)}
        if self.critics and self.timetable and self.timetable.learns(step):
            learners.append(self.critics)
            norms["critics"] = self.critics.norm()
        said = {**facts, **{f"norm/{who}": norm for who, norm in norms.items()}}
        try:
            refuse_non_finite(norms, self.limit, self.read)
        except NonFiniteError as error:
            self.optimiser.zero_grad(set_to_none=True)
            for learner in learners:
                learner.forget()
            raise BadStepError(str(error), said) from error
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        for learner in learners:
            learner.learn()
        return said

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
