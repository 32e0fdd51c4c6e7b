"""How far an estimate is from the clean target.

SI-SDR is kept for "do no harm" only: of audio that was shifted there and back it mostly hears phase, which one cent or
100 microseconds ruin.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from features.spectrum import stft_magnitude
from gan.losses import MelDistance, STFTDistance, si_sdr

BANDS = ((0, 4), (4, 8), (8, 16), (16, 24))  # kHz
# Lower is better for all of these; SI-SDR is the one where higher is.
LOWER_IS_BETTER = ("mel", "stft", *(f"lsd_{low}_{high}k" for low, high in BANDS))


def measure_pair(output: NDArray[np.float32], target: NDArray[np.float32], sample_rate: int) -> dict[str, float]:
    """Compare two waveforms.

    Args:
        output: [channels, samples].
        target: same shape.
        sample_rate: in Hz.

    Returns:
        "mel": mel distance with DAC's settings (Kumar et al. 2023); "stft": multi-resolution STFT distance (Yamamoto et
        al. 2020, auraloss's settings); "lsd_0_4k" and so on: log-spectral distance of a band in dB, where the rate has
        the band; "si_sdr": in dB (Le Roux et al. 2019).

    Raises:
        ValueError: the shapes differ.
    """
    if output.shape != target.shape:
        raise ValueError(f"cannot compare shapes {output.shape} and {target.shape}")
    ours, theirs = (torch.from_numpy(np.ascontiguousarray(x))[None].float() for x in (output, target))
    mel, stft = _distances(sample_rate)
    with torch.inference_mode():
        values = {
            "mel": float(mel.distance(ours, theirs)),
            "stft": float(stft.distance(ours, theirs)),
            "si_sdr": float(si_sdr(ours, theirs).mean()),
        }
        return values | log_spectral_distances(ours, theirs, sample_rate)


def log_spectral_distances(output: torch.Tensor, target: torch.Tensor, sample_rate: int) -> dict[str, float]:
    """Give the log-spectral distance by band, dB: RMS over a frame's bins, averaged over frames (Gray and Markel 1976).

    Magnitudes are floored at -80 dB under the target's largest, so that silence is not compared bit by bit.

    Args:
        output: [batch, channels, samples].
        target: same shape.
        sample_rate: in Hz; bands above its half are left out.
    """
    spectra = [stft_magnitude(x, fft=2048, hop=512, window=2048) for x in (output, target)]
    floor = float(spectra[1].max()) * 1e-4 + 1e-10
    decibels = [20 * torch.log10(x.clamp(min=floor)) for x in spectra]
    squares = (decibels[0] - decibels[1]).square()  # [..., frequencies, frames]
    frequencies = torch.linspace(0, sample_rate / 2000, squares.shape[-2])
    values = {}
    for low, high in BANDS:
        inside = (frequencies >= low) & (frequencies < high)
        if sample_rate / 2000 >= high:
            values[f"lsd_{low}_{high}k"] = float(squares[..., inside, :].mean(-2).sqrt().mean())
    return values


def mean_of(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Average rows of measurements by name."""
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


@lru_cache(maxsize=4)
def _distances(sample_rate: int) -> tuple[MelDistance, STFTDistance]:
    return MelDistance(sample_rate), STFTDistance()
