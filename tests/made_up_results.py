"""Results made up for tests: twelve recordings, shifted twice."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from gan.evaluating.results import Results, Row, write_results

RECORDINGS, SHIFTS = 12, (-7.0, 7.0)


def some_rows(
    system: str,
    value: Callable[[np.random.Generator], float],
    measures: tuple[str, ...] = ("mel",),
    recordings: int = RECORDINGS,
    corpora: tuple[str, ...] = ("speech",),
    seed: int = 0,
) -> list[Row]:
    """Invent measures: two shifts of each recording, which have much in common."""
    rng = np.random.default_rng(seed)
    rows = []
    for corpus in corpora:
        for recording in range(recordings):
            own = {name: value(rng) for name in measures}
            for shift in SHIFTS:
                file = f"source/{corpus}/{recording}_{shift:+g}.flac"
                values = {name: 1.0 + own[name] + 0.1 * value(rng) for name in measures}
                name = f"{corpus}/{recording}.wav"
                rows.append(Row(file, corpus, name, corpus, shift, "Signalsmith", "there_and_back", system, values))
    return rows


def save(folder: Path, *lists: list[Row], **facts: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_results(folder, Results(facts, [row for rows in lists for row in rows]))
    return folder


def by_file(rows: list[Row]) -> dict[str, Row]:
    return {row.file: row for row in rows}


def moved(rows: list[Row], amount: float, system: str = "model", **changes: object) -> list[Row]:
    """Give the same rows, every figure moved."""
    return [
        replace(row, system=system, values={k: v + amount for k, v in row.values.items()}, **changes) for row in rows
    ]


def noise(rng: np.random.Generator) -> float:
    return float(rng.normal())
