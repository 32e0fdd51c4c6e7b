"""Comparisons and grids as tables for a terminal."""

from collections.abc import Iterable, Sequence

from gan.evaluating.compare import TEST, Cell, Comparison
from gan.evaluating.grid import GridCell, Harm, Unseen
from gan.evaluating.measures import CATALOGUE
from gan.evaluating.statistics import FEWEST, LEVEL, Difference

MARKS = {"better": "*", "worse": "!", "unclear": " "}
LEGEND = f"* better, ! worse: the 95 % interval over recordings, {FEWEST} at least, leaves zero out"


def comparison_text(found: Comparison) -> str:
    """Lay a comparison out: a line for each material and measure, then what was tested."""
    heads = ["material", "measure", "first", "second", "change", "95 % interval", "p", "p (Holm)", "", "recordings"]
    lines = [heads, *(_comparison_line(cell) for cell in found.cells)]
    tests = found.tests()
    how = f"{TEST}; {tests} test{'s' * (tests != 1)} of {', '.join(found.chosen)}, Holm's correction, level {LEVEL:g}"
    names = f"first: {found.first}\nsecond: {found.second}"
    return "\n".join([names, "", columns(lines, left=2), "", how, *found.remarks, _verdict(found)])


def _verdict(found: Comparison) -> str:
    """Say in a line what follows; where recordings are too few to say anything, that."""
    few, tests = found.too_few(), found.tests()
    enough = [material for material in found.materials() if material not in few]
    said = []
    if worse := ", ".join(f"{cell.measure} ({cell.material})" for cell in found.worse()):
        said.append(f"worse: {worse}")
    elif enough or not few:
        said.append("the first is not significantly worse" + (f" in {', '.join(enough)}" if few else ""))
    if few:
        there = ", ".join(f"{material} ({count} recording{'s' * (count != 1)})" for material, count in few.items())
        needed = f"with {tests} test{'s' * (tests != 1)} {found.needed()} recordings are needed"
        said.append(f"no verdict is possible in {there}: {needed}")
    return "; ".join(said)


def _comparison_line(cell: Cell) -> list[str]:
    change = cell.difference
    corrected = "" if cell.corrected is None else f"{cell.corrected:.3g}"
    figures = [f"{change.mean:.4g}", f"{change.baseline:.4g}", f"{change.change:+.3g}", _between(change)]
    return [cell.material, named(cell.measure), *figures, f"{cell.p_value:.3g}", corrected, cell.verdict, _of(cell)]


def grid_text(cells: Sequence[GridCell], system: str) -> str:
    """Lay the grid out: a table for each material and measure, a row for each shifter, a column for each shift."""
    parts = []
    for material, measure in dict.fromkeys((cell.material, cell.measure) for cell in cells):
        here = [cell for cell in cells if (cell.material, cell.measure) == (material, measure)]
        semitones = sorted({cell.semitones for cell in here})
        lines = [["semitones", *(f"{k:+g} " for k in semitones)]]
        for shifter in sorted({cell.shifter for cell in here}):
            row = {cell.semitones: cell.difference for cell in here if cell.shifter == shifter}
            lines.append([shifter, *(_marked(row.get(k), measure) for k in semitones)])
            lines.append(["", *(f"{_between(row[k])} " if k in row else "" for k in semitones)])
        way = "lower" if CATALOGUE[measure].lower_is_better else "higher"
        counts = sorted({cell.difference.recordings for cell in here})
        of = f"recordings at each place: {' to '.join(map(str, dict.fromkeys((counts[0], counts[-1]))))}"
        title = f"{material}: {named(measure)}, {system} against the unrepaired input ({way} is better; {of})"
        parts.append(f"{title}\n{columns(lines)}")
    return "\n\n".join([*parts, LEGEND])


def harm_text(found: Iterable[Harm]) -> str:
    """Say what became of clips that were not shifted: a line for each material and measure."""
    lines = [["not shifted, so to be left alone", "measure", "mean", "worst", "files"]]
    for harm in found:
        worst = harm.highest if CATALOGUE[harm.measure].lower_is_better else harm.lowest
        figures = [f"{harm.mean:.4g}", f"{worst:.4g}", f"{harm.files} of {harm.of}"]
        lines.append([harm.material, named(harm.measure), *figures])
    return columns(lines, left=2) if len(lines) > 1 else ""


def left_out_text(found: Iterable[Unseen]) -> str:
    """Lay out what leaving each shifter out costs: a line for each material, measure and shifter."""
    heads = ["material", "measure", "left out", "unseen", "seen", "unseen - seen", "95 % interval", "elsewhere"]
    lines = [heads]
    for one in found:
        gap = ["-", ""] if one.gap is None else [_marked(one.gap, one.measure), _between(one.gap)]
        changes = [_marked(change, one.measure) for change in (one.unseen, one.seen, one.elsewhere)]
        lines.append([one.material, named(one.measure), one.shifter, *changes[:2], *gap, changes[2]])
    meaning = [
        "changes against the unrepaired input, of the files of the shifter that was left out:",
        "unseen: by the model that never saw it; seen: by those that did; elsewhere: the former, other shifters' files",
    ]
    return "\n".join([columns(lines, left=3), "", *meaning, LEGEND])


def named(measure: str) -> str:
    """Give a measure's name with its unit."""
    unit = CATALOGUE[measure].unit
    return f"{measure}, {unit}" if unit else measure


def columns(lines: Iterable[Sequence[str]], left: int = 1) -> str:
    """Set rows of words below each other, the first few columns to the left, the others to the right."""
    rows = list(lines)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            f"{word:<{width}}" if place < left else f"{word:>{width}}"
            for place, (word, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _marked(change: Difference | None, measure: str) -> str:
    if change is None:
        return "- "
    return f"{change.change:+.3g}{MARKS[change.verdict(CATALOGUE[measure].lower_is_better)]}"


def _between(change: Difference) -> str:
    return f"{change.low:+.3g}..{change.high:+.3g}"


def _of(cell: Cell) -> str:
    return f"{cell.difference.recordings} ({cell.difference.files} of {cell.of} file{'s' * (cell.of != 1)})"
