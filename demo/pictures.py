"""The demo's pictures as PNG: spectrograms side by side, and loss curves."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

WINDOW = 2048
RANGE_DB = 80.0
INK = {"light": "#24292f", "dark": "#d7dce2"}


@dataclass(frozen=True)
class Curve:
    """One stage's run as its journal tells it: training losses and validation figures as (step, value) by name."""

    stage: str
    train: dict[str, list[tuple[int, float]]]
    validation: dict[str, list[tuple[int, float]]]


def curve(stage: str, entries: Iterable[dict[str, Any]]) -> Curve:
    """Sort a journal's lines (as gan.journal reads them) by kind and name; what is not finite is left out."""
    made = Curve(stage, {}, {})
    for entry in entries:
        into = {"train": made.train, "validation": made.validation}.get(entry["kind"], {})
        for name, value in entry["values"].items():
            if np.isfinite(value):
                into.setdefault(name, []).append((entry["step"], value))
    return made


def power_db(waveform: np.ndarray, frames: int = 500) -> np.ndarray:
    """Give the power spectrogram of the first channel in dB of full scale, [bins, frames] (Hann window, 2048)."""
    wave = np.pad(waveform[0].astype(np.float64), (0, max(0, WINDOW - waveform.shape[1])))
    hop = max(1, (wave.size - WINDOW) // frames)
    window = np.hanning(WINDOW)
    cut = np.lib.stride_tricks.sliding_window_view(wave, WINDOW)[::hop] * window
    magnitude = np.abs(np.fft.rfft(cut)) / (window.sum() / 2)
    return np.asarray(20 * np.log10(magnitude.T + 1e-10))


def spectrograms(tracks: Sequence[tuple[str, np.ndarray]], sample_rate: int) -> bytes:
    """Draw (label, waveform [channels, samples]) side by side on one colour scale; axes in seconds and kHz.

    The picture has its own dark ground, so it looks alike in light and dark pages.
    """
    figure, pyplot = _figure(13, 3.6)
    figure.set_facecolor("#14121c")
    axes = figure.subplots(1, len(tracks), sharey=True, squeeze=False)[0]
    levels = [power_db(waveform) for _, waveform in tracks]
    top = max(-60.0, 5 * np.ceil(max(np.quantile(level, 0.999) for level in levels) / 5))
    for axis, level, (label, waveform) in zip(axes, levels, tracks, strict=True):
        extent = (0, waveform.shape[1] / sample_rate, 0, sample_rate / 2000)
        kind = {"origin": "lower", "aspect": "auto", "interpolation": "nearest", "cmap": "magma"}
        image = axis.imshow(level, extent=extent, vmin=top - RANGE_DB, vmax=top, **kind)
        axis.set_title(label, fontsize=11)
        axis.set_xlabel("seconds")
        _ink(axis, INK["dark"])
    axes[0].set_ylabel("kHz")
    bar = figure.colorbar(image, ax=list(axes), pad=0.01, fraction=0.02)
    bar.set_label("dB of full scale")
    bar.ax.yaxis.label.set_color(INK["dark"])
    _ink(bar.ax, INK["dark"])
    return _png(figure, pyplot, transparent=False)


def loss_curves(curves: Sequence[Curve], mode: str) -> bytes:
    """Draw training losses above, the validation mel distance below, a column a stage; mode is "light" or "dark"."""
    figure, pyplot = _figure(13, 6)
    axes = figure.subplots(2, len(curves), sharey="row", squeeze=False)
    for column, curve in enumerate(curves):
        upper, lower = axes[0][column], axes[1][column]
        upper.set_title(curve.stage, fontsize=11)
        for name in sorted(curve.train):
            if name.startswith("loss/") and name != "loss/total":
                _plot(upper, curve.train[name], name.removeprefix("loss/"))
        if any(value > 0 for series in curve.train.values() for _, value in series):
            upper.set_yscale("symlog", linthresh=0.1)
        _plot(lower, curve.validation.get("mel", []), "restored", marker="o")
        _plot(lower, curve.validation.get("mel_baseline", []), "unrepaired", linestyle="--")
        lower.set_xlabel("step")
        for axis in (upper, lower):
            _ink(axis, INK[mode])
            axis.grid(alpha=0.2, color=INK[mode])
            axis.xaxis.get_major_locator().set_params(integer=True)
            if axis.lines:
                axis.legend(fontsize=8, frameon=False, labelcolor=INK[mode])
    axes[0][0].set_ylabel("training losses, unweighted")
    axes[1][0].set_ylabel("validation mel distance")
    return _png(figure, pyplot, transparent=True)


def _plot(axis: Any, series: Sequence[tuple[int, float]], label: str, **style: Any) -> None:
    if series:
        steps, values = zip(*series, strict=True)
        axis.plot(steps, values, label=label, linewidth=1.4, markersize=3, **style)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot.figure(figsize=(width, height), dpi=100, layout="constrained"), pyplot


def _ink(axis: Any, colour: str) -> None:
    axis.tick_params(colors=colour, which="both", labelsize=9)
    for label in (axis.title, axis.xaxis.label, axis.yaxis.label):
        label.set_color(colour)
    for spine in axis.spines.values():
        spine.set_color(colour)
        spine.set_alpha(0.4)
    axis.set_facecolor("none")


def _png(figure: Any, pyplot: Any, *, transparent: bool) -> bytes:
    held = io.BytesIO()
    figure.savefig(held, format="png", transparent=transparent)
    pyplot.close(figure)
    return held.getvalue()
