"""Checkpoints: a folder is written under another name and renamed when it is whole, so a kill leaves no half of one.

checkpoints/00010000/
  generator/  average/   weights.safetensors + generator.yaml, what `unshift restore` takes
  critics/               weights.safetensors, by name
  training.pt            optimisers and counters: tensors and plain values, loaded with weights_only
  random-<rank>.pt       of each process: its random state, and what it has summed up since the journal's last line
  digests.json           of all these files, see gan/faults/damage.py
"""

import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim import Optimizer

from gan.averaging import Average
from gan.faults.agreement import first_alone, together
from gan.faults.contents import check_count, check_numbers, check_tally, load_optimiser
from gan.faults.digests import seal
from gan.recipe import ConfigError
from gan.tally import mean_of_tallies
from gan.wording import plain
from generators import store


class CheckpointError(ValueError):
    """A checkpoint cannot be read; the message is one line that names the file and says what to do."""


@dataclass
class State:
    """All that a run has to remember.

    Attributes:
        generator: the bare network.
        spec: its class path and arguments.
        optimiser: its optimiser.
        average: of its weights, or None.
        critics: the bare panel, or None.
        critics_optimiser: or None.
        best: the lowest validation score so far, and its step.
        faults: what bad numbers have led to, see gan.faults.bad_steps.
    """

    generator: nn.Module
    spec: dict[str, Any]
    optimiser: Optimizer
    average: Average | None = None
    critics: nn.Module | None = None
    critics_optimiser: Optimizer | None = None
    best: dict[str, float] = field(default_factory=dict)
    faults: dict[str, float] = field(default_factory=dict)


whole_checkpoints = store.whole_checkpoints


def folder_of(run: Path, step: int) -> Path:
    """Where the checkpoint after so many steps lies."""
    return run / "checkpoints" / f"{step:08d}"


def save(run: Path, step: int, state: State, tally: Mapping[str, Any], accelerator: Accelerator) -> Path:
    """Write a checkpoint and let `latest` name it; every process has to call this.

    Args:
        run: the run's folder.
        step: how many are done.
        state: the same on every process.
        tally: this process's, see gan.tally.
        accelerator: of the run.

    Returns:
        The folder, whole.

    Raises:
        ConfigError: on every process, where one of them cannot write; nothing that was there before is touched.
    """
    final = folder_of(run, step)
    write(final, step, state, {**random_state(), "tally": dict(tally)}, accelerator)
    first_alone(accelerator, lambda: point(run / "latest", final))
    return final


def write(final: Path, step: int, state: State, own: Mapping[str, Any], accelerator: Accelerator) -> None:
    """Write a folder of all that a run remembers, whole or not at all; every process has to call this.

    Args:
        final: the folder.
        step: how many are done.
        state: the same on every process.
        own: what this process alone remembers, tensors and plain values.
        accelerator: of the run.

    Raises:
        ConfigError: see `save`.
    """
    partial = final.with_name(final.name + ".partial")

    def begin() -> None:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)

    def write_part() -> None:
        _save_tensors(own, partial / f"random-{accelerator.process_index}.pt")
        if accelerator.is_main_process:
            _save_parts(partial, step, state)

    try:
        first_alone(accelerator, begin)
        together(accelerator, write_part)
        first_alone(accelerator, lambda: _finish(partial, final))
    except ConfigError:
        if accelerator.is_main_process:
            shutil.rmtree(partial, ignore_errors=True)
        raise


def _finish(partial: Path, final: Path) -> None:
    seal(partial)
    for folder in (partial, *(f for f in partial.iterdir() if f.is_dir())):
        store.sync(folder)
    store.put_in_place(partial, final)
    store.sync(final.parent)


def resume(folder: Path, state: State, process: int, processes: int) -> tuple[int, dict[str, Any]]:
    """Put everything back as it was: the same run goes on.

    Args:
        folder: a whole checkpoint.
        state: what is filled.
        process: this process's rank; one that the checkpoint does not know keeps its fresh random state.
        processes: how many there are.

    Returns:
        The steps done, and the tally: this process's own, or the mean of all where there were more or fewer.

    Raises:
        CheckpointError: a file is missing, damaged, of another network, or holds what no run wrote.
    """
    try:
        return _take_up(folder, state, process, processes)
    except CheckpointError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        why = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise CheckpointError(
            plain(f"{folder} does not fit this recipe: {why}; remove it to go on from the checkpoint before")
        ) from error


def _take_up(folder: Path, state: State, process: int, processes: int) -> tuple[int, dict[str, Any]]:
    training = load_tensors(folder / "training.pt")
    store.load_weights(folder / "generator", state.generator)
    load_optimiser(state.optimiser, training["optimiser"])
    if state.average:
        store.load_weights(folder / "average", state.average.module)
        state.average.load_state({"updates": check_count("the average's updates", training["average"]["updates"])})
    if state.critics and state.critics_optimiser:
        load_critics(folder, state.critics)
        load_optimiser(state.critics_optimiser, training["critics_optimiser"])
    state.best = check_numbers("the best score", training["best"], -math.inf)
    state.faults = check_numbers("what is kept of faults", training.get("faults", {}))
    kept = {file.name: load_tensors(file) for file in sorted(folder.glob("random-*.pt"))}
    own = kept.get(f"random-{process}.pt")
    if own:
        set_random_state(own)
    tallies = [own] if own and len(kept) == processes else list(kept.values())
    tally = mean_of_tallies([check_tally(values["tally"]) for values in tallies if "tally" in values])
    return check_count("the step", training["step"]), tally


def load_critics(folder: Path, critics: nn.Module) -> None:
    """Fill a panel with the critics of a checkpoint.

    Raises:
        CheckpointError: there are none, they are damaged, or of another shape.
    """
    file = folder / "critics" / "weights.safetensors"
    try:
        critics.load_state_dict(load_file(file))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"cannot take the critics from {file}: {' '.join(str(error).split())}") from error


def load_tensors(file: Path) -> dict[str, Any]:
    """Read a file of tensors and plain values; nothing in it is executed.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    try:
        return dict(torch.load(file, map_location="cpu", weights_only=True))
    except Exception as error:  # torch raises many kinds for a damaged archive, and all mean the same to a user
        raise CheckpointError(f"cannot read {file}: remove its folder to go on from the checkpoint before") from error


def prune(run: Path, keep: int) -> None:
    """Remove all checkpoints but the newest `keep`, the best one, and what other links in the run point to."""
    protected = {link.resolve() for link in run.iterdir() if link.is_symlink()}
    for folder in whole_checkpoints(run)[:-keep]:
        if folder.resolve() not in protected:  # under a torn one's name: a kill leaves none that looks whole
            shutil.rmtree(folder.rename(folder.with_name(folder.name + ".partial")))


def point(link: Path, target: Path) -> None:
    """Let a relative symbolic link point to a folder, never missing in between."""
    fresh = link.with_name(link.name + ".partial")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(os.path.relpath(target, link.parent))
    fresh.replace(link)


def _save_parts(folder: Path, step: int, state: State) -> None:
    store.save(folder / "generator", state.generator, state.spec)
    training: dict[str, Any] = {"step": step, "optimiser": state.optimiser.state_dict(), "best": state.best}
    training["faults"] = state.faults
    if state.average:
        store.save(folder / "average", state.average.module, state.spec)
        training["average"] = state.average.state()
    if state.critics and state.critics_optimiser:
        (folder / "critics").mkdir()
        file = folder / "critics" / "weights.safetensors"
        try:
            save_file({name: tensor.contiguous() for name, tensor in state.critics.state_dict().items()}, file)
        except SafetensorError as error:
            raise OSError(f"{file} cannot be written: {' '.join(str(error).split())}") from error
        store.sync(file)
        training["critics_optimiser"] = state.critics_optimiser.state_dict()
    _save_tensors(training, folder / "training.pt")


def _save_tensors(values: Mapping[str, Any], file: Path) -> None:
    try:
        torch.save(dict(values), file)
    except RuntimeError as error:  # what torch makes of a full disk
        raise OSError(f"{file} cannot be written: make room on the disk, and start the same command again") from error
    store.sync(file)


def random_state() -> dict[str, Any]:
    """Give this process's random state, of the CPU and of its GPU."""
    state: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: Mapping[str, Any]) -> None:
    """Put a random state back."""
    torch.set_rng_state(state["cpu"])
    if torch.cuda.is_available() and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"])
