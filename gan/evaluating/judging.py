"""What a pair's systems made, judged: here, or in several processes."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import PurePosixPath

import torch

from gan.audio import Waveform
from gan.data.manifest import PairRecord
from gan.evaluating.contract import MeasureError, Sound, Take
from gan.evaluating.measures import Panel
from gan.evaluating.results import UNREPAIRED, Row
from gan.pairs.procedure import shift_wide, there_and_back
from gan.pairs.shift import ShiftError, load_shifter
from gan.pool import processes

ROOT = "."
"""The corpus of recordings that lay in no folder."""


@dataclass(frozen=True)
class Task:
    """A pair and what the model made of it.

    Attributes:
        place: of the pair, in the order of all.
        record: the pair.
        source: the shifted sound, [channels, samples].
        target: the original, same shape.
        output: what the model made of the source, same shape.
        system: what the model is called.
        beside: shifters that are systems too.
        speech: whether it is speech.
        undo: whether a one-way shift should be undone; see `Plan`.
    """

    place: int
    record: PairRecord
    source: Waveform
    target: Waveform
    output: Waveform
    system: str
    beside: tuple[str, ...]
    speech: bool
    undo: bool = True


@dataclass(frozen=True)
class Judged:
    """A row for each system of a pair, and what could not be had.

    Attributes:
        place: of the pair.
        rows: the unrepaired input first.
        complaints: sentences.
    """

    place: int
    rows: list[Row]
    complaints: list[str]


def corpus_of(record: PairRecord) -> str:
    """Give the first folder of a recording's path, "." where it lay in none."""
    parts = PurePosixPath(record.origin).parts
    return parts[0] if len(parts) > 1 else ROOT


def judge(task: Task, panel: Panel) -> Judged:
    """Measure every system's output of a pair."""
    record = task.record
    complaints: list[str] = []
    outputs = {UNREPAIRED: task.source, task.system: task.output}
    for name in task.beside if record.semitones != 0 else ():
        try:
            outputs[name] = _shifted(task, name)
        except ShiftError as error:
            complaints.append(str(error))
    original = Sound(task.target, record.sample_rate)
    rows = []
    for system, waveform in outputs.items():
        take = Take(Sound(waveform, record.sample_rate), original, record.semitones, record.direction, task.undo)
        values, wrong = panel.measure(take, speech=task.speech)
        complaints += [f"{system}: {complaint}" for complaint in wrong]
        what = (record.source, corpus_of(record), record.origin, record.speaker)
        rows.append(Row(*what, record.semitones, record.shifter, record.direction, system, values))
    return Judged(task.place, rows, complaints)


def _shifted(task: Task, name: str) -> Waveform:
    rate, semitones, shifter = task.record.sample_rate, task.record.semitones, load_shifter(name)
    if task.record.direction == "there_and_back":
        return there_and_back(task.target, rate, semitones, shifter)
    if task.undo:
        return shift_wide(task.source, rate, -semitones, shifter)
    return shift_wide(task.target, rate, semitones, shifter)


def judge_all(tasks: Iterable[Task], measures: Sequence[str], workers: int) -> Iterator[Judged]:
    """Judge tasks as they come; with several processes the order is that of their ends.

    Raises:
        MeasureError: what a measure needs cannot be had, or a process died.
    """
    panel = Panel(measures)  # with several processes too: what is wrong with a judge comes out before the work begins
    if workers == 1:
        for task in tasks:
            yield judge(task, panel)
        return
    waiting: set[Future[Judged]] = set()
    try:
        with processes(workers, _begin_to_judge, tuple(measures)) as pool:
            for task in tasks:
                waiting.add(pool.submit(_judge_in_worker, task))
                if len(waiting) >= 2 * workers:  # more would only fill the memory
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            yield from (future.result() for future in wait(waiting).done)
    except BrokenProcessPool as error:
        raise MeasureError("a process died, perhaps for want of memory: fewer --workers take less") from error


_panels: list[Panel] = []
"""Of this process, where it is a worker."""


def _begin_to_judge(measures: tuple[str, ...]) -> None:
    torch.set_num_threads(1)
    _panels.append(Panel(measures))


def _judge_in_worker(task: Task) -> Judged:
    return judge(task, _panels[0])
