"""Runs of recipes made tiny, and all that they leave: every number of a checkpoint, every line but for its clock."""

import json
from pathlib import Path

import torch
from accelerate.state import AcceleratorState, GradientState, PartialState
from safetensors.torch import load_file

from gan import checkpoint
from gan.config import load
from gan.trainer import train

RECIPES = Path(__file__).parents[1] / "recipes"
SMALL = [
    *("--data.batch", "2", "--data.crop", "0.1", "--generator.init_args.width", "8"),
    *("--generator.init_args.layers", "1", "--rhythm.clips", "1", "--rhythm.clip_seconds", "0.3"),
    *("--rhythm.listen", "0", "--rhythm.keep", "99"),
]


def arguments(run: Path, pairs: Path, *more: str) -> list[str]:
    return ["--folder", str(run), "--data.pairs", str(pairs), *SMALL, *more]


def run_stage(stage: int, run: Path, pairs: Path, *more: str) -> Path:
    """Train in this process; Accelerate remembers its processes for good, and every run starts without."""
    try:
        return train(load(arguments(run, pairs, *more), RECIPES / "tiny" / f"stage{stage}.yaml"))
    finally:
        for state in (AcceleratorState, GradientState, PartialState):
            state._reset_state()


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    """Every number that a checkpoint keeps, by a name."""
    found = {}
    for file in sorted(folder.rglob("*.safetensors")):
        found |= {f"{file.parent.name}/{name}": x for name, x in load_file(file).items()}
    pending = [(f"{file.name}", checkpoint.load_tensors(file)) for file in sorted(folder.glob("*.pt"))]
    while pending:
        name, value = pending.pop()
        if isinstance(value, dict):
            pending += [(f"{name}/{key}", inner) for key, inner in value.items()]
        elif isinstance(value, list):
            pending += [(f"{name}/{key}", inner) for key, inner in enumerate(value)]
        elif value is not None and not isinstance(value, str):
            found[name] = torch.as_tensor(value)
    return found


def lines_of(run: Path) -> list[str]:
    """The journal's lines as they are written, without what a clock says."""
    lines = []
    for line in (run / "journal.jsonl").read_text().splitlines():
        words = json.loads(line)
        del words["seconds"]
        words["values"] = {name: value for name, value in words["values"].items() if not name.startswith("speed/")}
        lines.append(json.dumps(words))
    return lines


def differences(one: Path, other: Path, step: int) -> list[str]:
    """Name what is not the same, to the byte, after a step and in the journals."""
    first, second = (tensors_of(checkpoint.folder_of(run, step)) for run in (one, other))
    assert len(first) > 30
    wrong = sorted(first.keys() ^ second.keys())
    wrong += [name for name in first.keys() & second.keys() if not first[name].equal(second[name])]
    lines, others = lines_of(one), lines_of(other)
    return wrong if lines == others else [*wrong, *(set(lines) ^ set(others)), "journal"]
