"""Several named discriminators that judge the same waveform."""

from torch import Tensor, nn

from discriminators.contract import Opinion


class Ensemble(nn.Module):
    """A panel of named members, as DAC's (Kumar et al., 2023) or any other choice of them.

    Args:
        members: discriminators by name; the names appear in the journal and in checkpoints, and hold no dot.
        normalise: remove each waveform's mean and bring its peak to 0.8 first, as DAC does, so that no member can
            tell real from fake by level alone.
    """

    def __init__(self, members: dict[str, nn.Module], normalise: bool = True) -> None:
        super().__init__()
        if not members:
            raise ValueError("an ensemble of discriminators needs a member at least")
        self.members = nn.ModuleDict(members)
        self.normalise = normalise

    def prepared(self, waveform: Tensor) -> Tensor:
        """Give what the members hear of [batch, channels, samples]."""
        return normalised(waveform) if self.normalise else waveform

    def forward(self, waveform: Tensor) -> dict[str, Opinion]:
        """Judge [batch, channels, samples]; every member's opinion, by its name."""
        waveform = self.prepared(waveform)
        return {name: member(waveform) for name, member in self.members.items()}


def normalised(waveform: Tensor, peak: float = 0.8, quietest: float = 1e-4) -> Tensor:
    """Remove the mean of each channel and scale its peak to `peak`, [..., samples].

    What peaks below `quietest` (-80 dB of full scale) is scaled as if it peaked there. DAC scales it to 0.8 as well:
    of digital silence that makes a gradient nearly a billion times too large, and of dither a loud noise to judge.
    """
    waveform = waveform - waveform.mean(dim=-1, keepdim=True)
    return peak * waveform / waveform.abs().amax(dim=-1, keepdim=True).clamp(min=quietest)
