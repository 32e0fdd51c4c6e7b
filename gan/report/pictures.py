"""The page's pictures as PNG: spectrograms side by side, and a run's curves."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gan.audio import Waveform

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WINDOW = 2048
RANGE_DB = 80.0
LARGEST = 1e100  # beyond it, or not finite, nothing can be drawn
INK = {"light": "#24292f", "dark": "#d7dce2"}
WIDTH, INCH = 13.0, 4.3  # of a row of spectrograms, and of one of them


@dataclass(frozen=True)
class Curve:
    """One run as its journal tells it.

    Attributes:
        stage: its name.
        train: training losses as (step, value) by name.
        validation: validation figures, likewise.
        verdicts: what the doctor said: step and sentence.
    """

    stage: str
    train: dict[str, list[tuple[int, float]]]
    validation: dict[str, list[tuple[int, float]]]
    verdicts: list[tuple[int, str]] = field(default_factory=list)


def curve(stage: str, entries: Iterable[dict[str, Any]]) -> Curve:
    """Sort a journal's lines (as gan.journal reads them) by kind and name; what cannot be drawn is left out."""
    made = Curve(stage, {}, {})
    for entry in entries:
        if abs(entry["step"]) > LARGEST:
            continue
        if entry["kind"] == "verdict" and entry.get("sentence"):
            made.verdicts.append((entry["step"], str(entry["sentence"])))
        into = {"train": made.train, "validation": made.validation}.get(entry["kind"], {})
        for name, value in entry["values"].items():
            if isinstance(value, int | float) and abs(value) <= LARGEST:
                into.setdefault(name, []).append((entry["step"], value))
    return made


def power_db(waveform: Waveform, frames: int = 500) -> NDArray[np.float64]:
    """Give the power spectrogram of the first channel in dB of full scale, [bins, frames] (Hann window, 2048)."""
    wave = np.pad(waveform[0].astype(np.float64), (0, max(0, WINDOW - waveform.shape[1])))
    hop = max(1, (wave.size - WINDOW) // frames)
    window = np.hanning(WINDOW)
    cut = np.lib.stride_tricks.sliding_window_view(wave, WINDOW)[::hop] * window
    magnitude = np.abs(np.fft.rfft(cut)) / (window.sum() / 2)
    return np.asarray(20 * np.log10(magnitude.T + 1e-10))


def spectrograms(tracks: Sequence[tuple[str, Waveform]], sample_rate: int) -> bytes:
    """Draw (label, waveform [channels, samples]) side by side on one colour scale; axes in seconds and kHz.

    The picture has its own dark ground, so it looks alike in light and dark pages.
    """
    figure = _figure(max(WIDTH, INCH * len(tracks)), 3.6)
    figure.set_facecolor("#14121c")
    axes = figure.subplots(1, len(tracks), sharey=True, squeeze=False)[0]
    levels = [power_db(waveform) for _, waveform in tracks]
    top = max(-60.0, 5 * np.ceil(max(np.quantile(level, 0.999) for level in levels) / 5))
    for axis, level, (label, waveform) in zip(axes, levels, tracks, strict=True):
        extent = (0, waveform.shape[1] / sample_rate, 0, sample_rate / 2000)
        kind = {"origin": "lower", "aspect": "auto", "interpolation": "nearest", "cmap": "magma"}
        image = axis.imshow(level, extent=extent, vmin=top - RANGE_DB, vmax=top, **kind)
        axis.set_title(label, fontsize=11, parse_math=False)  # a dollar sign is no formula
        axis.set_xlabel("seconds")
        _ink(axis, INK["dark"])
    axes[0].set_ylabel("kHz")
    bar = figure.colorbar(image, ax=list(axes), pad=0.01, fraction=0.02)
    bar.set_label("dB of full scale")
    bar.ax.yaxis.label.set_color(INK["dark"])
    _ink(bar.ax, INK["dark"])
    return _png(figure, transparent=False)


def loss_curves(curves: Sequence[Curve], mode: str) -> bytes:
    """Draw training losses above, the validation mel distance below, a column a run; mode is "light" or "dark".

    A dotted line stands where the doctor gave a verdict.
    """
    figure = _figure(WIDTH, 6)
    axes = figure.subplots(2, len(curves), sharey="row", squeeze=False)
    for column, one in enumerate(curves):
        upper, lower = axes[0][column], axes[1][column]
        upper.set_title(one.stage, fontsize=11, parse_math=False)
        for name in sorted(one.train):
            if name.startswith("loss/") and name != "loss/total":
                _plot(upper, one.train[name], name.removeprefix("loss/"))
        if any(value > 0 for series in one.train.values() for _, value in series):
            upper.set_yscale("symlog", linthresh=0.1)
        _plot(lower, one.validation.get("mel", []), "restored", marker="o")
        _plot(lower, one.validation.get("mel_baseline", []), "unrepaired", linestyle="--")
        lower.set_xlabel("step")
        for axis in (upper, lower):
            for step in sorted({step for step, _ in one.verdicts}):
                axis.axvline(step, linestyle=":", linewidth=1.2, color=INK[mode], alpha=0.7)
            _ink(axis, INK[mode])
            axis.grid(alpha=0.2, color=INK[mode])
            axis.xaxis.get_major_locator().set_params(integer=True)
            if axis.get_legend_handles_labels()[1]:
                for text in axis.legend(fontsize=8, frameon=False, labelcolor=INK[mode]).get_texts():
                    text.set_parse_math(False)
    axes[0][0].set_ylabel("training losses, unweighted")
    axes[1][0].set_ylabel("validation mel distance")
    return _png(figure, transparent=True)


def _plot(axis: Any, series: Sequence[tuple[int, float]], label: str, **style: Any) -> None:
    if series:
        steps, values = zip(*series, strict=True)
        axis.plot(steps, values, label=label, linewidth=1.4, markersize=3, **style)


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure  # slow to import; no window system is asked for

    return Figure(figsize=(width, height), dpi=100, layout="constrained")


def _ink(axis: Any, colour: str) -> None:
    axis.tick_params(colors=colour, which="both", labelsize=9)
    for label in (axis.title, axis.xaxis.label, axis.yaxis.label):
        label.set_color(colour)
    for spine in axis.spines.values():
        spine.set_color(colour)
        spine.set_alpha(0.4)
    axis.set_facecolor("none")


def _png(figure: "Figure", *, transparent: bool) -> bytes:
    held = io.BytesIO()
    figure.savefig(held, format="png", transparent=transparent)
    return held.getvalue()
