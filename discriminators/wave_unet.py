"""Judge every sample of a waveform with one network, down and up again: cheaper than an ensemble."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from discriminators.contract import Opinion
from discriminators.convolution import fold, lengthen

STRIDE = 3
SLOPE = 0.1
# Of a block's residual path, so that what goes round it is heard through many blocks.
RESIDUAL = 0.4


class WaveUNet(nn.Module):
    """The Wave-U-Net discriminator (Kaneko, Kameoka, Tanaka and Seki, ICASSP 2023), with the paper's sizes.

    Each residual block down leaves a third of the samples and doubles the channels; each one up undoes that, and hears
    the block down of its own rate as well. The paper puts it in the place of HiFi-GAN's eight discriminators, at
    22.05 kHz. There are 4.86 M parameters at 32 channels and a depth of 5; a score then hears 1569 samples to either
    side, and what is further away through the normalisation alone.

    The paper finds that weight normalisation does not keep so deep a critic from winning by a few features; each
    block's output is divided by its own root mean square instead (`globally_normalised`).

    Args:
        channels: of the first block, at least 2; each further one down has twice as many.
        depth: blocks down, and as many up.

    Raises:
        ValueError: too few channels or blocks.
    """

    def __init__(self, channels: int = 32, depth: int = 5) -> None:
        super().__init__()
        if channels < 2 or depth < 1:
            raise ValueError(f"a WaveUNet needs 2 channels and a depth of 1 at least, not {channels} and {depth}")
        widths = [channels * 2**level for level in range(depth)]
        self.downs = nn.ModuleList(Down(width, wider) for width, wider in zip([1, *widths], widths, strict=False))
        narrower = [*reversed(widths[:-1]), channels]
        # After the first, a block hears the one before and its equal on the way down, of the same width.
        heard = [widths[-1], *(2 * width for width in narrower[:-1])]
        self.ups = nn.ModuleList(Up(width, less) for width, less in zip(heard, narrower, strict=True))
        self.last = nn.Conv1d(channels, 1, 5, padding=2)

    def forward(self, waveform: Tensor) -> Opinion:
        """Judge [batch, channels, samples], any length from 1.

        The end is filled with zeros to a multiple of `3^depth`; the features, every block's output, cover them too.

        Returns:
            The score [batch * channels, 1, samples], and a map of each block: [batch * channels, width, about
            samples / 3^level].
        """
        samples = waveform.shape[-1]
        whole = STRIDE ** len(self.downs)
        hidden = lengthen(fold(waveform), -(-samples // whole) * whole)
        features = []
        for down in self.downs:
            hidden = down(hidden)
            features.append(hidden)
        for level, up in enumerate(self.ups):
            equal = features[len(self.downs) - 1 - level]
            hidden = up(torch.cat([hidden, equal], dim=1) if level else hidden)
            features.append(hidden)
        return Opinion(self.last(hidden)[..., :samples], features)


class Down(nn.Module):
    """A residual block to a third of the samples and a multiple of the channels (figure 3a of the paper)."""

    def __init__(self, width: int, wider: int) -> None:
        super().__init__()
        self.width = width
        self.further = nn.Conv1d(width, wider - width, 1)
        self.strided = nn.Conv1d(width, wider, 2 * STRIDE, STRIDE, padding=2)
        self.even = nn.Conv1d(wider, wider, 5, padding=2)

    def forward(self, hidden: Tensor) -> Tensor:
        """Turn [batch, width, 3 * samples] into [batch, wider, samples]."""
        pooled = F.avg_pool1d(hidden, STRIDE)
        around = torch.cat([self.further(pooled), pooled], dim=1)
        # Not in place: the input is a map that others hear too.
        active = F.leaky_relu(hidden, SLOPE)
        made = self.strided(active)
        # The pooled channels are added to each of as many groups as fit, without being copied.
        made.unflatten(1, (-1, self.width)).add_(F.avg_pool1d(active, STRIDE).unsqueeze(1))
        made = self.even(F.leaky_relu(made, SLOPE, inplace=True))
        return globally_normalised(torch.add(around, made, alpha=RESIDUAL))


class Up(nn.Module):
    """A residual block to three times the samples and fewer channels (figure 3b of the paper)."""

    def __init__(self, width: int, narrower: int) -> None:
        super().__init__()
        self.narrower = narrower
        self.fewer = nn.Conv1d(width, narrower, 1)
        self.strided = nn.ConvTranspose1d(width, narrower, 2 * STRIDE, STRIDE, padding=2, output_padding=1)
        self.even = nn.Conv1d(narrower, narrower, 5, padding=2)

    def forward(self, hidden: Tensor) -> Tensor:
        """Turn [batch, width, samples] into [batch, narrower, 3 * samples]."""
        active = F.leaky_relu(hidden, SLOPE)
        made = self.strided(active)
        # Each sample is added to the three that it becomes, without being copied.
        made.unflatten(-1, (-1, STRIDE)).add_(active[:, : self.narrower].unsqueeze(-1))
        made = self.even(F.leaky_relu(made, SLOPE, inplace=True)).unflatten(-1, (-1, STRIDE))
        return globally_normalised(torch.add(self.fewer(hidden).unsqueeze(-1), made, alpha=RESIDUAL).flatten(2))


def globally_normalised(hidden: Tensor, floor: float = 1e-8) -> Tensor:
    """Divide each example's map, [batch, channels, samples], by the root of its mean square plus `floor`.

    The mean is over channels and samples and has no weights (equation 4 of the paper); in half precision it is taken
    in single precision, which a sum of squares needs.
    """
    wide = torch.promote_types(hidden.dtype, torch.float32)
    norm = torch.linalg.vector_norm(hidden, dim=(1, 2), keepdim=True, dtype=wide)
    scale: Tensor = torch.rsqrt(norm.square() / (hidden.shape[1] * hidden.shape[2]) + floor)
    return hidden * scale.to(hidden.dtype)
