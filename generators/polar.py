"""A network at the frame rate whose head is polar: a magnitude and a unit vector for every bin of the spectrum."""

import torch
from torch import Tensor

from generators.spectral import SpectralRestorer, bounded_gain, local_level

FLOOR = 1e-6  # of a squared length: what two outputs near zero can turn by is bounded, and others hardly change
LOUDEST = 5.0  # nepers above the local level, so that a wild output does not become an infinite sample


class PolarRestorer(SpectralRestorer):
    """Spectrogram in; a gain of every bin's magnitude and a rotation of its phase out. It starts as the identity.

    The layers are those of `generators.spectral.SpectralRestorer`, with the same arguments; the head gives three
    numbers m, a and b for a bin. With the identity path the output is X exp(m) u, where u is 1 + a + ib brought to
    length 1. Nothing is added: a bin that is silent stays so.

    Without it the output is local level x exp(m) u, where u is a + ib brought to length 1: a magnitude and a phase of
    its own, as in Vocos (Siuzdak 2023). Two things differ from there. A phase comes as a vector, of two numbers, as
    in APNet (Ai and Ling 2023), so that there is no jump after a whole turn; and a magnitude is held against the
    local level, because the norm of the first layer leaves little of how loud the input is.

    Args: see `generators.spectral.SpectralRestorer`.

    Raises:
        ModelError: sizes that do not fit each other.
    """

    def _outputs(self) -> int:
        return 3

    def _mended(self, spectrum: Tensor, change: Tensor) -> Tensor:
        nepers, real, imaginary = change.chunk(3, dim=1)
        real = real + 1 if self.identity else real
        shrink = torch.rsqrt(real.square() + imaginary.square() + FLOOR)
        turn = torch.complex(real * shrink, imaginary * shrink)
        if self.identity:
            return spectrum * bounded_gain(nepers) * turn
        return local_level(spectrum) * torch.exp(nepers.clamp(max=LOUDEST)) * turn
