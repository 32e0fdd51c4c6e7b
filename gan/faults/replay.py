"""Takes a bad step again: `python -m gan.faults.replay runs/stage1/faults/00000012.json`.

The run's recipe is built, the state before the step loaded, its examples read again, and the losses that were recorded
are printed beside those found. Exit code 0: the same; 1: not so; 2: the file, or what it needs, cannot be used.
"""

import argparse
import math
import sys
from collections.abc import Sequence
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
from generators.contract import Pair


def replay(file: Path) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """Take a bad step again, one process's part after the other.

    A norm is of the gradients of all processes: it is left out where there were several.

    Args:
        file: a run's faults/<step>.json.

    Returns:
        By process: the values that were recorded, and those found.

    Raises:
        ConfigError, ManifestError, CheckpointError, ...: the file, the run or its data cannot be used.
    """
    told = read_record(file)
    run = file.resolve().parents[1]
    state = file.parent / told.state
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
    return recorded, found


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
        recorded, found = replay(file)
    except MISTAKES as error:
        print(f"unshift: {error}", file=sys.stderr)  # noqa: T201
        return 2
    equal = True
    for process, (told, now) in enumerate(zip(recorded, found, strict=True)):
        for name, value in told.items():
            again = now.get(name, float("nan"))
            equal &= name in now and same(value, again)
            differs = "" if name in now and same(value, again) else "   differs"
            print(f"process {process}  {name:32}{value!r:>24}{again!r:>24}{differs}")  # noqa: T201
    print("the same" if equal else "not the same: another device, other versions, or other data?")  # noqa: T201
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
