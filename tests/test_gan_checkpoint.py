"""Checkpoints that hold what no run wrote, well sealed: the run ends in one line; and folders that are replaced."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from runs import run_stage
from torch import nn

from gan import checkpoint
from gan.faults.contents import load_optimiser
from gan.faults.damage import damage
from gan.faults.digests import seal
from gan.optimisers import Muon
from gan.recipe import ConfigError

WORDS = ("--steps", "3", "--rhythm.journal", "1", "--rhythm.validate", "3", "--rhythm.save", "2")
Words = dict[str, Any]
Change = Callable[[Words], object]


@pytest.fixture(scope="module")
def two(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three steps whose newest checkpoint is after two."""
    run = run_stage(1, tmp_path_factory.mktemp("two") / "run", pairs, *WORDS)
    shutil.rmtree(checkpoint.folder_of(run, 3))
    return run


def moments(words: Words) -> Words:
    """What the optimiser keeps of its first parameter."""
    return words["optimiser"]["state"][0]


def group(words: Words) -> Words:
    return words["optimiser"]["param_groups"][0]


TRAINING: dict[str, Change] = {
    "a moment that is too small": lambda w: moments(w).update(exp_avg=torch.zeros(1)),
    "a moment that lies in one place": lambda w: moments(w).update(
        exp_avg_sq=torch.zeros(1).expand(moments(w)["exp_avg_sq"].shape)
    ),
    "a moment that is no tensor": lambda w: moments(w).update(exp_avg=0.5),
    "no moment": lambda w: moments(w).pop("exp_avg"),
    "many counts": lambda w: moments(w).update(step=torch.ones(7)),
    "a count from before the start": lambda w: moments(w).update(step=torch.tensor(-1.0)),
    "a rate in words": lambda w: group(w).update(lr="high"),
    "betas in words": lambda w: group(w).update(betas=("a", "b")),
    "one beta": lambda w: group(w).update(betas=(0.9,)),
    "a first rate that is none": lambda w: group(w).update(initial_lr=None),
    "no groups": lambda w: w["optimiser"].update(param_groups=[]),
    "an optimiser of words": lambda w: w.update(optimiser="AdamW"),
    "a state that is a list": lambda w: w["optimiser"].update(state=[3]),
    "no optimiser": lambda w: w.pop("optimiser"),
    "no best": lambda w: w.pop("best"),
    "a best in words": lambda w: w.update(best={"step": "x"}),
    "a best that is a list": lambda w: w.update(best=[1]),
    "faults in words": lambda w: w.update(faults={"rolled": "x"}),
    "no number of faults": lambda w: w.update(faults={"factor": float("nan")}),
    "no step": lambda w: w.pop("step"),
    "a step in words": lambda w: w.update(step="2"),
    "a step before the first": lambda w: w.update(step=-1),
    "no average": lambda w: w.pop("average"),
    "updates before the first": lambda w: w.update(average={"updates": -10}),
}
RANDOM: dict[str, Change] = {
    "a random state of floats": lambda w: w.update(cpu=torch.zeros(5056)),
    "a random state in words": lambda w: w.update(cpu="x"),
    "a short random state": lambda w: w.update(cpu=w["cpu"][:9]),
    "no random state": lambda w: w.pop("cpu"),
    "a tally in words": lambda w: w.update(tally="x"),
    "a tally of a number": lambda w: w.update(tally={"sums": 3}),
    "sums of numbers": lambda w: w["tally"].update(sums={"a": 3}, counts={"a": 1}),
    "sums of many numbers": lambda w: w["tally"].update(sums={"a": torch.zeros(3)}, counts={"a": 1}),
    "sums that nothing counts": lambda w: w["tally"].update(sums={"a": torch.zeros(())}),
    "steps in words": lambda w: w["tally"].update(steps="x"),
    "files in words": lambda w: w["tally"].update(files={"process": 0, "counts": {"a": "x"}, "reasons": {"a": "b"}}),
    "reasons in numbers": lambda w: w["tally"].update(files={"process": 0, "counts": {"a": 1}, "reasons": {"a": 1}}),
}


def crafted(folder: Path, name: str, change: Change) -> None:
    words = checkpoint.load_tensors(folder / name)
    change(words)
    torch.save(words, folder / name)
    seal(folder)
    assert damage(folder) is None


@pytest.mark.parametrize("what", [*TRAINING, *RANDOM])
def test_what_no_run_wrote_is_refused_in_one_line(what: str, two: Path, pairs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(two, run, symlinks=True)
    name, change = ("training.pt", TRAINING[what]) if what in TRAINING else ("random-0.pt", RANDOM[what])
    crafted(checkpoint.folder_of(run, 2), name, change)
    with pytest.raises((ConfigError, checkpoint.CheckpointError), match="00000002 does not fit this recipe") as caught:
        run_stage(1, run, pairs, *WORDS)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1001


def test_what_a_run_wrote_is_taken(two: Path, pairs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(two, run, symlinks=True)
    crafted(checkpoint.folder_of(run, 2), "training.pt", lambda w: w.update(faults={"rolled": 1, "factor": 0.5}))
    run_stage(1, run, pairs, *WORDS)
    assert checkpoint.folder_of(run, 3).is_dir()


@pytest.mark.parametrize("kind", ["AdamW", "amsgrad", "Muon", "SGD"])
def test_optimisers_take_up_what_they_wrote_and_no_moment_of_another_shape(kind: str) -> None:
    def made() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv1d(2, 3, 5), nn.Conv1d(3, 1, 1))
        every = net.parameters()
        if kind == "Muon":
            return net, Muon(every)
        if kind == "SGD":
            return net, torch.optim.SGD(every, 0.1, momentum=0.9)
        return net, torch.optim.AdamW(every, fused=True, amsgrad=kind == "amsgrad")

    net, optimiser = made()
    net(torch.randn(1, 2, 9)).sum().backward()
    optimiser.step()
    saved = optimiser.state_dict()
    _, other = made()
    load_optimiser(other, saved)
    again = other.state_dict()
    names = [(number, name) for number, kept in saved["state"].items() for name in kept]
    assert all(torch.equal(saved["state"][number][name], again["state"][number][name]) for number, name in names)
    for number, name in names:
        wrong = other.state_dict()
        wrong["state"] = {n: dict(kept) for n, kept in saved["state"].items()}
        wrong["state"][number][name] = torch.zeros(2, 2)
        with pytest.raises(ValueError, match=name):
            load_optimiser(made()[1], wrong)


def test_a_folder_is_replaced_only_when_the_new_one_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Linear(2, 2)
    spec = {"class_path": "torch.nn.Linear", "init_args": {"in_features": 2, "out_features": 2}}
    state = checkpoint.State(net, spec, torch.optim.SGD(net.parameters(), lr=0.1))
    folder = tmp_path / "checkpoints" / "00000004"

    def write(value: float) -> None:
        checkpoint.write(folder, 4, state, {"value": value}, Accelerator(cpu=True))

    def value() -> float:
        return float(checkpoint.load_tensors(folder / "random-0.pt")["value"])

    write(1.0)
    write(2.0)
    assert value() == 2.0
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    # A disk that refuses at the last moment: the old one is still whole then, beside the new one, and is put back.
    rename, seen = Path.rename, []

    def refused(path: Path, target: Path) -> Path:
        if path.name != "00000004.partial":
            return rename(path, target)
        seen.append(sorted(f.name for f in folder.parent.iterdir() if damage(f) is None))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(ConfigError, match="No space left"):
        write(3.0)
    assert value() == 2.0
    assert seen == [["00000004.old.partial", "00000004.partial"]]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
