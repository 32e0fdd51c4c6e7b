"""A network at the frame rate that listens first whether there is anything to mend."""

from typing import Any

import torch
from torch import Tensor, nn

from features.spectrum import contrast
from generators.spectral import SpectralRestorer

OPEN = 2.0  # of the gate's sigmoid at the start: 88 % open
HOLD = 65  # frames that a gate's opening is averaged over: 0.35 s at a hop of 256 samples and 48 kHz


class GatedRestorer(SpectralRestorer):
    """A spectral restorer whose change of the spectrum goes through a gate for each frame, open for what was shifted.

    Clean input is to come back as it is, and a distance's slope at no distance does not shrink: a network that learns
    that from many unshifted examples learns little else, and one that hears few of them mends what is whole. So two
    small convolutions listen to the contrast of the spectrogram (features.spectrum.contrast), which tells shifted from
    clean within a few frames, and say how much of the change is taken. From a trained SpectralRestorer of the same
    sizes the rest can be begun: initialise.parts generator.enter, generator.norm, generator.layers,
    generator.leave_norm and generator.leave.

    Args:
        listeners: channels of the gate's hidden layer.
        sizes: see `generators.spectral.SpectralRestorer`.

    Raises:
        ModelError: sizes that do not fit each other.
    """

    def __init__(self, listeners: int = 64, **sizes: Any) -> None:
        super().__init__(**sizes)
        last = nn.Conv1d(listeners, 1, 5, padding=2)
        nn.init.zeros_(last.weight)
        if last.bias is not None:
            nn.init.constant_(last.bias, OPEN)
        self.gate = nn.Sequential(nn.Conv1d(self.bins, listeners, 5, padding=2), nn.GELU(), last)
        # The contrast sees four frames to either side, each convolution two.
        self.reach = max(self.reach, self.fft + (8 + HOLD // 2) * self.hop)

    def opening(self, magnitude: Tensor) -> Tensor:
        """Say how far it opens, [batch, 1, frames], for a compressed spectrogram, [batch, bins, frames]."""
        said = self.gate(contrast(magnitude))
        held = nn.functional.avg_pool1d(said, HOLD, 1, HOLD // 2, count_include_pad=False)
        return torch.sigmoid(held)

    def _network(self, features: Tensor) -> Tensor:
        return super()._network(features) * self.opening(features[:, : self.bins])
