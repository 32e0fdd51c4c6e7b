"""Checkpoints that a disk has spoilt: told by their digests, put aside, and gone on from the one before."""

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from gan.checkpoint import CheckpointError, folder_of, point, whole_checkpoints
from gan.faults.agreement import first_alone
from gan.faults.digests import DIGESTS, digests

ASIDE = ".damaged"


def newest_whole(accelerator: Accelerator, run: Path) -> Path | None:
    """Give the newest checkpoint that is what was written, or None where there is no checkpoint at all.

    Damaged ones that are newer are put aside under another name, each with a line on standard error. The first process
    looks; all get its answer. What a kill left half-written is removed.

    Raises:
        ConfigError: there are checkpoints, and all are damaged; they are left as they are.
    """
    found: list[str | None] = [first_alone(accelerator, lambda: _look(run), (OSError, CheckpointError))]
    broadcast_object_list(found)
    return None if found[0] is None else Path(found[0])


def _look(run: Path) -> str | None:
    for torn in (run / "checkpoints").glob("*.partial"):
        shutil.rmtree(torn, ignore_errors=True)
    damaged: list[tuple[Path, str]] = []
    for folder in reversed(whole_checkpoints(run)):
        wrong = damage(folder)
        if wrong is None:
            for bad, why in damaged:
                aside = _put_aside(bad)
                print(  # noqa: T201
                    f"unshift: the checkpoint {bad} is damaged ({why}): it is {aside.name} now, and the run goes on "
                    f"after step {int(folder.name)}",
                    file=sys.stderr,
                )
            return str(folder)
        damaged.append((folder, wrong))
    if damaged:
        raise CheckpointError(
            f"no checkpoint of {run} is whole ({damaged[0][0]}: {damaged[0][1]}): put one back, or choose another "
            "--folder"
        )
    return None


def mend_links(run: Path, newest: Path, best: Mapping[str, float]) -> None:
    """Let a run's links say what its newest checkpoint says; a kill may have come between, and `prune` goes by them.

    Args:
        run: the run's folder.
        newest: its newest whole checkpoint.
        best: the "step" of the best one, if there is one.
    """
    wanted = {"latest": newest}
    if "step" in best:
        wanted["best"] = folder_of(run, int(best["step"]))
    for name, folder in wanted.items():
        if folder.is_dir() and (run / name).resolve() != folder.resolve():
            point(run / name, folder)


def damage(folder: Path) -> str | None:
    """Say what is wrong with a checkpoint's files, or None; none of them is loaded."""
    file = folder / DIGESTS
    try:
        told, found = json.loads(file.read_text()), digests(folder)
    except FileNotFoundError:
        return f"{DIGESTS} is gone"
    except (OSError, ValueError) as error:
        return " ".join(str(error).split())
    if not isinstance(told, dict):
        return f"{DIGESTS} is no list of files"
    wrong = [name for name in sorted(told.keys() | found.keys()) if told.get(name) != found.get(name)]
    return f"{wrong[0]} is not what was written" if wrong else None


def _put_aside(folder: Path) -> Path:
    aside, number = folder.with_name(folder.name + ASIDE), 1
    while aside.exists():
        number += 1
        aside = folder.with_name(f"{folder.name}{ASIDE}{number}")
    return folder.rename(aside)
