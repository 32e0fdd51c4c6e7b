"""A wave U-Net on patches: it never works at the waveform's own rate, where a CPU spends most of its time."""

from collections.abc import Sequence

from torch import Tensor, nn

from generators.contract import ModelError
from generators.convolution import Snake, Upsample
from generators.restorer import Restorer


class PatchRestorer(Restorer):
    """The U-Net of `generators.restorer.Restorer`, whose channels begin as the samples of a patch.

        wave - patches - 5 - units - down - ... - units - up - skip - units - ... - 5 - patches - wave

    Nothing is lost on the way in, and a patch of 8 makes the outermost stage an eighth as long. Patches in a wave U-Net
    are of the first experiments on repairing shifted voices; they had ConvNeXt blocks, where these are DAC's residual
    units (Kumar et al. 2023), which served better there and are two to four times as fast on a CPU at these widths.

    Args:
        sample_rate: in Hz.
        patch: samples of a patch, which become as many channels.
        channels: at each depth, the shallowest first.
        strides: between one depth and the next.
        dilations: of the residual units at each depth.
        upsample: "nearest" or "transposed", see generators.convolution.Up.
        identity: add the input to the output instead of bounding it with tanh, and start as the identity.

    Raises:
        ModelError: lists that do not fit each other, or a patch of no sample.
    """

    def __init__(
        self,
        sample_rate: int = 48000,
        patch: int = 8,
        channels: Sequence[int] = (32, 64, 160, 320),
        strides: Sequence[int] = (2, 4, 4),
        dilations: Sequence[int] = (1, 3, 9),
        upsample: Upsample = "nearest",
        identity: bool = True,
    ) -> None:
        if patch < 1:
            raise ModelError(f"a patch has one sample or more, not {patch}")
        super().__init__(sample_rate, channels, strides, dilations, None, upsample, identity)
        last = nn.Conv1d(channels[0], patch, 5, padding=2)
        self.enter = nn.Sequential(nn.Conv1d(patch, channels[0], 5, padding=2))
        self.leave = nn.Sequential(Snake(channels[0]), last)
        self.patch = patch
        self.hop *= patch
        # In patches: two convolutions of 7 have become two of 5. The patch that is farthest away is heard whole.
        self.reach = (self.reach - 3 - 3 + 2 + 2) * patch + patch - 1
        if identity:
            for parameter in last.parameters():
                nn.init.zeros_(parameter)

    def _network(self, hidden: Tensor) -> Tensor:
        """[batch, 1, patches * patch] to the same shape."""
        patches = hidden.reshape(len(hidden), -1, self.patch).transpose(1, 2)
        return super()._network(patches).transpose(1, 2).reshape(hidden.shape)
