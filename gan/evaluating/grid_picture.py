"""The grid as a picture, a column for each material: for each measure what the system changes, and quality itself."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gan.evaluating.grid import GridCell, Harm
from gan.evaluating.measures import CATALOGUE
from gan.evaluating.statistics import FEWEST

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANEL = (5.2, 2.9)
"""Inches."""
APART = 0.5
"""What the shifters of one shift take of the room between two shifts, so that none hides another."""
MARKERS = "osD^vP*X"


def draw_grid(cells: Sequence[GridCell], unshifted: Sequence[Harm], system: str) -> bytes:
    """Draw a grid, see `grid_figure`.

    Returns:
        A PNG.
    """
    from matplotlib import rc_context  # slow to import; no window system is asked for

    with rc_context({"text.parse_math": False}):  # a dollar in a name is no formula
        held = io.BytesIO()
        grid_figure(cells, unshifted, system).savefig(held, format="png")
    return held.getvalue()


def grid_figure(cells: Sequence[GridCell], unshifted: Sequence[Harm], system: str) -> "Figure":
    """Lay a grid out by semitone: two rows of panels for each measure, the materials side by side.

    The upper row is the change from the unrepaired input to the system with its 95 % interval, where zero is no change
    and the better side is shaded; a mark is filled where there is a verdict (the interval leaves zero out). The lower
    row is quality itself: the system solid, the unrepaired input dashed. There the two often lie on each other.

    Args:
        cells: of one or several measures, see gan.evaluating.grid.grid.
        unshifted: the same measures of clips that were not shifted, drawn at 0 semitones of the lower row.
        system: its name.
    """
    from matplotlib.figure import Figure

    materials = list(dict.fromkeys(cell.material for cell in cells))
    measures = list(dict.fromkeys(cell.measure for cell in cells))
    shifters = sorted({cell.shifter for cell in cells})
    size = PANEL[0] * len(materials), 2 * PANEL[1] * len(measures)
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    axes = figure.subplots(2 * len(measures), len(materials), squeeze=False)
    for number, measure in enumerate(measures):
        for column, material in enumerate(materials):
            upper, lower = axes[2 * number : 2 * number + 2, column]
            here = [cell for cell in cells if (cell.material, cell.measure) == (material, measure)]
            still = [one.mean for one in unshifted if (one.material, one.measure) == (material, measure)]
            shifts = sorted({cell.semitones for cell in here} | {0.0})
            for place, shifter in enumerate(shifters):
                its = [cell for cell in here if cell.shifter == shifter]
                aside = APART * ((place + 0.5) / len(shifters) - 0.5)
                _changes(upper, its, shifts, aside, place, system)
                _curves(lower, its, shifts, place, system)
            if still:
                lower.plot(shifts.index(0.0), still[0], "k_", markersize=9, label=f"not shifted, {system}")
            _name(upper, lower, material, measure, shifts)
    known: dict[str, Any] = {}
    for axis in axes.flat:  # a material can lack a shifter that another one has
        handles, labels = axis.get_legend_handles_labels()
        known |= dict(zip(labels, handles, strict=True))
    columns = min(6, 2 * len(materials))
    figure.legend(known.values(), known.keys(), loc="outside lower center", ncols=columns, fontsize=8, frameon=False)
    return figure


def _changes(
    axis: Any, cells: Sequence[GridCell], shifts: Sequence[float], aside: float, place: int, system: str
) -> None:
    """Draw one shifter's changes with their intervals."""
    colour, marker = f"C{place % 10}", MARKERS[place % len(MARKERS)]
    for number, cell in enumerate(cells):
        found = cell.difference
        sure = found.verdict(CATALOGUE[cell.measure].lower_is_better) != "unclear"
        ends = np.maximum([[found.change - found.low], [found.high - found.change]], 0)
        axis.errorbar(
            shifts.index(cell.semitones) + aside,
            found.change,
            yerr=ends,
            color=colour,
            marker=marker,
            markersize=5,
            markerfacecolor=colour if sure else "white",
            capsize=2,
            elinewidth=1.2,
            linestyle="none",
            label=f"{cell.shifter}, {system} - unrepaired" if number == 0 else None,
        )


def _curves(axis: Any, cells: Sequence[GridCell], shifts: Sequence[float], place: int, system: str) -> None:
    """Draw one shifter's means; up and down apart, as nothing is between them."""
    colour, marker = f"C{place % 10}", MARKERS[place % len(MARKERS)]
    for number, side in enumerate(([c for c in cells if c.semitones < 0], [c for c in cells if c.semitones > 0])):
        if side:
            at = [shifts.index(cell.semitones) for cell in side]
            named = number == 0 or cells[0].semitones > 0
            style = {"color": colour, "marker": marker, "markersize": 3, "linewidth": 1.2}
            for system_named, dashes, values in (
                (system, "-", [cell.difference.mean for cell in side]),
                ("unrepaired", "--", [cell.difference.baseline for cell in side]),
            ):
                label = f"{side[0].shifter}, {system_named}" if named else None
                axis.plot(at, values, linestyle=dashes, label=label, **style)


def _name(upper: Any, lower: Any, material: str, measure: str, shifts: Sequence[float]) -> None:
    facts = CATALOGUE[measure]
    unit = f", {facts.unit}" if facts.unit else ""
    upper.set_title(material, fontsize=11)
    low, high = upper.get_ylim()
    low, high = min(low, 0.0), max(high, 0.0)
    better = (low, 0.0) if facts.lower_is_better else (0.0, high)
    upper.axhspan(*better, color="green", alpha=0.07, linewidth=0)
    upper.axhline(0.0, color="black", linewidth=1)
    upper.set_ylim(low, high)
    way = "below" if facts.lower_is_better else "above"
    upper.set_ylabel(f"change of {facts.label}{unit}\n({way} 0 is better)", fontsize=8)
    lower.set_ylabel(f"{facts.label}{unit}\n({'lower' if facts.lower_is_better else 'higher'} is better)", fontsize=8)
    lower.set_xlabel(f"semitones (filled above: 0 is left out, by {FEWEST} recordings at least)", fontsize=8)
    for axis in (upper, lower):
        axis.set_xticks(range(len(shifts)), [f"{k:+g}" if k else "0" for k in shifts], fontsize=8)
        axis.set_xlim(-0.6, len(shifts) - 0.4)
        axis.grid(alpha=0.25)
