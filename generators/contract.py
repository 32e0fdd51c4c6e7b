"""What every generator takes and gives: a pair in, an estimate out."""

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from torch import Tensor


class ModelError(ValueError):
    """A model folder or a model's arguments cannot be used; the message is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What the data gives: something to work from and what it should become.

    Attributes:
        source: waveform, [batch, channels, samples], nominally in -1..1.
        target: what the source should become, same shape.
        sample_rate: in Hz.
    """

    source: Tensor
    target: Tensor
    sample_rate: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a generator says about a pair.

    Attributes:
        output: what is to be judged, [batch, channels, samples].
        target: what the output is held against, same shape.
        penalties: the generator's own losses (a commitment loss, a KL divergence), scalars by name;
            each needs a weight in the recipe.
        facts: numbers for the journal that are not optimised, scalars by name.
    """

    output: Tensor
    target: Tensor
    penalties: dict[str, Tensor] = field(default_factory=dict)
    facts: dict[str, Tensor] = field(default_factory=dict)


@runtime_checkable
class Generator(Protocol):
    """A network that can be trained: it turns a pair into an estimate."""

    sample_rate: int

    def __call__(self, pair: Pair) -> Estimate:
        """Work on the pair's source, and say what it is to be held against."""


@runtime_checkable
class Mender(Protocol):
    """A generator that maps a waveform to a waveform of the same shape, whole or in chunks.

    Attributes:
        sample_rate: in Hz.
        hop: the network repeats itself every so many samples; a chunk has to start at a multiple of it.
        reach: an output sample depends on input at most so many samples away, to either side.
    """

    sample_rate: int

    @property
    def hop(self) -> int: ...  # noqa: D102

    @property
    def reach(self) -> int: ...  # noqa: D102

    def restore(self, waveform: Tensor) -> Tensor:
        """Mend a waveform, [batch, channels, samples] of any length from 1, to the same shape."""
