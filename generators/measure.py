"""What a generator is made of and what it costs."""

from dataclasses import dataclass
from typing import cast

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from generators.contract import Mender, ModelError


@dataclass(frozen=True)
class Measures:
    """A mender in numbers.

    Attributes:
        kind: its class.
        parameters: all numbers that are learned.
        sample_rate: in Hz.
        hop: samples after which it repeats itself.
        reach: an output sample depends on input at most so many samples away, to either side.
        channels: that it works on together: 1, unless it says that it codes more.
        macs_per_second: multiply-accumulates of its convolutions and matrix products for one second of so many
            channels; Fourier transforms and activations are left out.
    """

    kind: str
    parameters: int
    sample_rate: int
    hop: int
    reach: int
    channels: int
    macs_per_second: int


def measure(module: nn.Module) -> Measures:
    """Measure a mender on a second of silence.

    Raises:
        ModelError: the module does not map waveforms to waveforms.
    """
    if not isinstance(module, Mender):
        raise ModelError(f"{type(module).__name__} is no mender: it has no restore, hop and reach")
    mender = cast(Mender, module)
    # A whole number of hops, so that padding does not count.
    samples = max(1, round(mender.sample_rate / mender.hop)) * mender.hop
    told = getattr(module, "channels", 1)
    channels = told if isinstance(told, int) else 1
    like = next(module.parameters())
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        mender.restore(torch.zeros(1, channels, samples, dtype=like.dtype, device=like.device))
    return Measures(
        kind=type(module).__name__,
        parameters=sum(p.numel() for p in module.parameters()),
        sample_rate=mender.sample_rate,
        hop=mender.hop,
        reach=mender.reach,
        channels=channels,
        macs_per_second=round(counter.get_total_flops() / 2 * mender.sample_rate / samples),
    )
