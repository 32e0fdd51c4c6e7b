"""Two systems on the same files: what differs, how surely, and whether the first is worse."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from gan.evaluating.measures import CATALOGUE
from gan.evaluating.results import UNREPAIRED, Results, ResultsError, Row
from gan.evaluating.statistics import FEWEST, LEVEL, Difference, difference, holm, least_p_value, signed_rank

FIRST_CHOICE = "mel"
TEST = "Wilcoxon's signed rank test on the recordings' mean differences, two-sided"
ONE_WAY, STILL = ", one way", ", not shifted"
SAME = 0.01
"""How far two measurements of the same unrepaired file may be apart, as a share (absolute below 1)."""

Verdict = Literal["better", "worse", "unclear", ""]


@dataclass(frozen=True, slots=True)
class Cell:
    """One measure on one material.

    Attributes:
        material: a corpus; clips that were not shifted, and one-way shifts, are materials of their own.
        measure: its name in the catalogue.
        difference: the first system (mean) against the second (baseline), on the files that both have it of.
        p_value: of the paired test, not corrected.
        corrected: after Holm's correction for all chosen cells; None where the measure was not chosen.
        of: how many files of this material the second system has the measure of.
        verdict: "better" or "worse" (the first system than the second) where the corrected p-value is below LEVEL and
            the interval leaves zero out to the same side; else "unclear"; "" where the measure was not chosen.
    """

    material: str
    measure: str
    difference: Difference
    of: int
    p_value: float
    corrected: float | None = None
    verdict: Verdict = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of comparing two systems.

    Attributes:
        first: the system that is judged.
        second: the one that it is held against.
        chosen: the measures that decide.
        cells: by material, then measure.
        remarks: what a reader should know.
    """

    first: str
    second: str
    chosen: tuple[str, ...]
    cells: list[Cell]
    remarks: list[str]

    def worse(self) -> list[Cell]:
        """Give the chosen cells in which the first system is significantly worse."""
        return [cell for cell in self.cells if cell.verdict == "worse"]

    def as_values(self) -> dict[str, Any]:
        """Give it as JSON has it, with what was tested and how."""
        how = {"test": TEST, "correction": "Holm", "tests": self.tests(), "level": LEVEL}
        few = {"too_few_recordings": self.too_few(), "recordings_needed": self.needed()}
        worse = [f"{cell.material}/{cell.measure}" for cell in self.worse()]
        return {**asdict(self), **how, **few, "worse": worse}

    def tests(self) -> int:
        """Count the chosen cells."""
        return sum(cell.corrected is not None for cell in self.cells)

    def materials(self) -> dict[str, int]:
        """Give the materials with chosen cells, and of how many recordings each is."""
        most: dict[str, int] = {}
        for cell in self.cells:
            if cell.corrected is not None:
                most[cell.material] = max(most.get(cell.material, 0), cell.difference.recordings)
        return most

    def too_few(self) -> dict[str, int]:
        """Give the materials of which no verdict was possible, however large the difference, and their recordings."""
        cells = [cell for cell in self.cells if cell.corrected is not None]
        few = {}
        for material, count in self.materials().items():
            # The best that could have been found here, beside what was found elsewhere.
            best = [least_p_value(c.difference.recordings) if c.material == material else c.p_value for c in cells]
            here = [p for cell, p in zip(cells, holm(best), strict=True) if cell.material == material]
            if min(here) >= LEVEL:
                few[material] = count
        return few

    def needed(self) -> int:
        """Give how many recordings of a material are enough for a verdict by itself, with so many tests."""
        return next(count for count in range(FEWEST, 99) if least_p_value(count) * self.tests() < LEVEL)


def material_of(row: Row) -> str:
    """Name what a row is pooled with: its corpus, and apart from that what was not shifted or shifted one way only.

    No two materials have one name: a corpus that is itself called "song, one way" stands in quotes.
    """
    mistakable = row.corpus.endswith((ONE_WAY, STILL)) or row.corpus[:1] in {"'", '"'}
    corpus = repr(row.corpus) if mistakable else row.corpus
    return f"{corpus}{ONE_WAY if row.direction == 'one_way' else ''}{STILL if row.semitones == 0 else ''}"


def system_of(results: Results, wanted: str | None, whose: str) -> str:
    """Say which system of some results is meant.

    Args:
        results: of an evaluation.
        wanted: a name, or None for the only model.
        whose: the results' name, for the message.

    Raises:
        ResultsError: there is no such system, or more than one that could be meant.
    """
    there = results.systems()
    if wanted is not None:
        if wanted not in there:
            raise ResultsError(f"{whose}: there is no system {wanted!r}; there are {', '.join(there)}")
        return wanted
    models = [name for name in there if name != UNREPAIRED]
    if (named := results.facts.get("system")) in models:
        return str(named)
    if len(models) != 1:
        raise ResultsError(f"{whose}: say which system is meant: {', '.join(there)}")
    return models[0]


def compare(
    first: Mapping[str, Row],
    second: Mapping[str, Row],
    measures: Collection[str] | None = None,
    *,
    allow_missing: bool = False,
) -> tuple[list[Cell], tuple[str, ...], list[str]]:
    """Compare two systems, measure by measure and material by material, on the files that both have.

    What the first fails on is where it may be at its worst, so what it lacks is an error unless that is allowed.

    Args:
        first: rows by file of the system that is judged.
        second: of the one that it is held against.
        measures: those that decide; None for the mel distance, or for all where that is missing. The others are
            compared too, but not tested against LEVEL.
        allow_missing: compare what there is where the first lacks files, or measures that decide, that the second has.

    Returns:
        The cells, the measures that decide, and remarks.

    Raises:
        ResultsError: no file is in both, a measure is unknown or missing, or the first lacks what the second has.
    """
    files = sorted(file for file in first.keys() & second.keys() if first[file].corpus == second[file].corpus)
    if not files:
        raise ResultsError("no file is in both results: evaluate both on the same pairs and split")
    there = [name for name in CATALOGUE if any(name in first[f].values and name in second[f].values for f in files)]
    chosen = _chosen(there, measures)
    # Where the first has no mel distance at all, others would quietly decide in its place.
    missing = _missing(first, second, files, chosen if measures else (*chosen, FIRST_CHOICE))
    if missing and not allow_missing:
        cure = "evaluate it again on the same pairs, or compare the rest with --allow-missing"
        raise ResultsError(f"{'; '.join(missing)}: {cure}")
    cells = []
    for material in sorted({material_of(first[file]) for file in files}):
        its = [file for file in files if material_of(first[file]) == material]
        recordings = [first[file].recording for file in its]
        theirs = [row for row in second.values() if material_of(row) == material]
        for name in there:
            values = [[rows[file].values.get(name, float("nan")) for file in its] for rows in (first, second)]
            if (found := difference(values[0], values[1], recordings)) is not None:
                changes = [new - old for new, old in zip(*values, strict=True)]
                of = sum(name in row.values for row in theirs)
                cells.append(Cell(material, name, found, of, signed_rank(changes, recordings)))
    cells = _judged(cells, chosen)
    return cells, chosen, [*missing, *_left_out(first, second, files)]


def _chosen(there: Sequence[str], measures: Collection[str] | None) -> tuple[str, ...]:
    if not there:
        raise ResultsError("the results share no measure: evaluate both with the same measures")
    if measures is None:
        return (FIRST_CHOICE,) if FIRST_CHOICE in there else tuple(there)
    for name in measures:
        if name not in there:
            kind = "is in not both results" if name in CATALOGUE else "is no measure"
            raise ResultsError(f"{name!r} {kind}; both have {', '.join(there)}")
    return tuple(dict.fromkeys(measures))


def _judged(cells: Iterable[Cell], chosen: Collection[str]) -> list[Cell]:
    """Correct the p-values of the chosen cells for their number and say what follows."""
    cells = list(cells)
    corrected = iter(holm([cell.p_value for cell in cells if cell.measure in chosen]))
    judged = []
    for cell in cells:
        if cell.measure not in chosen:
            judged.append(cell)
            continue
        p_value = next(corrected)
        said = cell.difference.verdict(CATALOGUE[cell.measure].lower_is_better) if p_value < LEVEL else "unclear"
        judged.append(replace(cell, corrected=p_value, verdict=said))
    return judged


def _missing(
    first: Mapping[str, Row], second: Mapping[str, Row], files: Collection[str], chosen: Iterable[str]
) -> list[str]:
    """Say what the first system lacks that the second has: files, and on common files the measures that decide."""
    said = []
    if lacking := len(second) - len(files):
        said.append(f"the first lacks {lacking} of {len(second)} files that the second has")
    for name in dict.fromkeys(chosen):
        having = [file for file in files if name in second[file].values]
        if lacking := sum(name not in first[file].values for file in having):
            said.append(f"the first lacks {name} of {lacking} of {len(having)} files that the second has it of")
    return said


def _left_out(first: Mapping[str, Row], second: Mapping[str, Row], files: Collection[str]) -> list[str]:
    """Say what the second system lacks."""
    lacking = len(first) - len(files)
    return [f"the second lacks {lacking} of {len(first)} files that the first has"] if lacking else []


def check_same_input(first: Results, second: Results) -> None:
    """See that two evaluations had the same task and input: the unrepaired files measure the same in both.

    Raises:
        ResultsError: they do not: other audio under the same names, or other settings; or one-way shifts were to be
            undone in one and to stay in the other.
    """
    ways = [results.facts.get("one_way") for results in (first, second)]
    one_way = all(any(r.direction == "one_way" and r.semitones != 0 for r in part.rows) for part in (first, second))
    if one_way and None not in ways and ways[0] != ways[1]:
        was = f"one has one-way shifts evaluated with --one-way {ways[0]}, the other with --one-way {ways[1]}"
        raise ResultsError(f"{was}: these are two tasks, of which figures cannot be compared; evaluate both alike")
    ours, theirs = first.of(UNREPAIRED), second.of(UNREPAIRED)
    for file in sorted(ours.keys() & theirs.keys()):
        for name in sorted(ours[file].values.keys() & theirs[file].values.keys()):
            a, b = ours[file].values[name], theirs[file].values[name]
            if abs(a - b) > SAME * max(1.0, abs(a), abs(b)):
                was = f"{name} of the unrepaired {file} is {a:.4g} in one and {b:.4g} in the other"
                raise ResultsError(f"{was}: these are not the same pairs, or not measured alike; evaluate both again")
