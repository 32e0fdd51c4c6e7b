"""Takes a bad step again: `python -m gan.faults.replay runs/stage1/faults/00000012.json`.

The run's recipe is built, the state before the step loaded, its examples read again, and the losses that were recorded
are printed beside those found. Exit code 0: the same; 1: not so; 2: the file, or what it needs, cannot be used.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch.utils.data import default_collate

from gan import checkpoint
from gan.assembly import Assembly, assemble, meet
from gan.config import load
from gan.data.dataset import PairCrops
from gan.faults.mistakes import MISTAKES
from gan.faults.record import Part, read_record
from gan.fitting import open_crops
from gan.recipe import ConfigError
from gan.step import BadStepError
from gan.wording import plain
from generators.contract import Pair


@dataclass(frozen=True)
class Replay:
    """What a bad step gave, and gives again.

    Attributes:
        heard: the files of the examples, by process.
        recorded: the values that were recorded, by process.
        found: those found now.
        devices: on which kind of device then, and now.
    """

    heard: list[list[str]]
    recorded: list[dict[str, float]]
    found: list[dict[str, float]]
    devices: tuple[str, str]


def replay(file: Path) -> Replay:
    """Take a bad step again, one process's part after the other.

    A norm is of the gradients of all processes: it is left out where there were several.

    Args:
        file: a run's faults/<step>.json.

    Raises:
        ConfigError, ManifestError, CheckpointError, ...: the file, the run or its data cannot be used.
    """
    told = read_record(file)
    run = file.resolve().parents[1]
    state = file.parent / told.state
    if int(told.state) != told.step:
        raise ConfigError(
            f"step {told.step} has no state of its own, as it came after other bad steps: take {state}.json, whose "
            "weights are the same"
        )
    if not state.is_dir():
        raise ConfigError(f"{state} is gone (a run keeps rhythm.keep of them): the step cannot be taken again")
    config = load(["--config", str(run / "config.yaml")], run / "config.yaml").without_start()
    accelerator = meet()
    if accelerator.num_processes > 1:
        raise ConfigError("one process takes the parts of all: start this with python alone")
    assembly = assemble(config, accelerator)
    crops = open_crops(assembly.recipe.data, assembly.recipe.seed, assembly.state.generator)
    alone = len(told.processes) == 1
    recorded, found = [], []
    for process, part in enumerate(told.processes):
        checkpoint.resume(state, assembly.state, process, len(told.processes))
        values = _take(assembly, crops, part, told.step)
        recorded.append({n: v for n, v in part.values.items() if alone or not n.startswith("norm/")})
        found.append({n: v for n, v in values.items() if n in recorded[-1]})
    heard = [[crops.source_of(index) for micro in part.examples for index in micro] for part in told.processes]
    return Replay(heard, recorded, found, (told.device, accelerator.device.type))


def _take(assembly: Assembly, crops: PairCrops, part: Part, step: int) -> dict[str, float]:
    device = next(assembly.state.generator.parameters()).device
    batches = [default_collate([crops[index] for index in micro]) for micro in part.examples]
    pairs = [Pair(source.to(device), target.to(device), crops.sample_rate) for source, target in batches]
    try:
        said = assembly.step(pairs, step)
    except BadStepError as error:
        said = dict(error.said)
    return {name: float(value) for name, value in said.items()}


def same(one: float, other: float) -> bool:
    """Whether two numbers are the same, or both none."""
    return one == other or (math.isnan(one) and math.isnan(other))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m gan.faults.replay", description=__doc__)
    parser.add_argument("file", type=Path, help="a run's faults/<step>.json")
    file = parser.parse_args(arguments).file
    try:
        again = replay(file)
    except MISTAKES as error:
        print(f"unshift: {error}", file=sys.stderr)  # noqa: T201
        return 2
    equal = True
    for process, files in enumerate(again.heard):
        print(f"process {process}  heard {plain(', '.join(files))}")  # noqa: T201
    for process, (told, now) in enumerate(zip(again.recorded, again.found, strict=True)):
        for name, value in told.items():
            alike = name in now and same(value, now[name])
            equal &= alike
            shown = f"{value!r:>24}{now.get(name, float('nan'))!r:>24}{'' if alike else '   differs'}"
            print(f"process {process}  {name:32}{shown}")  # noqa: T201
    then, here = again.devices
    where = "" if then == here else f" (then on {plain(then)}, now on {here})"
    print(f"{'the same' if equal else 'not the same: another device, other versions, or other data?'}{where}")  # noqa: T201
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
