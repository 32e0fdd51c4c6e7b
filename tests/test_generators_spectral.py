"""How loud a frame-rate network may make what it mends."""

import numpy as np
import pytest
import torch

from generators.contract import ModelError
from generators.spectral import SpectralRestorer, limited

SIZES = {"fft": 64, "hop": 16, "width": 8, "layers": 1}


def louder(nepers: float, **more: float) -> SpectralRestorer:
    """A network that multiplies every bin by exp(nepers), nearly."""
    network = SpectralRestorer(**SIZES, **more).eval().double()
    with torch.no_grad():
        network.leave.bias[: network.bins] = nepers
    return network


@torch.no_grad()
@pytest.mark.parametrize(("nepers", "comes"), [(1.0, 1.5), (0.1, 0.868), (-1.0, -8.38), (0.0, 0.0)])
def test_it_makes_nothing_louder_than_it_may(nepers: float, comes: float) -> None:
    noise = torch.randn(1, 1, 8000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    output = louder(nepers, rise=1.5).restore(noise)
    middle = slice(500, -500)
    gain = 20 * torch.log10(output[..., middle].norm() / noise[..., middle].norm())
    assert float(gain) == pytest.approx(comes, abs=0.05)
    unlimited = louder(nepers).restore(noise)
    if comes != 1.5:
        assert torch.allclose(output, unlimited, atol=1e-12), "what is allowed is not touched"
    else:
        assert unlimited.norm() > 2 * noise.norm()


def test_the_level_is_a_mean_over_bins_and_frames() -> None:
    rng = np.random.default_rng(0)
    before, after = (rng.normal(size=(30, 40)) + 1j * rng.normal(size=(30, 40)) for _ in range(2))
    after[10:20] *= 4
    found = limited(torch.from_numpy(after)[None], torch.from_numpy(before)[None], 2.0)[0].numpy()
    for row, column in ((0, 0), (5, 7), (14, 20), (29, 39), (20, 0)):
        around = np.s_[max(0, row - 4) : row + 5, max(0, column - 4) : column + 5]
        allowed = 10**0.1 * (np.abs(before[around]).mean() + 1e-6) / (np.abs(after[around]).mean() + 1e-6)
        assert found[row, column] == pytest.approx(after[row, column] * min(1.0, allowed), rel=1e-9)


@torch.no_grad()
def test_its_reach_grows_by_what_it_listens_around() -> None:
    network = louder(1.0, rise=0.5)
    assert network.reach == SpectralRestorer(**SIZES).reach + 4 * 16
    waveform = torch.randn(1, 1, 4000, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    plain = network.restore(waveform)[0, 0, 2000]
    for away, same in ((network.reach, True), (5 * 16, False)):
        changed = waveform.clone()
        changed[..., : 2000 - away] = 0
        changed[..., 2001 + away :] = 0
        assert (float((network.restore(changed)[0, 0, 2000] - plain).abs()) < 1e-12) == same


@pytest.mark.parametrize("rise", [-0.1, float("inf"), float("nan")])
def test_a_rise_that_cannot_be_is_refused(rise: float) -> None:
    with pytest.raises(ModelError, match="rise"):
        SpectralRestorer(**SIZES, rise=rise)
