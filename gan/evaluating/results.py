"""Results of an evaluation: a row for each file and system, in one JSON file that everything later reads."""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gan.files import write_text

RESULTS, TABLE = "results.json", "results.csv"
UNREPAIRED = "unrepaired"


class ResultsError(ValueError):
    """Results cannot be read; the message is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured of one file under one system.

    Attributes:
        file: the shifted audio, relative to the folder of pairs.
        corpus: where its recording came from, the first folder of its path: corpora are never pooled.
        recording: what was shifted; files of one recording are not independent of each other.
        speaker: as in the manifest.
        semitones: the shift.
        shifter: what shifted.
        direction: "there_and_back" or "one_way".
        system: UNREPAIRED, the name of a model, or of another shifter.
        values: measures by name; one that could not be had (of silence, say) is missing.
    """

    file: str
    corpus: str
    recording: str
    speaker: str
    semitones: float
    shifter: str
    direction: str
    system: str
    values: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Results:
    """All rows, and what they are of.

    Attributes:
        facts: model, pairs, split, versions and so on, as JSON has them.
        rows: systems side by side.
    """

    facts: dict[str, Any]
    rows: list[Row]

    def systems(self) -> list[str]:
        """Name the systems, the unrepaired input first."""
        return sorted({row.system for row in self.rows}, key=lambda name: (name != UNREPAIRED, name))

    def of(self, system: str) -> dict[str, Row]:
        """Give a system's rows by file."""
        return {row.file: row for row in self.rows if row.system == system}


def write_results(folder: Path, results: Results) -> None:
    """Write results.json, which is what is read again, then results.csv into a folder, each whole or not at all."""
    words = {"facts": results.facts, "rows": [asdict(row) for row in results.rows]}
    write_text(folder / RESULTS, json.dumps(words, indent=1) + "\n")
    write_text(folder / TABLE, _as_csv(results.rows))


def read_results(path: Path) -> Results:
    """Read what `write_results` wrote: the file, or the folder that it is in.

    Raises:
        ResultsError: there is none, or it is damaged, or has two rows of one file under one system.
    """
    file = path / RESULTS if path.is_dir() else path
    try:
        words = json.loads(file.read_text())
        rows = rows_of(words["rows"])
        if twice := [pair for pair, count in Counter((row.file, row.system) for row in rows).items() if count > 1]:
            raise ValueError(f"{twice[0][0]} is there twice of {twice[0][1]}")
        return Results(dict(words["facts"]), rows)
    except OSError as error:
        raise ResultsError(f"{file}: {error.strerror}; name what `unshift evaluate` wrote") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        line = " ".join(str(error).split())
        raise ResultsError(f"{file} holds no results ({line}); name what `unshift evaluate` wrote") from error


def rows_of(values: Iterable[dict[str, Any]]) -> list[Row]:
    """Give the rows of what stood in JSON.

    Raises:
        ValueError, TypeError: there are none, or they are not such as an evaluation writes.
    """
    rows = [Row(**row) for row in values]
    if not rows or not all(_sound(row) for row in rows):
        raise ValueError("its rows are none, or not such as an evaluation writes")
    return rows


def _sound(row: Row) -> bool:
    words = (row.file, row.corpus, row.recording, row.speaker, row.shifter, row.direction, row.system)
    figures = [row.semitones, *row.values.values()] if isinstance(row.values, dict) else [math.nan]
    return all(isinstance(word, str) for word in words) and all(
        isinstance(figure, int | float) and math.isfinite(figure) for figure in figures
    )


def _as_csv(rows: Iterable[Row]) -> str:
    rows = list(rows)
    names = sorted({name for row in rows for name in row.values})
    fixed = [name for name in Row.__dataclass_fields__ if name != "values"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*fixed, *names])
    for row in rows:
        writer.writerow([*(getattr(row, name) for name in fixed), *(row.values.get(name, "") for name in names)])
    return text.getvalue()
