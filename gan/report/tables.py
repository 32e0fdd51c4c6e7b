"""Tables of results: a corpus at a time, means with the change against the unrepaired input and its interval."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Protocol

from gan.evaluating.compare import material_of
from gan.evaluating.results import UNREPAIRED, Row
from gan.evaluating.statistics import Difference, difference, mean

MAIN = "mel"


class Described(Protocol):
    """What a measure is called, and which way is better."""

    @property
    def label(self) -> str: ...  # noqa: D102

    @property
    def unit(self) -> str: ...  # noqa: D102

    @property
    def lower_is_better(self) -> bool: ...  # noqa: D102

    @property
    def meaning(self) -> str: ...  # noqa: D102


Catalogue = Mapping[str, Described]


def figures(rows: Sequence[Row], catalogue: Catalogue, systems: Sequence[str]) -> str:
    """Give the tables of all corpora, what was not shifted and what was shifted one way apart.

    Args:
        rows: of all systems.
        catalogue: the measures by name; one that is not in it is left out.
        systems: in the order of the columns, UNREPAIRED among them where it was measured.

    Returns:
        HTML: for each corpus a table of the measures, and one by shift.
    """
    parts = [
        "<p>Means over recordings, each the mean of its files. Below each stands the change against the unrepaired "
        "input on the same files, with its "
        "95 % bootstrap interval over whole recordings (of a single one over its files, which says nothing of others); "
        "“unclear” means that the interval holds zero, or that the recordings are too few "
        "to tell. Of what was not shifted all change is harm.</p>"
    ]
    for corpus in sorted({row.corpus for row in rows}):
        ours = [row for row in rows if row.corpus == corpus]
        for material in sorted({material_of(row) for row in ours}):
            group = [row for row in ours if material_of(row) == material]
            parts += [f"<h3>{escape(material)} ({_counted(group)})</h3>", _table(group, catalogue, systems)]
        for direction in sorted({row.direction for row in ours}, reverse=True):
            parts.append(_by_shift([row for row in ours if row.direction == direction], catalogue, systems))
    named = [name for name in catalogue if any(name in row.values for row in rows)]
    meanings = (f"<dt>{escape(catalogue[n].label)}</dt><dd>{escape(catalogue[n].meaning)}</dd>" for n in named)
    return "\n".join([*parts, f"<dl>{''.join(meanings)}</dl>"])


def compare(rows: Iterable[Row], system: str, measure: str) -> Difference | None:
    """Compare a system with the unrepaired input, file by file; None where no file has both."""
    rows = list(rows)
    before = {row.file: row.values.get(measure, math.nan) for row in rows if row.system == UNREPAIRED}
    after = [row for row in rows if row.system == system and row.file in before]
    values = [row.values.get(measure, math.nan) for row in after]
    return difference(values, [before[row.file] for row in after], [row.recording for row in after])


def table(heads: Sequence[str], lines: Iterable[str], caption: str) -> str:
    """Give a table that scrolls by itself: heads and lines (whole rows) as HTML, what it is about as text."""
    top = "".join(f'<th scope="col">{head}</th>' for head in heads)
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(caption)}"><table><thead><tr>{top}</tr>'
        f"</thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _counted(rows: Sequence[Row]) -> str:
    counts = ((len({row.file for row in rows}), "file"), (len({row.recording for row in rows}), "recording"))
    return " of ".join(f"{count} {word}{'s' * (count != 1)}" for count, word in counts)


def _table(rows: Sequence[Row], catalogue: Catalogue, systems: Sequence[str]) -> str:
    names = [name for name in catalogue if any(name in row.values for row in rows)]
    lines = []
    for name in names:
        cells = "".join(_cell(rows, system, name, catalogue[name].lower_is_better) for system in systems)
        label = f"{escape(catalogue[name].label)}<small>{_direction(catalogue[name])}</small>"
        lines.append(f'<tr><th scope="row">{label}</th>{cells}</tr>')
    return table(["measure", *map(escape, systems)], lines, "Measures by system")


def _direction(measure: Described) -> str:
    better = "lower is better" if measure.lower_is_better else "higher is better"
    return escape(", ".join(filter(None, (measure.unit, better))))


def _cell(rows: Sequence[Row], system: str, name: str, lower_is_better: bool) -> str:
    found = compare(rows, system, name)
    if found is None:
        # A system may have been measured on files of its own, or the input never.
        return _mean(rows, system, lambda row: row.values.get(name, math.nan))
    if system == UNREPAIRED:
        return f"<td>{_number(found.mean)}</td>"
    verdict = found.verdict(lower_is_better)
    between = f"{found.low:+.3f} to {found.high:+.3f}"
    small = f'<small class="{verdict}">{found.change:+.3f} {verdict}</small><small>{between}</small>'
    return f"<td>{_number(found.mean)}{small}</td>"


def _number(value: float) -> str:
    return f"{value:.3f}"


def _by_shift(rows: Sequence[Row], catalogue: Catalogue, systems: Sequence[str]) -> str:
    """Give the main measure's means by shift, a system a column; "" where all shifts are one."""
    shifts = sorted({row.semitones for row in rows})
    name = next((n for n in (MAIN, *catalogue) if n in catalogue and any(n in row.values for row in rows)), None)
    if len(shifts) < 2 or name is None:
        return ""
    lines = []
    for shift in shifts:
        chosen = [row for row in rows if row.semitones == shift]
        cells = "".join(_mean(chosen, system, lambda row: row.values.get(name, math.nan)) for system in systems)
        count = len({row.file for row in chosen})
        lines.append(f'<tr><th scope="row">{f"{shift:+g}" if shift else "0"}</th><td>{count}</td>{cells}</tr>')
    heads = ["semitones", "files", *map(escape, systems)]
    caption = f"{catalogue[name].label} by shift"
    return f"<h4>{escape(caption)}</h4>" + table(heads, lines, caption)


def _mean(rows: Sequence[Row], system: str, value: Callable[[Row], float]) -> str:
    found = [(value(row), row.recording) for row in rows if row.system == system and math.isfinite(value(row))]
    values, recordings = [figure for figure, _ in found], [recording for _, recording in found]
    return f"<td>{_number(mean(values, recordings))}</td>" if found else "<td>n/a</td>"
