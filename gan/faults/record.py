"""What led to a bad step: faults/<step>.json, and beside it all that the run remembered before that step.

faults/00000012.json   {"step": 12, "why": "...", "state": "00000012", "device": "cpu",
                        "processes": [{"examples": [[24, 25]], "values": {"loss/mel": 1.25, "norm/generator": "nan"}}]}
faults/00000012/       a checkpoint, with each process's random state before the step
faults/rolled.json     what roll-backs have led to, see gan/faults/bad_steps.py

Of bad steps in a row, which leave all but the random state as it was, the first alone has a state; the others name it.
Steps are counted from 0 here, as the examples' order does.
"""

import json
import math
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object

from gan.checkpoint import State, write
from gan.data.loading import Share
from gan.faults.agreement import first_alone
from gan.faults.contents import check_count
from gan.files import PARTIAL, write_text
from gan.recipe import ConfigError
from gan.step import BadStepError

FAULTS = "faults"
STATE = re.compile(r"[0-9]{8}")  # a folder's name


@dataclass(frozen=True)
class Part:
    """One process's part in a bad step.

    Attributes:
        examples: their indices, by micro-batch.
        values: losses, facts and norms, by the journal's names.
    """

    examples: list[list[int]]
    values: dict[str, float]


@dataclass(frozen=True)
class Record:
    """A bad step; see the file's head."""

    step: int
    why: str
    state: str
    device: str
    processes: list[Part]


def record(
    run: Path,
    keep: int,
    error: BadStepError,
    step: int,
    random: Mapping[str, Any],
    state: State,
    share: Share,
    accelerator: Accelerator,
) -> Path:
    """Write down a bad step; every process has to call this.

    Args:
        run: the run's folder.
        keep: how many of the newest states stay; the small files all stay.
        error: what the step raised.
        step: counted from 0.
        random: this process's random state before the step.
        state: as it is before and after the step, which was not taken; its `faults` do not count it yet.
        share: which examples this process takes.
        accelerator: of the run.

    Returns:
        The small file.

    Raises:
        ConfigError: on every process, where it cannot be written.
    """
    first = step - int(state.faults.get("in_a_row", 0))
    folder = run / FAULTS / f"{first:08d}"
    file = run / FAULTS / f"{step:08d}.json"
    if first == step:
        write(folder, step, state, random, accelerator)
    examples = [list(share.indices(step, micro)) for micro in range(share.accumulate)]
    values = {name: _written(float(value)) for name, value in error.said.items()}
    processes = gather_object([{"examples": examples, "values": values}])
    words = {"step": step, "why": str(error), "state": folder.name, "device": accelerator.device.type}
    words["processes"] = processes

    def finish() -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps(words, indent=1) + "\n")
        _prune(folder, keep)

    first_alone(accelerator, finish)
    return file


def _prune(newest: Path, keep: int) -> None:
    """Remove all states but the newest ones, whatever their steps: a roll-back goes to lower ones."""
    torn = [path for path in newest.parent.iterdir() if path.name.endswith(PARTIAL)]
    states = [path for path in newest.parent.iterdir() if STATE.fullmatch(path.name) and path != newest]
    states.sort(key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)
    for path in (*torn, *states[keep - 1 :]):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def read_record(file: Path) -> Record:
    """Read what `record` wrote.

    Raises:
        ConfigError: it is no such file, or damaged.
    """
    try:
        words = json.loads(file.read_text())
        parts = [_part(part) for part in words["processes"]]
        why, state, device = (str(words[name]) for name in ("why", "state", "device"))
        if not parts or not STATE.fullmatch(state):
            raise ValueError("no processes" if not parts else f"the state {state!r}")
        return Record(check_count("the step", words["step"]), why, state, device, parts)
    except (ArithmeticError, AttributeError, KeyError, OSError, RecursionError, TypeError, ValueError) as error:
        line = f"{type(error).__name__} {' '.join(str(error).split())}"
        raise ConfigError(f"{file} is no record of a bad step ({line}): name a run's faults/<step>.json") from error


def _part(words: Any) -> Part:
    examples = [[check_count("an example", index) for index in micro] for micro in words["examples"]]
    values = {str(name): float(value) for name, value in words["values"].items()}
    if not examples or not all(examples):
        raise ValueError("no examples")
    if not any(name.startswith("loss/") for name in values):
        raise ValueError("no losses")
    return Part(examples, values)


def _written(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)  # JSON has no NaN
