"""What every discriminator gives: an opinion of a waveform."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one discriminator says of a batch of waveforms.

    Attributes:
        score: a map of realness, [batch, ...]; its shape is the discriminator's own.
        features: the hidden maps, first layer first, for feature matching, each [batch, ...].
    """

    score: Tensor
    features: list[Tensor]


class Discriminator(Protocol):
    """A network that judges waveforms, [batch, channels, samples]."""

    def __call__(self, waveform: Tensor) -> Opinion:
        """Judge the waveform."""


class Panel(Protocol):
    """Several named discriminators that judge the same waveform.

    Attributes:
        members: by name; each judges what `prepared` gives. What learns belongs to a member.
    """

    @property
    def members(self) -> Mapping[str, Discriminator]: ...  # noqa: D102

    def prepared(self, waveform: Tensor) -> Tensor:
        """Give what the members are to hear of a waveform, [batch, channels, samples]."""

    def __call__(self, waveform: Tensor) -> dict[str, Opinion]:
        """Every member's opinion, by the member's name."""
