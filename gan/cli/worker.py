"""Working through a plan under progress bars, and telling the user what became of it."""

import sys
from collections.abc import Callable
from functools import partial
from typing import NoReturn

import torch
from tqdm import tqdm

from gan.audio import AudioError
from gan.coding.bitstream import BitstreamError
from gan.data.manifest import ManifestError
from gan.evaluating.results import ResultsError
from gan.flow import Progress
from gan.journal import JournalError
from gan.pairs.make import PairError
from gan.planning import Job, Plan
from gan.wording import plain
from generators.contract import ModelError

EXPECTED = (
    AudioError,
    BitstreamError,
    JournalError,
    ManifestError,
    ModelError,
    PairError,
    ResultsError,
    OSError,
    MemoryError,
    torch.OutOfMemoryError,
)
"""Errors about the user's files and wishes; any other is a fault in the program and keeps its traceback."""

FAILED_IN_PART, NOTHING_DONE = 1, 2
BAR = "{desc} {percentage:3.0f}%|{bar}| {n:.0f} of {total:.0f} s of sound [{elapsed}<{remaining}]"


def work_through(work: Plan, do: Callable[[Job, Progress], list[str]], done: str) -> int:
    """Do every job under a progress bar; in a folder a file that fails does not stop the others.

    Args:
        work: what there is to do.
        do: does one job, tells its progress, and gives remarks for the user.
        done: what became of the files, in a word.

    Returns:
        The exit code: 0 where all went well, 1 where some files of a folder failed, 2 where all did: none is done,
        now or before.
    """
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
            say(remark)
    if work.folder:
        say(f"{done} {_files(len(work.jobs) - len(failed))}{_others(work)}")
        if failed:
            say(f"{_files(len(failed))} failed: {', '.join(map(str, failed))}")
    if not failed:
        return 0
    return FAILED_IN_PART if work.kept or len(failed) < len(work.jobs) else NOTHING_DONE


def one_line(error: BaseException) -> str:
    """Give an error's message on one line, with the file's name where the operating system knows it."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return "out of memory: a smaller --chunk-seconds takes less"
    if isinstance(error, OSError) and error.strerror:
        return plain(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    return plain(str(error)) or type(error).__name__


def say(message: str) -> None:
    """Tell the user a line."""
    print(f"unshift: {message}", file=sys.stderr)  # noqa: T201


def _tell(bar: "tqdm[NoReturn]", done: float, total: float) -> None:
    bar.total = total
    bar.update(done - bar.n)


def _others(work: Plan) -> str:
    kept = f"; left {_files(len(work.kept))} already there (--overwrite does them again)" if work.kept else ""
    are = "that is" if work.ignored == 1 else "that are"
    return kept + (f"; passed over {_files(work.ignored)} {are} not {work.kind}" if work.ignored else "")


def _files(count: int) -> str:
    return f"{count} file{'s' * (count != 1)}"
