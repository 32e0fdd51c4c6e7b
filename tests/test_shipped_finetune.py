"""Stage 3 from the shipped restorer and its critics: nobody has to find his feet."""

import json
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState, GradientState, PartialState

from gan import checkpoint
from gan.config import load
from gan.journal import read_journal
from gan.trainer import train
from generators import store

RECIPE = Path(__file__).parents[1] / "recipes/voice48/finetune.yaml"
QUICK = [
    *("--data.batch", "8", "--data.crop", "0.4", "--steps", "4", "--rhythm.journal", "1", "--rhythm.validate", "4"),
    *("--rhythm.save", "4", "--rhythm.clips", "1", "--rhythm.clip_seconds", "0.3", "--rhythm.listen", "0"),
]


def fine_tuned(run: Path, pairs: Path, *more: str) -> list[dict[str, float]]:
    try:
        train(load(["--folder", str(run), "--data.pairs", str(pairs), *QUICK, *more], RECIPE))
    finally:
        for state in (AcceleratorState, GradientState, PartialState):
            state._reset_state()
    return [entry["values"] for entry in read_journal(run) if entry["kind"] == "train"]


def test_losses_go_on_from_where_the_training_ended(pairs: Path, tmp_path: Path) -> None:
    lines = (Path(store.SHIPPED_FOLDER) / "training/journal.jsonl").read_text().splitlines()
    last = [entry["values"] for entry in map(json.loads, lines) if entry["kind"] == "train"][-1]
    first = fine_tuned(tmp_path / "run", pairs)
    # A step of eight short crops says little: the mean of four has to do.
    mean = {name: sum(values[name] for values in first) / len(first) for name in last if name.startswith("loss/")}
    assert mean["loss/total"] < 1.2 * last["loss/total"]
    for name in ("loss/critics", "loss/adversarial", "loss/feature_matching"):
        assert mean[name] == pytest.approx(last[name], rel=0.5), name
    moments = checkpoint.load_tensors(checkpoint.folder_of(tmp_path / "run", 4) / "training.pt")["critics_optimiser"]
    assert min(float(kept["step"]) for kept in moments["state"].values()) > 1000
    # Critics that never heard anything find a real and a fake alike.
    fresh = fine_tuned(tmp_path / "fresh", pairs, "--initialise.parts=[generator]")
    assert fresh[0]["loss/critics"] > 1.2 * first[0]["loss/critics"]
