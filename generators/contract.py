"""What every generator takes and gives: a pair in, an estimate out; and what menders, coders and their parts are."""

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
class Learner(Protocol):
    """A part of a generator that learns by other means than gradients, as codebooks do by moving averages.

    Its forward passes in training mode only note what they see; it learns from the notes once an optimiser's step, so
    that a batch in parts teaches what the batch in one does, and a step that is refused teaches nothing. Notes are
    kept until one of the two is called.
    """

    def learn(self) -> None:
        """Take in what forward passes noted since the last call: after the optimiser's step, on every process alike."""

    def forget(self) -> None:
        """Drop the notes: for a step that is refused."""


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


@dataclass(frozen=True, slots=True)
class Latent:
    """What a bottleneck makes of an encoder's output.

    Attributes:
        values: what the decoder is given, [batch, dimension, frames], with gradients to the encoder.
        codes: what was chosen, [batch, codebooks, frames], int64; -1 where a codebook was left out for this example.
            None where nothing is chosen, in continuous bottlenecks.
        penalties: the bottleneck's own losses, scalars by name; see Estimate.
        facts: numbers for the journal, scalars by name.
    """

    values: Tensor
    codes: Tensor | None = None
    penalties: dict[str, Tensor] = field(default_factory=dict)
    facts: dict[str, Tensor] = field(default_factory=dict)


@runtime_checkable
class Bottleneck(Protocol):
    """The narrow place between an encoder and a decoder: what passes through it can be written down.

    A part of it that is called `leave` only reads codes back; all others may have a say in which are written. A class
    may name, in `learning_arguments`, arguments that say only how it learns.

    Attributes:
        dimension: channels of a latent, in and out alike.
        codebooks: how many entries each codebook has, coarsest first; empty in continuous bottlenecks.
        width: numbers that a frame is written down as: the count of codebooks, or of continuous values.
        block: frames that are worked on together; a chunk has to start at a multiple of it. 1 where each frame stands
            for itself.
    """

    dimension: int
    codebooks: tuple[int, ...]
    width: int
    block: int

    def __call__(self, hidden: Tensor) -> Latent:
        """Pass [batch, dimension, frames] through, as in training (in training mode) or as in use (in eval mode)."""

    def encode(self, hidden: Tensor) -> Tensor:
        """Write down [batch, dimension, frames]: codes [batch, width, frames], int64, or continuous values, float."""

    def decode(self, code: Tensor) -> Tensor:
        """Read [batch, up to width, frames] back to [batch, dimension, frames]; fewer codebooks are coarser."""


@runtime_checkable
class Coder(Protocol):
    """A generator that writes a waveform down frame by frame and reads it back, whole or in chunks.

    Attributes:
        sample_rate: in Hz.
        channels: of a waveform, coded together: 1 or 2.
        frame: samples that a frame stands for.
        hop: a multiple of frame; a chunk has to start at a multiple of so many samples.
        codebooks: how many entries each codebook has, coarsest first; empty in continuous coders.
        width: numbers a frame is written down as.
        encoder_reach: a frame depends on samples at most so many before the first one of the hop that it lies in, and
            after the last one.
        decoder_reach: a sample depends on the hop that it lies in and on frames of which a sample is at most so many
            samples away from it.
    """

    sample_rate: int
    channels: int

    @property
    def frame(self) -> int: ...  # noqa: D102

    @property
    def hop(self) -> int: ...  # noqa: D102

    @property
    def codebooks(self) -> tuple[int, ...]: ...  # noqa: D102

    @property
    def width(self) -> int: ...  # noqa: D102

    @property
    def encoder_reach(self) -> int: ...  # noqa: D102

    @property
    def decoder_reach(self) -> int: ...  # noqa: D102

    def encode(self, waveform: Tensor) -> Tensor:
        """Write down [batch, channels, samples]: [batch, width, frames], int64 codes or float values.

        There are as many frames as it takes: samples / frame, rounded up.
        """

    def decode(self, code: Tensor, samples: int) -> Tensor:
        """Read [batch, up to width, frames] back to [batch, channels, samples], samples <= frames * frame."""
