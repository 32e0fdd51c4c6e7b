"""What the commands of `unshift` do, once the command line is read."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn, cast

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

EXPECTED = (AudioError, ManifestError, ModelError, PairError, OSError, MemoryError, torch.OutOfMemoryError)
"""Errors about the user's files and wishes; any other is a fault in the program and keeps its traceback."""

FAILED_IN_PART = 1
NOTHING_DONE = 2
MOST_REASONS = 10
BAR = "{desc} {percentage:3.0f}%|{bar}| {n:.0f} of {total:.0f} s of sound [{elapsed}<{remaining}]"
PAIR_OPTIONS = {
    "source": "source",
    "destination": "destination",
    "semitones": "semitones",
    "direction": "direction",
    "shifter": "shifters",
    "rate": "sample_rate",
    "split_by": "split_by",
    "validation": "validation",
    "test": "test",
    "held_out": "held_out",
    "seed": "seed",
    "workers": "workers",
    "piece_seconds": "piece_seconds",
}
"""Options of `unshift pairs` and the fields of PairSettings that they are."""
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
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return "out of memory: a smaller --chunk-seconds takes less"
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
    network = store.load(store.resolve(parsed.model), trust=parsed.trust).to(device)
    if not isinstance(network, Mender):
        raise ModelError(f"{parsed.model}: a {type(network).__name__} does not map audio to audio of the same length")
    return cast(Mender, network)


def _pairs(parsed: argparse.Namespace) -> int:
    given = {name: getattr(parsed, option) for option, name in PAIR_OPTIONS.items()}
    # What was not asked for keeps the default of PairSettings; lists become tuples.
    chosen: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items() if v is not None}
    report = make_pairs(PairSettings(**chosen))
    for remark in report.remarks:
        _say(remark)
    for origin, reason in report.left_out[:MOST_REASONS]:
        _say(f"left out {origin}: {reason}")
    if more := report.left_out[MOST_REASONS:]:
        _say(f"left out {len(more)} more: see left_out.jsonl in {parsed.destination}")
    splits = Counter(record.split for record in report.records)
    parts = ", ".join(f"{splits[name]} {name}" for name in ("train", "validation", "test"))
    earlier = f", {report.kept} from before" if report.kept else ""
    _say(f"{parsed.destination} holds {len(report.records)} pairs ({parts}): {report.made} made now{earlier}")
    return 0 if report.records else NOTHING_DONE


def _inspect(parsed: argparse.Namespace) -> int:
    found = inspect(parsed.model, trust=parsed.trust)
    print(json.dumps(found.as_dict(), indent=2) if parsed.json else found.table())  # noqa: T201
    return 0


def _work_through(work: Plan, do: Callable[[Job, Progress], list[str]], done: str) -> int:
    """Do every job under a progress bar; in a folder a file that fails does not stop the others."""
    failed = []
    for number, job in enumerate(work.jobs, start=1):
        name = f"[{number}/{len(work.jobs)}] {job.source.name}" if work.folder else job.source.name
        with tqdm(desc=name, total=1, disable=None, bar_format=BAR) as bar:
            try:
                remarks = do(job, partial(_tell, bar))
            except EXPECTED as error:
                if not work.folder:
                    raise
                failed.append(job.source)
                remarks = [f"failed: {one_line(error)}"]
        for remark in remarks:
            _say(remark)
    if work.folder:
        _say(f"{done} {_files(len(work.jobs) - len(failed))}{_others(work)}")
        if failed:
            _say(f"{_files(len(failed))} failed: {', '.join(map(str, failed))}")
    return FAILED_IN_PART if failed else 0


def _tell(bar: "tqdm[NoReturn]", done: float, total: float) -> None:
    bar.total = total
    bar.update(done - bar.n)


def _others(work: Plan) -> str:
    kept = f"; left {_files(len(work.kept))} already there (--overwrite does them again)" if work.kept else ""
    return kept + (f"; passed over {_files(work.ignored)} not audio" if work.ignored else "")


def _files(count: int) -> str:
    return f"{count} file{'s' * (count != 1)}"


def _say(message: str) -> None:
    print(f"unshift: {message}", file=sys.stderr)  # noqa: T201
