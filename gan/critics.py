"""The critics: named discriminators with an optimiser, that judge and learn from one hearing (Goodfellow et al. 2014).

Every member hears the real and the fake once a step, for both purposes, and its graph is gone before the next one's:

    member    real ----- opinion --+---------------- loss of the critics - gradients of the member's weights
                                   | matching
              fake ----- opinion --+- score - losses of the generator ---- gradient of the fake, added up over members

Gradients never cross: the fake carries no graph of the generator's here, the generator's losses ask for the fake's
gradient alone, and the critics' for their own weights' alone.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.nn.utils.parametrize import cached
from torch.optim import Optimizer

from discriminators.contract import Discriminator, Opinion, Panel
from gan.adversarial import AdversarialLoss, FeatureMatching

ADVERSARIAL, FEATURE_MATCHING = "adversarial", "feature_matching"


class NonFiniteError(ArithmeticError):
    """A gradient is NaN or infinite: on every process at once, as gradients are averaged before they are looked at."""


class Gradients(Protocol):
    """How gradients travel between processes."""

    def backward(self, loss: Tensor, output: Tensor, gradient: Tensor | None) -> None:
        """Add to the parameters' gradients: the loss's, and what a gradient of the output makes of them."""

    def held_back(self, module: nn.Module, wait: bool) -> AbstractContextManager[None]:
        """While `wait`, gradients of the module stay on this process: a later micro-batch sends the sum."""

    def send(self, parameters: Sequence[nn.Parameter]) -> Callable[[], None]:
        """Begin to average the parameters' gradients over processes; what it gives waits until they are."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the generator is told.

    Attributes:
        losses: ADVERSARIAL and FEATURE_MATCHING, scalars without a graph; empty where the critics did not judge.
        gradient: of the losses' weighted sum with respect to the fake; None where they did not judge.
        facts: for the journal: the critics' loss, and each member's score of real and fake, if they learn.
    """

    losses: dict[str, Tensor]
    gradient: Tensor | None
    facts: dict[str, Tensor]


@dataclass
class Critics:
    """Discriminators that learn to tell the real from the generated, and judge what is generated.

    Attributes:
        panel: the members.
        optimiser: of the panel's parameters.
        loss: the adversarial loss, summed over the members as in DAC (Kumar et al. 2023).
        matching: the feature matching loss.
        clip: largest norm of the gradient.
        gradients: how gradients travel.
        members: how many of them speak at a step, each drawn equally likely; what they tell the generator counts for
            all, so that its expectation is the whole panel's. None: all.
        seed: of the draw.
    """

    panel: nn.Module
    optimiser: Optimizer
    loss: AdversarialLoss
    matching: FeatureMatching
    clip: float
    gradients: Gradients
    members: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        self._sent: list[Callable[[], None]] = []

    def hear(
        self,
        real: Tensor,
        fake: Tensor,
        step: int,
        weights: Mapping[str, float] | None,
        learns: bool,
        part: int = 1,
        parts: int = 1,
    ) -> Verdict:
        """Hear a micro-batch: judge it, and add to the gradients of the members' weights.

        Args:
            real: [batch, channels, samples].
            fake: same shape; whatever graph it has is left alone.
            step: counted from 0.
            weights: of ADVERSARIAL and FEATURE_MATCHING in the verdict's gradient; None: do not judge.
            learns: whether to add to the gradients; `learn` then takes the step.
            part: which micro-batch of the step's this is, from 1.
            parts: how many micro-batches there are; losses are divided by it for the gradients.
        """
        panel = cast(Panel, self.panel)
        judges = weights is not None
        with torch.no_grad():
            wanted = panel.prepared(real)
        root = fake.detach().requires_grad_(judges)
        prepared = panel.prepared(root)
        heard = prepared.detach().requires_grad_(judges)
        gradient = torch.zeros_like(heard)
        losses: dict[str, Tensor] = {}
        facts: dict[str, Tensor] = {}
        names = self._drawn(step)
        for name in names:
            # In a method of its own: with its locals a member's maps are gone before the next member's.
            told, given = self._hear_one(name, wanted, heard, weights, learns, len(names), part, parts)
            for kind, value in told.items():
                _add(losses if kind in (ADVERSARIAL, FEATURE_MATCHING) else facts, kind, value)
            if given is not None:
                gradient += given
        of_fake = torch.autograd.grad(prepared, root, gradient)[0] if judges else None
        return Verdict(losses, of_fake, facts)

    def _hear_one(
        self,
        name: str,
        real: Tensor,
        fake: Tensor,
        weights: Mapping[str, float] | None,
        learns: bool,
        members: int,
        part: int,
        parts: int,
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """Hear one member: gives the losses and facts, and the gradient of the fake if it judges."""
        of_real, of_fake = self._opinions(cast(Panel, self.panel).members[name], real, fake, learns)
        said: dict[str, Tensor] = {}
        gradient = None
        if weights is not None:
            told = self._told(of_real, of_fake, members)
            weighed = torch.stack([weights[kind] * loss for kind, loss in told.items()]).sum()
            (gradient,) = torch.autograd.grad(weighed, fake, retain_graph=learns)
            said |= {kind: loss.detach() for kind, loss in told.items()}
        if learns:
            said |= self._teach(name, of_real, of_fake, part, parts)
        return said, gradient

    def _teach(self, name: str, of_real: Opinion, of_fake: Opinion, part: int, parts: int) -> dict[str, Tensor]:
        """Add to the gradients of a member's weights, and send them with the last part; gives what it says."""
        member = cast(nn.Module, cast(Panel, self.panel).members[name])
        parameters = [parameter for parameter in member.parameters() if parameter.requires_grad]
        loss = self.loss.learn(of_real.score, of_fake.score)
        if parameters:  # a member may be frozen
            torch.autograd.backward(loss / parts, inputs=parameters)
            if part == parts:
                self._sent.append(self.gradients.send(parameters))
        scores = {"real": of_real.score, "fake": of_fake.score}
        said = {f"score/{name}/{side}": score.detach().mean() for side, score in scores.items()}
        return said | {"loss/critics": loss.detach()}

    def norm(self) -> Tensor:
        """Wait for the gradients of what was heard, clip them, and give the norm that they had."""
        for wait in self._sent:
            wait()
        self._sent.clear()
        return clip_grad_norm_(self.panel.parameters(), self.clip)

    def learn(self) -> None:
        """Take a step of the optimiser."""
        self.optimiser.step()
        self.forget()

    def forget(self) -> None:
        """Drop the gradients of what was heard."""
        self._sent.clear()
        self.optimiser.zero_grad(set_to_none=True)

    def _drawn(self, step: int) -> list[str]:
        names = list(cast(Panel, self.panel).members)
        if self.members is None or self.members >= len(names):
            return names
        draw = np.random.default_rng([self.seed, 2, step])
        return [names[place] for place in sorted(draw.choice(len(names), self.members, replace=False))]

    def _opinions(self, member: Discriminator, real: Tensor, fake: Tensor, learns: bool) -> tuple[Opinion, Opinion]:
        """Hear the real and the fake with one computation of the weights, and no graph that nobody needs."""
        with cached(), nullcontext() if learns else frozen(cast(nn.Module, member)):
            with torch.set_grad_enabled(learns):
                of_real = member(real)
            return of_real, member(fake)

    def _told(self, of_real: Opinion, of_fake: Opinion, members: int) -> dict[str, Tensor]:
        """Give a member's part of the generator's losses, scaled up for the members that do not speak."""
        whole = len(cast(Panel, self.panel).members)
        matching = self.matching.member(of_real.features, of_fake.features) * self.matching.share(whole)
        told = {ADVERSARIAL: self.loss.judge(of_fake.score), FEATURE_MATCHING: matching}
        return {kind: loss * (whole / members) for kind, loss in told.items()}


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Within, the module's parameters ask for no gradient."""
    learning = [parameter for parameter in module.parameters() if parameter.requires_grad]
    try:
        for parameter in learning:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


def refuse_non_finite(
    norms: Mapping[str, Tensor], limit: float = math.inf, read: Callable[[Tensor], list[float]] = Tensor.tolist
) -> None:
    """Stop before a bad gradient reaches the weights: the one place of a step where the host waits for the device.

    Args:
        norms: of the gradients, by the name of who would learn.
        limit: a norm above it is bad, too.
        read: how the host gets the numbers of a tensor, [n]; on several processes all have to get the same.

    Raises:
        NonFiniteError: a norm is NaN, infinite or above the limit.
    """
    values = dict(zip(norms, read(torch.stack(list(norms.values()))), strict=True))
    for who, norm in values.items():
        if not (math.isfinite(norm) and norm <= limit):
            above = f", above the limit of {limit:g}" if math.isfinite(norm) else ""
            raise NonFiniteError(
                f"the {who}'s gradient is {norm}{above}: lower the learning rate, or look for bad examples; no weight "
                "has learned of it (to go on from a checkpoint with a lower rate, start a new --folder with "
                "--initialise.folder of this run)"
            )


def _add(facts: dict[str, Tensor], name: str, value: Tensor) -> None:
    facts[name] = facts[name] + value if name in facts else value
