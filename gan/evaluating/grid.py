"""One model by shifter, shift and material: what it changes where, what it does to clean sound, what it never saw.

Pairs for the grid are made with `unshift pairs SRC DST --semitones -12 -7 -5 -3 -2 -1 0 1 2 3 5 7 12 --shifter A
--shifter B ...`; materials are the folders below SRC.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from statistics import fmean

from gan.evaluating.compare import material_of
from gan.evaluating.results import UNREPAIRED, Results, ResultsError, Row
from gan.evaluating.statistics import Difference, difference, mean


@dataclass(frozen=True, slots=True)
class GridCell:
    """One measure at one place of the grid, against the unrepaired input of the same files.

    Attributes:
        material: the corpus.
        shifter: what shifted.
        semitones: how far.
        measure: its name in the catalogue.
        difference: the system (mean) against the unrepaired input (baseline).
    """

    material: str
    shifter: str
    semitones: float
    measure: str
    difference: Difference


@dataclass(frozen=True, slots=True)
class Harm:
    """What became of clips that needed no mending, in one measure.

    Attributes:
        material: the corpus, as the grid's cells of shifted clips have it.
        measure: its name in the catalogue.
        mean: over recordings, of the means over their files.
        lowest: of the files.
        highest: of the files.
        files: how many have the measure.
        of: how many there are; silence has no SI-SDR.
    """

    material: str
    measure: str
    mean: float
    lowest: float
    highest: float
    files: int
    of: int


@dataclass(frozen=True, slots=True)
class Unseen:
    """What leaving a shifter out of the training costs, on the files of that shifter.

    Attributes:
        material: the corpus.
        shifter: that was left out.
        measure: its name in the catalogue.
        elsewhere: the model that never saw it, on the shifters that it saw, against the unrepaired input.
        unseen: the same model on this shifter's files.
        seen: models that saw it (those that other shifters were left out of; their mean), on the same files; None
            where there are none.
        gap: unseen (mean) against seen (baseline), paired by file.
    """

    material: str
    shifter: str
    measure: str
    elsewhere: Difference | None
    unseen: Difference
    seen: Difference | None
    gap: Difference | None


def grid(results: Results, system: str, measure: str) -> list[GridCell]:
    """Compare a system with the unrepaired input at every place of the grid, by material, shifter and shift.

    Raises:
        ResultsError: there is no shifted file that both have this measure of.
    """
    places: dict[tuple[str, str, float], list[Row]] = {}
    for row in results.of(system).values():
        if row.semitones != 0:
            places.setdefault((material_of(row), row.shifter, row.semitones), []).append(row)
    before = results.of(UNREPAIRED)
    found = [(place, _against(rows, before, measure)) for place, rows in sorted(places.items())]
    cells = [GridCell(*place, measure, change) for place, change in found if change is not None]
    if not cells:
        there = ", ".join(measures_of(results, system)) or "none"
        raise ResultsError(f"no shifted file has {measure!r} both unrepaired and of {system}; there are: {there}")
    return cells


def harm(results: Results, system: str, measures: Iterable[str]) -> list[Harm]:
    """Say how far clips that were not shifted came back from what they were, by material and measure."""
    rows = [row for row in results.of(system).values() if row.semitones == 0]
    found = []
    measures = list(measures)
    shifted = {row.file: material_of(replace(row, semitones=1.0)) for row in rows}
    for material in sorted(set(shifted.values())):
        its = [row for row in rows if shifted[row.file] == material]
        for name in measures:
            if having := [row for row in its if name in row.values]:
                values = [row.values[name] for row in having]
                average = mean(values, [row.recording for row in having])
                found.append(Harm(material, name, average, min(values), max(values), len(values), len(its)))
    return found


def left_out(without: Mapping[str, tuple[Results, str]], measure: str) -> list[Unseen]:
    """Hold models that a shifter each was left out of their training against those that saw it.

    Args:
        without: by the name of the shifter: results of the model that never saw it, and its system's name. All are of
            the same pairs, which have every shifter.
        measure: its name in the catalogue.

    Raises:
        ResultsError: some results have no file of the shifter, or not this measure of it.
    """
    found: list[Unseen] = []
    for shifter, (results, system) in sorted(without.items()):
        before, ours = results.of(UNREPAIRED), _shifted(results, system)
        others = [_shifted(*pair) for other, pair in sorted(without.items()) if other != shifter]
        its = [row for row in ours if row.shifter == shifter]
        if not its:
            there = ", ".join(sorted({row.shifter for row in ours})) or "none"
            raise ResultsError(f"the results without {shifter!r} have no file that it shifted; shifters there: {there}")
        seen = _mean_rows(others, measure)
        count = len(found)
        for material in sorted({material_of(row) for row in its}):
            here = [row for row in its if material_of(row) == material]
            rest = [row for row in ours if material_of(row) == material and row.shifter != shifter]
            unseen = _against(here, before, measure)
            if unseen is not None:
                taught = [seen[row.file] for row in here if row.file in seen]
                of_seen, gap = _against(taught, before, measure), _against(here, seen, measure)
                elsewhere = _against(rest, before, measure)
                found.append(Unseen(material, shifter, measure, elsewhere, unseen, of_seen, gap))
        if len(found) == count:
            raise ResultsError(f"the results without {shifter!r} have no {measure!r} of files that it shifted")
    return found


def measures_of(results: Results, system: str) -> list[str]:
    """Name the measures that shifted files have both unrepaired and of a system."""
    before = results.of(UNREPAIRED)
    rows = [row for row in _shifted(results, system) if row.file in before]
    return sorted({name for row in rows for name in row.values.keys() & before[row.file].values.keys()})


def _shifted(results: Results, system: str) -> list[Row]:
    return [row for row in results.of(system).values() if row.semitones != 0]


def _against(rows: Iterable[Row], before: Mapping[str, Row], measure: str) -> Difference | None:
    """Compare rows with those of the same files in others; None where no file has the measure in both."""
    rows = [row for row in rows if row.file in before]
    missing = float("nan")
    values = [row.values.get(measure, missing) for row in rows]
    others = [before[row.file].values.get(measure, missing) for row in rows]
    return difference(values, others, [row.recording for row in rows])


def _mean_rows(several: Iterable[Iterable[Row]], measure: str) -> dict[str, Row]:
    """Give the mean of a measure over several systems by file, where all of them have it."""
    lists: dict[str, list[Row]] = {}
    systems = [list(rows) for rows in several]
    for rows in systems:
        for row in rows:
            if measure in row.values:
                lists.setdefault(row.file, []).append(row)
    whole = {file: rows for file, rows in lists.items() if len(rows) == len(systems)}
    return {file: _with(rows[0], measure, fmean(row.values[measure] for row in rows)) for file, rows in whole.items()}


def _with(row: Row, measure: str, value: float) -> Row:
    fixed = (row.file, row.corpus, row.recording, row.speaker, row.semitones, row.shifter, row.direction)
    return Row(*fixed, "seen", {measure: value})
