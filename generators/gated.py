"""A network at the frame rate that listens first whether there is anything to mend."""

from typing import Any

import torch
from torch import Tensor, nn

from features.spectrum import contrast
from generators.contract import Estimate, ModelError, Pair
from generators.spectral import SpectralRestorer

OPEN = 2.0  # logit of the gate at the start: 88 % open


class GatedRestorer(SpectralRestorer):
    """A spectral restorer whose change of the spectrum goes through a gate for each frame, open for what was shifted.

    Clean input is to come back as it is, and a distance's slope at no distance does not shrink: a network that learns
    that from many unshifted examples learns little else, and one that hears few of them mends what is whole. So a few
    small convolutions of their own listen to the contrast of the spectrogram (features.spectrum.contrast), and how far
    the gate opens is the share of the change that is taken.

    They are told what they hear: their loss is the cross entropy of "was this shifted", the penalty `gate`, and of no
    distance (left to a distance, a gate learns how much to change of which sound, shifted or not). They hear both sides
    of every pair, as the same words, shifted and clean, leave nothing to learn but the difference; clean sides of other
    pairs taught them next to nothing in 700 steps. A pair of twice the same is clean on both.

    What they say is taken together over `hold` frames, as over seconds a voice tells quite surely whether it was
    shifted, and what is sure enough is taken as certain: up to a probability of `shut` the gate is shut and the sound
    comes back as it is, from `wide` on it is open. What is shifted for a part of that time only may be left alone, and
    what is clean beside it changed. Each channel decides for itself. Set `known_shifted` and it stays open: who has
    just shifted a sound need not ask.

    From a trained SpectralRestorer of the same sizes all else can be begun: initialise.parts generator.enter,
    generator.norm, generator.layers, generator.leave_norm and generator.leave.

    Args:
        listeners: channels of the gate's hidden layers, a multiple of 4.
        hold: frames that a gate's logit is the mean of, odd.
        shut: probability up to which the gate is shut, from 0.
        wide: probability from which it is wide open, above shut, to 1.
        sizes: see `generators.spectral.SpectralRestorer`.

    Raises:
        ModelError: sizes that do not fit each other, or no identity path.
    """

    known_shifted: bool

    def __init__(
        self, listeners: int = 96, hold: int = 129, shut: float = 0.0, wide: float = 1.0, **sizes: Any
    ) -> None:
        if hold < 1 or not hold % 2 or not 0 <= shut < wide <= 1:
            raise ModelError(
                f"hold {hold} must be odd, from 1; shut {shut:g} and wide {wide:g} between 0 and 1, rising"
            )
        super().__init__(**sizes)
        if not self.identity:
            raise ModelError("identity must be true: behind a shut gate there would be nothing but silence")
        self.hold, self.shut, self.wide = hold, shut, wide
        self.known_shifted = False
        last = nn.Conv1d(listeners, 1, 5, padding=2)
        nn.init.zeros_(last.weight)
        if last.bias is not None:
            nn.init.constant_(last.bias, OPEN)
        self.gate = nn.Sequential(
            nn.Conv1d(self.bins, listeners, 5, padding=2),
            nn.GELU(),
            nn.Conv1d(listeners, listeners, 5, padding=2, groups=4),
            nn.GELU(),
            last,
        )
        # The contrast sees four frames to either side, each of three convolutions two.
        self.reach = max(self.reach, self.fft + (10 + hold // 2) * self.hop)

    def forward(self, pair: Pair) -> Estimate:
        """Mend the pair's source, and say what the gate's opinion of it costs."""
        both = torch.cat([side.reshape(-1, side.shape[-1]) for side in (pair.source, pair.target)])
        features = self._features(self._spectrum(both)[0])
        said = self._logits(features[:, : self.bins])[:, 0]
        shifted = (pair.source != pair.target).flatten(0, 1).any(dim=1).to(said.dtype)
        wanted = torch.cat([shifted, torch.zeros_like(shifted)])[:, None].expand_as(said)
        costs = nn.functional.binary_cross_entropy_with_logits(said, wanted)
        right = ((said > 0) == (wanted > 0)).to(said.dtype).mean()
        return Estimate(self.restore(pair.source), pair.target, {"gate": costs}, {"gate_right": right})

    def opening(self, magnitude: Tensor) -> Tensor:
        """Say how far it opens, [batch, 1, frames], for a compressed spectrogram, [batch, bins, frames]."""
        if self.known_shifted:
            return torch.ones_like(magnitude[:, :1])
        shifted = torch.sigmoid(self._logits(magnitude))
        return ((shifted - self.shut) / (self.wide - self.shut)).clamp(0, 1)

    def _logits(self, magnitude: Tensor) -> Tensor:
        # Hundreds of small slopes are added up on the way back: in half precision most would be lost.
        said = self.gate(contrast(magnitude)).to(magnitude.dtype)
        held: Tensor = nn.functional.avg_pool1d(said, self.hold, 1, self.hold // 2, count_include_pad=False)
        return held

    def _network(self, features: Tensor) -> Tensor:
        # In training the gate hears nothing of a distance.
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.training):
            opening = self.opening(features[:, : self.bins])
        return super()._network(features) * opening
