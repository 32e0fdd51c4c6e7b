"""What an estimate costs by itself: distances between its output and its target. Weights live in the recipe.

Every term is a mean over the batch, so the loss of a batch is the mean of its parts: two processes train as one.
Only the output gets gradients; the target's side runs without. Terms work in single precision at least.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from features.spectrum import MelSpectrogram, STFTMagnitude, full_precision
from generators.contract import Estimate


class Term(Protocol):
    """One loss of the generator."""

    def __call__(self, estimate: Estimate) -> Tensor:
        """Say what the estimate costs, a scalar."""


class Distance(nn.Module):
    """A term that compares two waveforms; subclasses say how."""

    def forward(self, estimate: Estimate) -> Tensor:
        """Give the distance of the estimate's output from its target."""
        return self.distance(estimate.output, estimate.target)

    def distance(self, output: Tensor, target: Tensor) -> Tensor:
        """Compare waveforms of one shape, [batch, channels, samples]; give a scalar."""
        raise NotImplementedError


class L1(Distance):
    """The mean absolute difference of samples."""

    def distance(self, output: Tensor, target: Tensor) -> Tensor:
        """Compare waveforms, [batch, channels, samples]."""
        return (full_precision(output) - full_precision(target).detach()).abs().mean()


class SISDR(Distance):
    """The NEGATIVE scale-invariant signal-to-distortion ratio in dB, so that lower is better; see `si_sdr`."""

    def distance(self, output: Tensor, target: Tensor) -> Tensor:
        """Compare waveforms, [batch, channels, samples]."""
        return -si_sdr(output, target.detach()).mean()


def si_sdr(output: Tensor, target: Tensor, floor: float = 1e-8) -> Tensor:
    """Give the scale-invariant signal-to-distortion ratio (Le Roux et al., 2019) in dB, higher is better.

    Args:
        output: [batch, channels, samples]; its mean is removed.
        target: same shape, likewise.
        floor: of energies and of the ratio, which keeps silence and equality finite: the least ratio is -80 dB.

    Returns:
        [batch], each the mean over channels.
    """
    output, target = full_precision(output), full_precision(target)
    output = output - output.mean(dim=-1, keepdim=True)
    target = target - target.mean(dim=-1, keepdim=True)
    scale = (output * target).sum(-1, keepdim=True) / (target.square().sum(-1, keepdim=True) + floor)
    explained = scale * target
    ratio = explained.square().sum(-1) / ((output - explained).square().sum(-1) + floor)
    return 10 * torch.log10(ratio + floor).mean(dim=-1)


class MelDistance(Distance):
    """The L1 distance of log10 mel spectra, summed over resolutions: DAC's main loss (Kumar et al., 2023).

    Args:
        sample_rate: in Hz.
        bands: of each resolution; those that are too narrow to hold a bin stay empty, as in DAC.
        windows: of each resolution, in samples; the hop is a quarter.
        floor: the least magnitude that is told from silence.
        fmin: where the lowest band begins, in Hz.
        fmax: where the highest band ends, in Hz; half the sample rate if not given.
    """

    def __init__(
        self,
        sample_rate: int,
        bands: Sequence[int] = (5, 10, 20, 40, 80, 160, 320),
        windows: Sequence[int] = (32, 64, 128, 256, 512, 1024, 2048),
        floor: float = 1e-5,
        *,
        fmin: float = 0.0,
        fmax: float | None = None,
    ) -> None:
        super().__init__()
        if len(bands) != len(windows):
            raise ValueError(f"each resolution needs its bands and its window: {len(bands)} and {len(windows)} given")
        self.floor = floor
        self.spectra = nn.ModuleList(
            MelSpectrogram(sample_rate, window, window // 4, count, fmin=fmin, fmax=fmax)
            for count, window in zip(bands, windows, strict=True)
        )

    def distance(self, output: Tensor, target: Tensor) -> Tensor:
        """Compare waveforms, [batch, channels, samples]."""
        return torch.stack([self._at(spectrum, output, target) for spectrum in self.spectra]).sum()

    def _at(self, spectrum: nn.Module, output: Tensor, target: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = spectrum(target).clamp(min=self.floor).log10()
        return F.l1_loss(spectrum(output).clamp(min=self.floor).log10(), wanted)


class STFTDistance(Distance):
    """Spectral convergence plus the L1 distance of log magnitudes, averaged over resolutions.

    These are Parallel WaveGAN's (Yamamoto et al., 2020) resolutions, and auraloss's defaults. auraloss takes the
    spectral convergence, `|Y - X| / |Y|`, of the whole batch at once; here each waveform has its own, and they are
    averaged, so that a batch costs what its parts do. On one waveform both agree. A silent target costs much: its
    norm is the floor's.

    Args:
        ffts: sizes of the transforms, in samples.
        hops: in samples.
        windows: in samples, each its transform's size at most.
        floor: the least magnitude.
    """

    def __init__(
        self,
        ffts: Sequence[int] = (1024, 2048, 512),
        hops: Sequence[int] = (120, 240, 50),
        windows: Sequence[int] = (600, 1200, 240),
        floor: float = 1e-4,
    ) -> None:
        super().__init__()
        if not len(ffts) == len(hops) == len(windows):
            raise ValueError(
                f"each resolution needs fft, hop and window: {len(ffts)}, {len(hops)}, {len(windows)} given"
            )
        self.spectra = nn.ModuleList(
            STFTMagnitude(fft, hop, window, floor) for fft, hop, window in zip(ffts, hops, windows, strict=True)
        )

    def distance(self, output: Tensor, target: Tensor) -> Tensor:
        """Compare waveforms, [batch, channels, samples]."""
        return torch.stack([self._at(spectrum, output, target) for spectrum in self.spectra]).mean()

    @staticmethod
    def _at(spectrum: nn.Module, output: Tensor, target: Tensor) -> Tensor:
        with torch.no_grad():
            wanted: Tensor = spectrum(target)
        heard: Tensor = spectrum(output)
        missed: Tensor = torch.linalg.vector_norm(wanted - heard, dim=(1, 2))
        whole: Tensor = torch.linalg.vector_norm(wanted, dim=(1, 2))
        return missed.div(whole).mean().add(F.l1_loss(heard.log(), wanted.log()))


class MultiScaleSTFTDistance(Distance):
    """The L1 distances of STFT magnitudes and of the log10 of their squares, summed over scales.

    As DDSP has it (Engel et al., 2020), at the settings of DAC's multi-scale STFT loss (Kumar et al., 2023).

    Args:
        windows: of each scale, in samples; the hop is a quarter.
        floor: the least magnitude under the logarithm.
    """

    def __init__(self, windows: Sequence[int] = (2048, 512), floor: float = 1e-5) -> None:
        super().__init__()
        self.floor = floor
        self.spectra = nn.ModuleList(STFTMagnitude(window, window // 4, window) for window in windows)

    def distance(self, output: Tensor, target: Tensor) -> Tensor:
        """Compare waveforms, [batch, channels, samples]."""
        return torch.stack([self._at(spectrum, output, target) for spectrum in self.spectra]).sum()

    def _at(self, spectrum: nn.Module, output: Tensor, target: Tensor) -> Tensor:
        with torch.no_grad():
            wanted: Tensor = spectrum(target)
        heard: Tensor = spectrum(output)
        log_heard, log_wanted = heard.clamp(min=self.floor).log10(), wanted.clamp(min=self.floor).log10()
        return F.l1_loss(heard, wanted) + 2 * F.l1_loss(log_heard, log_wanted)


class MagnitudeDistance(Distance):
    """The L1 distance of linear STFT magnitudes.

    With a weight of 1, beside a `FeatureDistance` by squares through WavLM with a weight of 100, it makes LMOS,
    the loss of FINALLY (Babaev et al., 2024).

    Args:
        fft: size of the transform, in samples.
        hop: in samples.
        window: in samples, `fft` at most.
    """

    def __init__(self, fft: int = 1024, hop: int = 256, window: int = 1024) -> None:
        super().__init__()
        self.spectrum = STFTMagnitude(fft, hop, window)

    def distance(self, output: Tensor, target: Tensor) -> Tensor:
        """Compare waveforms, [batch, channels, samples]."""
        with torch.no_grad():
            wanted = self.spectrum(target)
        return F.l1_loss(self.spectrum(output), wanted)


class FeatureDistance(Distance):
    """The distance between a frozen ear's maps of output and target, averaged over maps.

    Args:
        ear: see `features.contract.Ear`: `features.wavlm.WavLM`, `features.dac.DACEncoder` or one of their twins.
        distance: mean squared ("mse") or mean absolute ("l1").
    """

    def __init__(self, ear: nn.Module, distance: Literal["mse", "l1"] = "mse") -> None:
        super().__init__()
        self.ear = ear
        self.compare = {"mse": F.mse_loss, "l1": F.l1_loss}[distance]

    def distance(self, output: Tensor, target: Tensor) -> Tensor:
        """Compare waveforms, [batch, channels, samples]."""
        with torch.no_grad():
            wanted: list[Tensor] = self.ear(target)
        pairs = zip(self.ear(output), wanted, strict=True)
        return torch.stack([self.compare(heard, want) for heard, want in pairs]).mean()
