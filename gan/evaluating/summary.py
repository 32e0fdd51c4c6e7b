"""What an evaluation came to, material by material: means, and how sure they are. Corpora are never pooled."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields

from gan.evaluating.compare import material_of
from gan.evaluating.measures import CATALOGUE
from gan.evaluating.results import Results
from gan.evaluating.statistics import interval, mean


@dataclass(frozen=True, slots=True)
class Line:
    """A measure of a system on a material.

    Attributes:
        material: a corpus; what was not shifted, or one way only, is a material of its own.
        system: whose.
        measure: its name in the catalogue.
        mean: over the recordings that have it, of the means over their files.
        low: lower end of the mean's 95 % interval, over recordings.
        high: its upper end.
        files: how many have it.
        recordings: of how many recordings they are.
    """

    material: str
    system: str
    measure: str
    mean: float
    low: float
    high: float
    files: int
    recordings: int


def summarise(results: Results) -> list[Line]:
    """Give every measure of every system on every material, in the catalogue's order."""
    lines = []
    for material in sorted({material_of(row) for row in results.rows}):
        for system in results.systems():
            rows = [row for row in results.rows if row.system == system and material_of(row) == material]
            for measure in CATALOGUE:
                having = [row for row in rows if measure in row.values]
                if having:
                    values, recordings = [row.values[measure] for row in having], [row.recording for row in having]
                    ends = interval(values, recordings)
                    counts = len(having), len(set(recordings))
                    lines.append(Line(material, system, measure, mean(values, recordings), *ends, *counts))
    return lines


def as_csv(lines: Iterable[Line]) -> str:
    """Give lines as comma-separated values."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([part.name for part in fields(Line)])
    writer.writerows(astuple(line) for line in lines)
    return text.getvalue()


def as_table(lines: Sequence[Line], systems: Sequence[str]) -> str:
    """Give lines as a table for each material: measures down, systems across."""
    return "\n\n".join(
        _table([line for line in lines if line.material == material], systems)
        for material in sorted({line.material for line in lines})
    )


def _table(lines: Sequence[Line], systems: Sequence[str]) -> str:
    """Give the table of one material."""
    found = {(line.measure, line.system): line for line in lines}
    there = [system for system in systems if any(line.system == system for line in lines)]
    rows = [["mean (95 % interval)", *there]]
    for measure, words in CATALOGUE.items():
        if any(line.measure == measure for line in lines):
            unit = f", {words.unit}" if words.unit else ""
            label = f"{words.label}{unit} ({'lower' if words.lower_is_better else 'higher'} is better)"
            rows.append([label, *(_cell(found.get((measure, system))) for system in there)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(there) + 1)]
    files, recordings = max(line.files for line in lines), max(line.recordings for line in lines)
    of = f"{files} file{'s' * (files != 1)} of {recordings} recording{'s' * (recordings != 1)}"
    text = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([f"{lines[0].material}: {of}", *text])


def _cell(line: Line | None) -> str:
    if line is None:
        return "-"
    # Of one file nothing can be said beyond it.
    return f"{line.mean:.4g}" + (f" ({line.low:.4g} to {line.high:.4g})" if line.files > 1 else "")
