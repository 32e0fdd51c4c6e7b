"""What the commands of `unshift` do, once the command line is read."""

import argparse
import json
import sys
from collections.abc import Callable
from typing import cast

import torch
from tqdm import tqdm

from gan.audio import AudioError
from gan.data.manifest import ManifestError
from gan.inspection import inspect
from gan.pairs.make import PairError, PairSettings, make_pairs
from gan.pairs.shift import load_shifter
from gan.restoring import Job, Plan, Progress, plan, restore_file, shift_file
from generators import store
from generators.contract import Mender, ModelError

EXPECTED = (AudioError, ManifestError, ModelError, PairError, OSError)
"""Errors about the user's files and wishes; any other is a fault in the program and keeps its traceback."""

FAILED_IN_PART = 1
NO_MODEL = (
    "no model: unshift ships no trained one yet; train it (`unshift --help` says how) and name its folder, "
    "as in --model runs/stage3"
)


def run(parsed: argparse.Namespace) -> int:
    """Do what the command line asks, and return the exit code.

    Raises:
        AudioError, ManifestError, ModelError, PairError, OSError: it cannot be done; the message is one line.
    """
    match parsed.name:
        case "restore":
            return _restore(parsed)
        case "shift":
            return _shift(parsed)
        case "pairs":
            return _pairs(parsed)
        case _:
            return _inspect(parsed)


def one_line(error: BaseException) -> str:
    """Give an error's message on one line, with the file's name where the operating system knows it."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _restore(parsed: argparse.Namespace) -> int:
    work = plan(parsed.input, parsed.output, overwrite=parsed.overwrite)
    mender = _mender(parsed)
    return _work_through(work, lambda job, told: restore_file(job, mender, parsed.chunk_seconds, told), "restored")


def _shift(parsed: argparse.Namespace) -> int:
    work = plan(parsed.input, parsed.output, overwrite=parsed.overwrite)
    shifter = load_shifter(parsed.shifter)
    mender = None if parsed.no_restore else _mender(parsed)

    def shift(job: Job, told: Progress) -> list[str]:
        return shift_file(job, shifter, parsed.semitones, mender, parsed.chunk_seconds, told)

    return _work_through(work, shift, "shifted")


def _mender(parsed: argparse.Namespace) -> Mender:
    if parsed.model is None:
        raise ModelError(NO_MODEL)
    if parsed.device == "cuda" and not torch.cuda.is_available():
        raise ModelError("--device cuda: this machine has no usable CUDA device; take --device cpu")
    device = "cuda" if parsed.device != "cpu" and torch.cuda.is_available() else "cpu"
    network = store.load(store.resolve(parsed.model), trust=parsed.trust)
    if not isinstance(network, Mender):
        raise ModelError(f"{parsed.model}: a {type(network).__name__} does not map audio to audio of the same length")
    return cast(Mender, network.to(device).eval())


def _work_through(work: Plan, do: Callable[[Job, Progress], list[str]], done: str) -> int:
    """Do every job under a progress bar; in a folder a file that fails does not stop the others."""
    failed = []
    for number, job in enumerate(work.jobs, start=1):
        where = f"[{number}/{len(work.jobs)}] " if work.folder else ""
        bar_format = "{desc} {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s of sound [{elapsed}<{remaining}]"
        bar = tqdm(total=job.seconds, desc=f"{where}{job.source.name}", disable=None, bar_format=bar_format)
        with bar:
            try:
                remarks = do(job, bar.update)
            except EXPECTED as error:
                if not work.folder:
                    raise
                failed.append(job.source)
                remarks = [f"failed: {one_line(error)}"]
        for remark in remarks:
            _say(remark)
    if work.folder:
        _say(_summary(work, len(failed), done))
        if failed:
            _say(f"failed: {', '.join(str(path) for path in failed)}")
    return FAILED_IN_PART if failed else 0
