"""How far an estimate is from the clean target.

SI-SDR is kept for "do no harm" only: of audio that was shifted there and back it mostly hears phase, which one cent or
100 microseconds ruin.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from features.spectrum import stft_magnitude
from gan.losses import MelDistance, STFTDistance, si_sdr

BANDS = ((0, 4), (4, 8), (8, 16), (16, 24))  # kHz
FFT = 2048  # of the log-spectral distance
# Lower is better for all of these; SI-SDR is the one where higher is.
LOWER_IS_BETTER = ("mel", "stft", *(f"lsd_{low}_{high}k" for low, high in BANDS))
SECTION = 10.0
"""Seconds whose spectra are held at once; longer sounds are cut into equal sections, each with its own ends."""
SAME = 1e-10
"""An error of this share of the energy is none, so SI-SDR ends at 100 dB: what is beyond is the rounding's."""


def measure_pair(output: NDArray[np.float32], target: NDArray[np.float32], sample_rate: int) -> dict[str, float]:
    """Compare two waveforms.

    Args:
        output: [channels, samples].
        target: same shape.
        sample_rate: in Hz.

    Returns:
        "mel": mel distance with DAC's settings (Kumar et al. 2023); "stft": multi-resolution STFT distance (Yamamoto et
        al. 2020, auraloss's settings); "lsd_0_4k" and so on: log-spectral distance of a band in dB, where the rate has
        the band; "si_sdr": in dB, -100 to 100 (Le Roux et al. 2019). What takes a lot of memory takes no more for a
        long sound than for one of 10 s.

    Raises:
        ValueError: the shapes differ.
    """
    if output.shape != target.shape:
        raise ValueError(f"cannot compare shapes {output.shape} and {target.shape}")
    ours, theirs = (torch.from_numpy(np.ascontiguousarray(x))[None].float() for x in (output, target))
    mel, stft = _distances(sample_rate)
    sections = _sections(ours, theirs, sample_rate)
    with torch.inference_mode():
        values = {
            "mel": _mean([mel.distance(*section) for section in sections]),
            "stft": _mean([_stft_distance(spectrum, sections) for spectrum in stft.spectra]),
            "si_sdr": float(si_sdr(_of_unit_energy(ours), _of_unit_energy(theirs), SAME).mean()),
        }
        return values | log_spectral_distances(ours, theirs, sample_rate)


def _sections(output: Tensor, target: Tensor, sample_rate: int) -> list[tuple[Tensor, Tensor]]:
    """Cut both sides into equal sections, so that a mean over sections is one over frames."""
    count = max(1, math.ceil(output.shape[-1] / (SECTION * sample_rate)))
    return list(zip(*(side.tensor_split(count, dim=-1) for side in (output, target)), strict=True))


def _stft_distance(spectrum: nn.Module, sections: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Give `STFTDistance` at one resolution; the norms are the whole sound's, so a silent section costs no more."""
    missed, whole, logs = [], [], []
    for section in sections:
        heard, wanted = (spectrum(side) for side in section)
        missed.append((wanted - heard).square().sum(dim=(1, 2)))
        whole.append(wanted.square().sum(dim=(1, 2)))
        logs.append((heard.log() - wanted.log()).abs().mean())
    convergence = (torch.stack(missed).sum(dim=0) / torch.stack(whole).sum(dim=0)).sqrt()
    return convergence.mean() + torch.stack(logs).mean()


def _of_unit_energy(waveform: Tensor) -> Tensor:
    """Scale each channel, so that how much of an error is none depends on neither level nor length."""
    centred = waveform - waveform.mean(dim=-1, keepdim=True)
    energy = centred.square().sum(dim=-1, keepdim=True)
    return centred / energy.clamp(min=1e-30).sqrt()


def _mean(parts: Sequence[Tensor]) -> float:
    return float(torch.stack(list(parts)).mean())


def log_spectral_distances(output: Tensor, target: Tensor, sample_rate: int) -> dict[str, float]:
    """Give the log-spectral distance by band, dB: RMS over a frame's bins, averaged over frames (Gray and Markel 1976).

    Magnitudes are floored at -80 dB under the target's largest, so that silence is not compared bit by bit.

    Args:
        output: [batch, channels, samples].
        target: same shape.
        sample_rate: in Hz; bands above its half are left out.
    """
    sections = _sections(output, target, sample_rate)
    # One floor for all: a section where the target rests is not held against its own rustle.
    floor = max(float(_magnitude(theirs).max()) for _, theirs in sections) * 1e-4 + 1e-10
    frequencies = torch.linspace(0, sample_rate / 2000, FFT // 2 + 1)
    found: dict[str, list[Tensor]] = {}
    for section in sections:
        ours, theirs = (20 * torch.log10(_magnitude(x).clamp(min=floor)) for x in section)
        squares = (ours - theirs).square()  # [..., frequencies, frames]
        for low, high in BANDS:
            inside = (frequencies >= low) & (frequencies < high)
            if sample_rate / 2000 >= high:
                found.setdefault(f"lsd_{low}_{high}k", []).append(squares[..., inside, :].mean(-2).sqrt().mean())
    return {name: _mean(values) for name, values in found.items()}


def _magnitude(waveform: Tensor) -> Tensor:
    return stft_magnitude(waveform, fft=FFT, hop=512, window=FFT)


def mean_of(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Average rows of measurements by name."""
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


@lru_cache(maxsize=4)
def _distances(sample_rate: int) -> tuple[MelDistance, STFTDistance]:
    return MelDistance(sample_rate), STFTDistance()
