"""The critics: named discriminators with an optimiser, and two verbs, learn and judge (Goodfellow et al. 2014).

After AudioCraft's idea of an adversarial loss that owns its discriminator, with one addition: gradients never cross.
While the critics learn, the output they see carries no graph; while they judge, their own weights are frozen, so the
generator's backward leaves nothing in the critics' gradients (and, on several processes, sends nothing).
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from discriminators.contract import Panel
from gan.adversarial import AdversarialLoss, FeatureMatching

ADVERSARIAL, FEATURE_MATCHING = "adversarial", "feature_matching"
Example = tuple[Tensor, Tensor]  # real and fake waveforms, each [batch, channels, samples]


class NonFiniteError(ArithmeticError):
    """A gradient is NaN or infinite: on every process at once, as gradients are averaged before they are looked at."""


class Gradients(Protocol):
    """How gradients travel between processes."""

    def backward(self, loss: Tensor) -> None:
        """Add the loss's gradients to the parameters' own."""

    def held_back(self, module: nn.Module, wait: bool) -> AbstractContextManager[None]:
        """While `wait`, gradients of the module stay on this process: a later micro-batch sends the sum."""


class Critics:
    """Discriminators that learn to tell the real from the generated, and judge what is generated.

    Args:
        panel: gives named opinions; wrapped for several processes where there are several.
        optimiser: of the panel's parameters.
        loss: the adversarial loss, summed over the members as in DAC (Kumar et al. 2023).
        matching: the feature matching loss.
        clip: largest norm of the gradient.
        gradients: how gradients travel.
    """

    def __init__(
        self,
        panel: nn.Module,
        optimiser: Optimizer,
        loss: AdversarialLoss,
        matching: FeatureMatching,
        clip: float,
        gradients: Gradients,
    ) -> None:
        self.panel = panel
        self.bare = cast(nn.Module, panel.module) if isinstance(panel, DistributedDataParallel) else panel
        self.optimiser = optimiser
        self.loss = loss
        self.matching = matching
        self.clip = clip
        self.gradients = gradients

    def learn(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Take one step of the critics' optimiser.

        Args:
            examples: micro-batches of real and fake; the fake is cut from the generator's graph here.

        Returns:
            What goes into the journal: the loss, the gradient's norm, each member's score of real and fake.
        """
        self.optimiser.zero_grad(set_to_none=True)
        facts: dict[str, Tensor] = {}
        count = len(examples)
        for number, (real, fake) in enumerate(examples, start=1):
            with self.gradients.held_back(self.panel, wait=number < count):
                # Real and fake in one forward: one pass over the weights, one call of the wrapped module a backward.
                both = cast(Panel, self.panel)(torch.cat([real, fake.detach()]))
                losses = []
                for name, opinion in both.items():
                    score_real, score_fake = opinion.score.chunk(2)
                    losses.append(self.loss.learn(score_real, score_fake))
                    _add(facts, f"score/{name}/real", score_real.detach().mean() / count)
                    _add(facts, f"score/{name}/fake", score_fake.detach().mean() / count)
                loss = torch.stack(losses).sum() / count
                self.gradients.backward(loss)
            _add(facts, "loss/critics", loss.detach())
        norm = clip_grad_norm_(self.bare.parameters(), self.clip)
        refuse_non_finite(norm, "critics")
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return facts | {"norm/critics": norm}

    def judge(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Judge the generator's output; gradients reach it and stop there.

        Args:
            real: [batch, channels, samples].
            fake: same shape, with the generator's graph.

        Returns:
            The losses "adversarial" and "feature_matching", to be weighed.
        """
        panel = cast(Panel, self.bare)
        with frozen(self.bare):
            with torch.no_grad():
                of_real = panel(real)
            of_fake = panel(fake)
        scores = [self.loss.judge(opinion.score) for opinion in of_fake.values()]
        return {
            ADVERSARIAL: torch.stack(scores).sum(),
            FEATURE_MATCHING: self.matching(of_real, of_fake),
        }


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


def refuse_non_finite(norm: Tensor, who: str) -> None:
    """Stop before a bad gradient reaches the weights.

    Raises:
        NonFiniteError: the norm is NaN or infinite.
    """
    if not torch.isfinite(norm):
        raise NonFiniteError(
            f"the {who}' gradient is {norm.item()}: lower the learning rate, or look for bad examples; the last "
            "checkpoint is untouched (to go on from it with a lower rate, start a new --folder with "
            "--initialise.folder of this run)"
        )


def _add(facts: dict[str, Tensor], name: str, value: Tensor) -> None:
    facts[name] = facts[name] + value if name in facts else value
