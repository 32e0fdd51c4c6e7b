"""What the discriminators share: folding, padding, and a stack of convolutions that keeps every hidden map."""

from collections.abc import Callable, Iterable

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations


def fold(waveform: Tensor) -> Tensor:
    """Put the channels into the batch, [batch, channels, samples] to [batch * channels, 1, samples].

    Every discriminator here judges one channel at a time, so the same weights serve mono and stereo.
    """
    return waveform.reshape(-1, 1, waveform.shape[-1])


def lengthen(waveform: Tensor, samples: int) -> Tensor:
    """Append zeros where a waveform, [..., samples], is shorter than `samples`."""
    return F.pad(waveform, (0, max(0, samples - waveform.shape[-1])))


def normed(layer: nn.Module, weight_norm: bool) -> nn.Module:
    """Reparametrise a layer's weight as length and direction (Salimans and Kingma, 2016), where asked."""
    return parametrizations.weight_norm(layer) if weight_norm else layer


def listen(layers: Iterable[Callable[[Tensor], Tensor]], hidden: Tensor, slope: float) -> list[Tensor]:
    """Run convolutions with a leaky ReLU after each; give every layer's output, first layer first."""
    maps = []
    for layer in layers:
        # In place: no one needs what was before, and a map's memory is saved.
        hidden = F.leaky_relu(layer(hidden), slope, inplace=True)
        maps.append(hidden)
    return maps
