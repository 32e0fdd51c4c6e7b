"""What discriminators' opinions cost: adversarial losses for either side, and feature matching for the generator."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from discriminators.contract import Opinion
from features.spectrum import full_precision


class AdversarialLoss(Protocol):
    """A game between a discriminator and a generator, for one member's score; the critics add up their members."""

    def learn(self, real: Tensor, fake: Tensor) -> Tensor:
        """Say how badly the discriminator tells them apart: its loss, a scalar. Scores are [batch, ...]."""

    def judge(self, fake: Tensor) -> Tensor:
        """Say how badly the generator fools the discriminator: its loss, a scalar."""


class LeastSquares:
    """Real is 1 and fake is 0, in squares (Mao et al., LSGAN, 2017), as HiFi-GAN and DAC train."""

    def learn(self, real: Tensor, fake: Tensor) -> Tensor:
        """Give the mean of `(1 - real)^2` plus the mean of `fake^2`."""
        return (1 - full_precision(real)).square().mean() + full_precision(fake).square().mean()

    def judge(self, fake: Tensor) -> Tensor:
        """Give the mean of `(1 - fake)^2`."""
        return (1 - full_precision(fake)).square().mean()


class Hinge:
    """Real above 1 and fake below -1 cost nothing (Lim and Ye, Geometric GAN, 2017), as Vocos and Stable Audio train.

    The generator's side is the unbounded `-fake`; EnCodec's paper cuts that off too, at `relu(1 - fake)`.
    """

    def learn(self, real: Tensor, fake: Tensor) -> Tensor:
        """Give the mean of `relu(1 - real)` plus the mean of `relu(1 + fake)`."""
        return torch.relu(1 - full_precision(real)).mean() + torch.relu(1 + full_precision(fake)).mean()

    def judge(self, fake: Tensor) -> Tensor:
        """Give the mean of `-fake`."""
        return -full_precision(fake).mean()


@dataclass(frozen=True)
class FeatureMatching:
    """The L1 distance between a discriminator's hidden maps of the real and the fake (Larsen et al., 2016).

    Plain, as DAC: summed over all maps of all members. Relative, as EnCodec (Défossez et al., 2022): each map's
    distance over the mean magnitude of the real map, averaged over a member's maps and then over members. EnCodec
    takes that magnitude over the whole batch; here each example has its own, so that the loss of a batch is the mean of
    its parts and several processes train as one does.

    Attributes:
        relative: EnCodec's form instead of DAC's.
    """

    relative: bool = False

    def __call__(self, real: dict[str, Opinion], fake: dict[str, Opinion]) -> Tensor:
        """Compare opinions by member name; gradients go to the fake's maps alone."""
        members = [self.member(real[name].features, opinion.features) for name, opinion in fake.items()]
        return torch.stack(members).sum() * self.share(len(members))

    def share(self, members: int) -> float:
        """Give what one member's distance counts for in the loss of so many."""
        return 1 / members if self.relative else 1.0

    def member(self, real: list[Tensor], fake: list[Tensor]) -> Tensor:
        """Compare one member's maps; gradients go to the fake's alone."""
        maps = [
            self._map(full_precision(one).detach(), full_precision(other))
            for one, other in zip(real, fake, strict=True)
        ]
        total = torch.stack(maps)
        return total.mean() if self.relative else total.sum()

    def _map(self, real: Tensor, fake: Tensor) -> Tensor:
        distance = (real - fake).abs().flatten(1).mean(dim=1)
        if self.relative:
            # The floor is far below any map that carries a signal: it only keeps the division defined.
            distance = distance / real.abs().flatten(1).mean(dim=1).clamp(min=1e-6)
        return distance.mean()
