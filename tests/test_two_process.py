"""Two real processes train as one does on the joined batch: generator, critics and average, to the last digits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

HERE = Path(__file__).parent
RECIPE = HERE.parent / "recipes" / "tiny" / "stage3.yaml"


def run(out: Path, processes: int, pairs: Path, accumulate: int, *more: str, steps: int = 3) -> dict[str, torch.Tensor]:
    """Run the steps; a gloo teardown that aborts after the result was written is no failure of ours, once."""
    recipe = [
        *("--config", str(RECIPE), "--folder", "unused", "--data.pairs", str(pairs), "--initialise", "null"),
        *("--data.batch", "4", "--data.crop", "0.1", "--data.accumulate", str(accumulate)),
        *("--generator.init_args.width", "8", "--generator.init_args.layers", "1", "--adversary.judge_from", "1"),
        *more,
    ]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    script = [str(HERE / "two_process" / "steps.py"), str(out), str(processes), str(steps), *recipe]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    for _ in range(2):
        done = subprocess.run([*launcher, *script], env=environment, capture_output=True, text=True, check=False)
        if out.exists():
            return load_file(out)
    raise AssertionError(done.stderr)


@pytest.mark.slow
@pytest.mark.parametrize("accumulate", [1, 2])
def test_two_processes_equal_one(accumulate: int, pairs: Path, tmp_path: Path) -> None:
    start = run(tmp_path / "start", 1, pairs, 1, steps=0)
    one = run(tmp_path / "one", 1, pairs, 1)
    two = run(tmp_path / "two", 2, pairs, accumulate)
    assert one.keys() == two.keys()
    assert {name.split(".")[0] for name in one} == {"generator", "average", "critics"}
    moved = [name for name in one if not torch.equal(start[name], one[name])]
    assert len(moved) > 0.9 * len(one)
    worst = max(float((one[name] - two[name]).abs().max()) for name in one)
    assert worst < 1e-12


@pytest.mark.slow
def test_drawn_members_that_learn_now_and_then_are_the_same_on_two(pairs: Path, tmp_path: Path) -> None:
    more = ("--adversary.members", "1", "--adversary.learn_every", "2")
    start = run(tmp_path / "start", 1, pairs, 1, *more, steps=0)
    one = run(tmp_path / "one", 1, pairs, 1, *more, steps=1)
    two = run(tmp_path / "two", 2, pairs, 2, *more, steps=1)
    moved = {name.split(".")[2] for name in one if name.startswith("critics") and not one[name].equal(start[name])}
    assert len(moved) == 1, "of three members one is drawn"
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-12
    further = (run(tmp_path / f"{n}", n, pairs, 1, *more, steps=4) for n in (1, 2))
    one, two = further
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-12
