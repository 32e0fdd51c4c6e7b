"""The grid as a picture: quality by semitone, a panel for each material and measure."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from gan.evaluating.grid import GridCell, Harm
from gan.evaluating.measures import CATALOGUE

PANEL = (5.2, 3.6)
"""Inches."""


def draw_grid(cells: Sequence[GridCell], unshifted: Sequence[Harm], system: str) -> bytes:
    """Draw means by semitone: the system solid, with the interval of its change; the unrepaired input dashed.

    Args:
        cells: of one or several measures, see gan.evaluating.grid.grid.
        unshifted: the same measures of clips that were not shifted; each is a dotted line.
        system: its name.

    Returns:
        A PNG.
    """
    from matplotlib import rc_context  # slow to import; no window system is asked for

    with rc_context({"text.parse_math": False}):  # a dollar in a name is no formula
        return _draw(cells, unshifted, system)


def _draw(cells: Sequence[GridCell], unshifted: Sequence[Harm], system: str) -> bytes:
    from matplotlib.figure import Figure

    materials = list(dict.fromkeys(cell.material for cell in cells))
    measures = list(dict.fromkeys(cell.measure for cell in cells))
    shifters = sorted({cell.shifter for cell in cells})
    size = PANEL[0] * len(materials), PANEL[1] * len(measures)
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    axes = figure.subplots(len(measures), len(materials), squeeze=False)
    for row, measure in zip(axes, measures, strict=True):
        for axis, material in zip(row, materials, strict=True):
            here = [cell for cell in cells if (cell.material, cell.measure) == (material, measure)]
            for place, shifter in enumerate(shifters):
                _curve(axis, [cell for cell in here if cell.shifter == shifter], f"C{place % 10}", system)
            for one in unshifted:
                if (one.material, one.measure) == (material, measure):
                    axis.axhline(one.mean, linestyle=":", color="black", linewidth=1.2, label="not shifted")
            _name(axis, material, measure, sorted({cell.semitones for cell in here}))
    known: dict[str, Any] = {}
    for axis in axes.flat:  # a material can lack a shifter that another one has
        handles, labels = axis.get_legend_handles_labels()
        known |= dict(zip(labels, handles, strict=True))
    figure.legend(known.values(), known.keys(), loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    held = io.BytesIO()
    figure.savefig(held, format="png")
    return held.getvalue()


def _curve(axis: Any, cells: Sequence[GridCell], colour: str, system: str) -> None:
    """Draw one shifter; up and down apart, as nothing is between them."""
    label = True
    for side in ([c for c in cells if c.semitones < 0], [c for c in cells if c.semitones > 0]):
        if side:
            shifts = [cell.semitones for cell in side]
            found = [cell.difference for cell in side]
            names = (f"{side[0].shifter}, {system}", f"{side[0].shifter}, unrepaired") if label else (None, None)
            ends = [[d.change - d.low for d in found], [d.high - d.change for d in found]]
            bars = {"marker": "o", "markersize": 4, "capsize": 3, "elinewidth": 1, "label": names[0]}
            axis.errorbar(shifts, [d.mean for d in found], yerr=np.maximum(ends, 0), color=colour, **bars)
            style = {"linestyle": "--", "marker": "x", "markersize": 4, "linewidth": 1.2, "alpha": 0.8}
            axis.plot(shifts, [d.baseline for d in found], color=colour, label=names[1], **style)
            label = False


def _name(axis: Any, material: str, measure: str, semitones: Sequence[float]) -> None:
    facts = CATALOGUE[measure]
    axis.set_title(material, fontsize=11)
    axis.set_xlabel("semitones")
    axis.set_xticks(semitones, [f"{k:+g}" for k in semitones], fontsize=8)
    way = "lower" if facts.lower_is_better else "higher"
    axis.set_ylabel(f"{facts.label}{f', {facts.unit}' if facts.unit else ''} ({way} is better)", fontsize=9)
    axis.grid(alpha=0.25)
