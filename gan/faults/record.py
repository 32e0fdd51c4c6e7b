"""What led to a bad step: faults/<step>.json, and beside it all that the run remembered before that step.

faults/00000012.json   {"step": 12, "why": "...", "state": "00000012", "device": "cpu",
                        "processes": [{"examples": [[24, 25]], "values": {"loss/mel": 1.25, "norm/generator": "nan"}}]}
faults/00000012/       a checkpoint, with each process's random state before the step

Steps are counted from 0 here, as the examples' order does.
"""

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object

from gan.checkpoint import State, write
from gan.data.dataset import Share
from gan.faults.agreement import first_alone
from gan.files import write_text
from gan.recipe import ConfigError
from gan.step import BadStepError

FAULTS = "faults"


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
        state: as it is before and after the step, which was not taken.
        share: which examples this process takes.
        accelerator: of the run.

    Returns:
        The small file.

    Raises:
        ConfigError: on every process, where it cannot be written.
    """
    folder = run / FAULTS / f"{step:08d}"
    file = folder.with_suffix(".json")
    write(folder, step, state, random, accelerator)
    examples = [list(share.indices(step, micro)) for micro in range(share.accumulate)]
    values = {name: _written(float(value)) for name, value in error.said.items()}
    processes = gather_object([{"examples": examples, "values": values}])
    words = {"step": step, "why": str(error), "state": folder.name, "device": accelerator.device.type}
    words["processes"] = processes

    def finish() -> None:
        write_text(file, json.dumps(words, indent=1) + "\n")
        for old in sorted(path for path in (run / FAULTS).iterdir() if path.is_dir())[:-keep]:
            shutil.rmtree(old)

    first_alone(accelerator, finish)
    return file


def read_record(file: Path) -> Record:
    """Read what `record` wrote.

    Raises:
        ConfigError: it is no such file, or damaged.
    """
    try:
        words = json.loads(file.read_text())
        parts = [
            Part(
                [[int(index) for index in micro] for micro in part["examples"]],
                {str(name): float(value) for name, value in part["values"].items()},
            )
            for part in words["processes"]
        ]
        why, state, device = (str(words[name]) for name in ("why", "state", "device"))
        return Record(int(words["step"]), why, state, device, parts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        line = f"{type(error).__name__} {' '.join(str(error).split())}"
        raise ConfigError(f"{file} is no record of a bad step ({line}): name a run's faults/<step>.json") from error


def _written(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)  # JSON has no NaN
