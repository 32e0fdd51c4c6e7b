"""What every frozen ear gives: feature maps of a waveform."""

from typing import Protocol

from torch import Tensor


class EarError(ValueError):
    """An ear's weights cannot be had; the message is one line that says what to do."""


class Ear(Protocol):
    """A frozen listener: gradients reach the waveform, its own weights are never trained.

    Attributes:
        sample_rate: of the waveforms that it is given, in Hz; it resamples inside where its network wants another.
    """

    sample_rate: int

    def __call__(self, waveform: Tensor) -> list[Tensor]:
        """Listen to a waveform, [batch, channels, samples]; give maps of [batch * channels, ...], shallowest first."""
