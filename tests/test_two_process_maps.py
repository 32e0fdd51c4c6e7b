"""Self-organising maps over two real processes: alike bit for bit, and what one learns from the joined batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).parent / "two_process" / "maps.py"
State = dict[str, torch.Tensor]


def run(out: Path, processes: int, steps: int = 8, spoilt: bool = False, **arguments: object) -> list[State]:
    """Train; a gloo teardown that aborts after the result was written is no failure of ours, once."""
    words = json.dumps({"dimension": 4, "codebooks": 2, "grid": [3, 5], "shrinking": 6, "radius": 2.0} | arguments)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    files = [out.with_name(f"{out.name}.{rank}") for rank in range(processes)]
    for _ in range(2):
        command = [*launcher, str(SCRIPT), str(out), str(steps), str(int(spoilt)), words]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(SCRIPT.parents[2])}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        if all(file.exists() for file in files):
            return [load_file(file) for file in files]
    raise AssertionError(done.stderr)


@pytest.mark.slow
@pytest.mark.parametrize("learning", ["ema", "gradient"])
def test_two_processes_learn_what_one_does_on_the_joined_batch(learning: str, tmp_path: Path) -> None:
    alone = run(tmp_path / "one", 1, learning=learning)[0]
    one, two = run(tmp_path / "two", 2, learning=learning, dropout=0.5)
    assert (alone["first"] != alone["entries"]).any(dim=-1).all()
    assert alone["calls"] == 8
    assert max(float((x.double() - one[name].double()).abs().max()) for name, x in alone.items()) < 1e-12
    assert all(torch.equal(x, two[name]) for name, x in one.items())


@pytest.mark.slow
def test_a_frame_that_is_not_finite_on_one_lays_the_maps_of_none(tmp_path: Path) -> None:
    spared = run(tmp_path / "spared", 2)
    for one, other in zip(spared, run(tmp_path / "two", 2, spoilt=True), strict=True):
        assert all(torch.equal(x, other[name]) for name, x in one.items())
