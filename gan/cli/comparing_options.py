"""The options of `unshift compare` and `unshift grid`; like gan.cli this imports only the standard library."""

import argparse
from pathlib import Path

from gan.cli.help import MODEL


def model(text: str) -> Path:
    """Read a model's folder or name; "./user/name" is a folder and no hub's, there or not, which a Path forgets."""
    path = Path(text)
    return path.absolute() if text.startswith("./") and not path.exists() else path


def add_compare(command: argparse.ArgumentParser) -> None:
    """Add those of `unshift compare`."""
    add = command.add_argument
    what = f"what `unshift evaluate` wrote; with --pairs rather a model: {MODEL}"
    add("first", type=model, metavar="A", help=f"the one that is judged: {what}")
    add("second", type=model, metavar="B", help="the one that it is held against, likewise")
    add("--pairs", type=Path, metavar="FOLDER", help="evaluate models among the two on these pairs first")
    add("--split", choices=["test", "validation"], help="of --pairs (default: test)")
    chosen = "the measures that decide (default: mel; where the results lack it, all that both have)"
    add("--measures", nargs="+", metavar="NAME", help=chosen)
    missing = "compare what there is where A lacks files, or measures that decide, that B has"
    add("--allow-missing", action="store_true", help=missing)
    for side in ("a", "b"):
        system = f"which system of {side.upper()} is meant (default: its model), such as unrepaired or a shifter"
        add(f"--system-{side}", metavar="NAME", help=system)
    add("--json", action="store_true", help="as JSON")
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="default: a GPU if there is")
    add("--trust", action="store_true", help="load a network class from outside the generators package")


def add_grid(command: argparse.ArgumentParser) -> None:
    """Add those of `unshift grid`."""
    add = command.add_argument
    add("results", type=Path, nargs="?", metavar="RESULTS", help="what `unshift evaluate` wrote")
    without = "results of a model that this shifter was left out of the training of; repeat it, a shifter each"
    add("--without", action="append", type=_without, metavar="SHIFTER=RESULTS", help=without)
    measures = "the measures to show (default: mel; where the results lack it, all that they have)"
    add("--measures", nargs="+", metavar="NAME", help=measures)
    add("--system", metavar="NAME", help="which system of the results is meant (default: their model)")
    picture = "where the curves go, a .png (default: grid.png beside the results, replaced if there)"
    add("--picture", type=Path, metavar="FILE", help=picture)
    add("--json", action="store_true", help="as JSON")


def _without(text: str) -> tuple[str, Path]:
    shifter, equals, path = text.partition("=")
    if not (shifter and equals and path):
        raise argparse.ArgumentTypeError(f"{text or 'nothing'} is not SHIFTER=RESULTS")
    return shifter, Path(path)
