"""What `unshift compare` and `unshift grid` do, once the command line is read."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import cast

from gan.cli.networks import load_network
from gan.cli.worker import say
from gan.evaluating.compare import FIRST_CHOICE, Comparison, check_same_input, system_of
from gan.evaluating.compare import compare as compare_rows
from gan.evaluating.evaluate import Plan, evaluate
from gan.evaluating.grid import grid as grid_of
from gan.evaluating.grid import harm, left_out, measures_of
from gan.evaluating.grid_picture import draw_grid
from gan.evaluating.lines import comparison_text, grid_text, harm_text, left_out_text
from gan.evaluating.measures import CATALOGUE
from gan.evaluating.results import RESULTS, Results, ResultsError, read_results
from gan.files import whole_file
from generators.contract import Mender, ModelError
from generators.store import resolve

WORSE = 1
PICTURE = "grid.png"
HARM = ("si_sdr", "f0_median", "f0_p95")
"""What clips that were not shifted are looked at for, besides the measures that were asked for."""


def compare(parsed: argparse.Namespace) -> int:
    """Compare two systems, print the table, and return 1 where the first is significantly worse, else 0.

    Raises:
        EXPECTED: it cannot be done.
    """
    models = [_holds_model(path, parsed) for path in (parsed.first, parsed.second)]
    if not any(models) and (parsed.pairs or parsed.split):
        raise ResultsError("--pairs and --split are for models, and neither of the two holds one: leave them out")
    first, second = (
        _evaluated(path, parsed) if model else _read(path)
        for path, model in zip((parsed.first, parsed.second), models, strict=True)
    )
    check_same_input(first, second)
    names = [
        system_of(results, wanted, str(path))
        for results, wanted, path in (
            (first, parsed.system_a, parsed.first),
            (second, parsed.system_b, parsed.second),
        )
    ]
    rows = first.of(names[0]), second.of(names[1])
    cells, chosen, remarks = compare_rows(*rows, parsed.measures, allow_missing=parsed.allow_missing)
    titles = [f"{path}, {name}" for path, name in zip((parsed.first, parsed.second), names, strict=True)]
    found = Comparison(titles[0], titles[1], chosen, cells, remarks)
    _show(json.dumps(found.as_values(), indent=2) if parsed.json else comparison_text(found))
    return WORSE if found.worse() else 0


def _holds_model(path: Path, parsed: argparse.Namespace) -> bool:
    """Say whether a model is to be evaluated: with --pairs, whatever older results may lie beside it."""
    if parsed.pairs is None or path.is_file():
        return False
    try:
        resolve(path)
    except ModelError:
        # Of neither kind: loading it says what is missing.
        return not (path / RESULTS).exists()
    return True


def _read(path: Path) -> Results:
    if path.is_dir() and not (path / RESULTS).exists():
        raise ResultsError(f"{path}: holds no {RESULTS} of `unshift evaluate`; to compare models name --pairs")
    return read_results(path)


def _evaluated(path: Path, parsed: argparse.Namespace) -> Results:
    network, _ = load_network(argparse.Namespace(model=path, device=parsed.device, trust=parsed.trust))
    if not isinstance(network, Mender):
        raise ModelError(f"{path}: a {type(network).__name__} does not map audio to audio of the same length")
    plan = Plan(parsed.pairs, path.resolve().name, split=parsed.split or "test", measures=parsed.measures)
    found = evaluate(cast(Mender, network), plan)
    for file, problem in [*found.failed, *found.complaints]:
        say(f"{file}: {problem}")
    if not found.rows:
        raise ResultsError(f"{parsed.pairs}: no file could be evaluated")
    return Results({"system": plan.system, "one_way": plan.one_way}, found.rows)


def grid(parsed: argparse.Namespace) -> int:
    """Print one model by shifter and shift and draw it, or print what leaving shifters out costs.

    Raises:
        EXPECTED: it cannot be done.
    """
    if (parsed.results is None) == (parsed.without is None):
        raise ResultsError("name RESULTS for one model's grid, or --without SHIFTER=RESULTS for models without each")
    return _grid(parsed) if parsed.without is None else _left_out(parsed)


def _grid(parsed: argparse.Namespace) -> int:
    picture = _picture(parsed)
    results = read_results(parsed.results)
    system = system_of(results, parsed.system, str(parsed.results))
    measures = _measures(parsed.measures, measures_of(results, system))
    cells = [cell for measure in measures for cell in grid_of(results, system, measure)]
    found = harm(results, system, dict.fromkeys([*HARM, *measures]))
    if parsed.json:
        values = {"system": system, "cells": [asdict(c) for c in cells], "not_shifted": [asdict(h) for h in found]}
        _show(json.dumps(values, indent=2))
    else:
        _show("\n\n".join(filter(None, (grid_text(cells, system), harm_text(found)))))
    with whole_file(picture) as file:
        file.write(draw_grid(cells, found, system))
    say(f"{picture}: the curves are drawn")
    return 0


def _left_out(parsed: argparse.Namespace) -> int:
    if parsed.picture is not None:
        raise ResultsError("--without prints a table and draws nothing: leave out --picture")
    without: dict[str, tuple[Results, str]] = {}
    for shifter, path in parsed.without:
        if shifter in without:
            raise ResultsError(f"--without {shifter} is given twice: each shifter has one model")
        results = read_results(path)
        for other, _ in without.values():
            check_same_input(results, other)
        without[shifter] = results, system_of(results, parsed.system, str(path))
    there = set.intersection(*(set(measures_of(*pair)) for pair in without.values()))
    found = [one for measure in _measures(parsed.measures, sorted(there)) for one in left_out(without, measure)]
    _show(json.dumps([asdict(one) for one in found], indent=2) if parsed.json else left_out_text(found))
    return 0


def _picture(parsed: argparse.Namespace) -> Path:
    folder: Path = parsed.results if parsed.results.is_dir() else parsed.results.parent
    picture: Path = parsed.picture or folder / PICTURE
    if picture.suffix.lower() != ".png" or picture.is_dir():
        raise ResultsError(f"{picture}: name a picture's file that ends in .png")
    return picture


def _measures(asked: Sequence[str] | None, there: Sequence[str]) -> list[str]:
    """Give the measures to show: those asked for, or the mel distance, or all that there are."""
    known = [name for name in CATALOGUE if name in there]
    if not known:
        raise ResultsError("no shifted file has a measure both unrepaired and mended: evaluate again")
    if unknown := [name for name in asked or () if name not in known]:
        raise ResultsError(f"the shifted files have no measure {unknown[0]!r}; there are {', '.join(known)}")
    if asked:
        return list(dict.fromkeys(asked))
    return [FIRST_CHOICE] if FIRST_CHOICE in known else known


def _show(text: str) -> None:
    # A file's name need not be text.
    print(text.encode(errors="backslashreplace").decode())  # noqa: T201
