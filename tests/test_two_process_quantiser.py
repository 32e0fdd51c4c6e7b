"""Codebooks over two real processes: alike bit for bit, and what one process learns from the joined batch."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).parent / "two_process" / "quantiser.py"
State = dict[str, torch.Tensor]


def run(
    out: Path, processes: int, early: bool = False, parts: int = 1, spoilt: int = -1, **arguments: Any
) -> list[State]:
    """Train; a gloo teardown that aborts after the result was written is no failure of ours, once."""
    words = json.dumps({"dimension": 4, "codebooks": 3, "entries": 16, "decay": 0.8} | arguments)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    files = [out.with_name(f"{out.name}.{rank}") for rank in range(processes)]
    for _ in range(2):
        command = [*launcher, str(SCRIPT), str(out), str(int(early)), "12", str(parts), str(spoilt), words]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(SCRIPT.parents[2])}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        if all(file.exists() for file in files):
            return [load_file(file) for file in files]
    raise AssertionError(done.stderr)


@pytest.mark.slow
@pytest.mark.parametrize(("learning", "early"), [("ema", True), ("ema", False), ("gradient", False)])
def test_codebooks_are_alike_on_both(learning: str, early: bool, tmp_path: Path) -> None:
    """With a start by k-means, revival, dropout and different random numbers on each."""
    arguments = {"learning": learning, "dropout": 0.5, "revive": 0.5}
    one, two = run(tmp_path / "two", 2, early=early, **arguments)
    assert {"books.0.embed", "books.2.cluster_size", "books.1.embed_avg", "penalties", "share2"} <= one.keys()
    assert all(torch.equal(x, two[name]) for name, x in one.items())
    assert one["books.2.initted"]
    assert (one["share2"] - 1 / 16).abs().max() > 0.02, "shares were counted"
    # Counts are of frames on both, 200 a call, but for the revived ones, which start with an even share.
    assert one["books.0.cluster_size"].sum() > 190


@pytest.mark.slow
@pytest.mark.parametrize("learning", ["ema", "gradient"])
def test_two_processes_learn_what_one_does_on_the_joined_batch(learning: str, tmp_path: Path) -> None:
    """Even where it comes in parts."""
    arguments = {"learning": learning, "kmeans": False, "revive": 0.0}
    alone = run(tmp_path / "one", 1, **arguments)[0]
    joined = run(tmp_path / "two", 2, parts=2, **arguments)[0]
    assert alone["penalties"][-1] < 0.5 * alone["penalties"][0]
    assert max(float((x.double() - joined[name].double()).abs().max()) for name, x in alone.items()) < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("spoilt", [0, 1])
def test_a_frame_that_is_not_finite_on_one_spoils_the_start_of_none(spoilt: int, tmp_path: Path) -> None:
    """Whether it comes before the start by k-means or after."""
    arguments = {"parts": 2, "revive": 0.5, "dropout": 0.5}
    spared = run(tmp_path / "spared", 2, **arguments)
    for one, other in zip(spared, run(tmp_path / "two", 2, spoilt=spoilt, **arguments), strict=True):
        assert one["books.2.initted"]
        assert all(torch.equal(x, other[name]) for name, x in one.items())
