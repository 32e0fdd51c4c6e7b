"""A model on a folder of pairs: restored, measured beside the unrepaired input and other shifters, file by file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from gan.audio import AudioError, Waveform, find_audio, read, resample
from gan.data.dataset import select
from gan.data.manifest import MANIFEST, ManifestError, PairRecord
from gan.evaluating.judging import Judged, Task, corpus_of, judge_all
from gan.evaluating.measures import MeasureError, choose
from gan.evaluating.notes import Notes
from gan.evaluating.progress import Progress
from gan.evaluating.results import UNREPAIRED, Row
from gan.pairs.shift import apply_shifter, fitted, load_shifter
from generators.contract import Mender
from generators.streaming import restore_waveform


@dataclass(frozen=True)
class Plan:
    """What is to be evaluated.

    Attributes:
        folder: of pairs.
        system: what the model is called in the results.
        split: "test" or "validation".
        files: how many pairs of each corpus at most, drawn at random but always the same; None for all.
        corpora: which; None for all.
        measures: by name; None for all that are installed and download nothing.
        speech: the corpora that are speech, the only ones that measures of speech are taken of; none named means all
            are. None: it is not known, and measures of speech are only taken where they are asked for, then of all.
        beside: shifters as systems of their own: each shifts the original as the pairs' did, or shifts the source back
            where that is the model's own task.
        one_way: what becomes of one-way shifts. "undo": the model shifts back, and its output should be the original
            (what it learns of one-way pairs). "repair": the shift stays; the output has no reference but its pitch,
            which should be the shifted one, and its formants, which should be the original's.
        workers: processes that measure; with one it is done here.
        chunk_seconds: what the network hears at once.
        keep: where what is done is kept until `Evaluation.notes` is cleared, so that an evaluation that was stopped
            can go on with the rest; None: nowhere.
        afresh: whether what an earlier run has kept there is taken away first.
        identity: what tells this model, the device and so on from others, of which nothing that is kept holds; see
            `gan.evaluating.origin.identify`.
    """

    folder: Path
    system: str
    split: str = "test"
    files: int | None = None
    corpora: Sequence[str] | None = None
    measures: Sequence[str] | None = None
    speech: Sequence[str] | None = None
    beside: Sequence[str] = ()
    one_way: Literal["undo", "repair"] = "undo"
    workers: int = 1
    chunk_seconds: float = 10.0
    keep: Path | None = None
    afresh: bool = False
    identity: Sequence[str] = ()

    def conditions(self, measures: Sequence[str]) -> dict[str, object]:
        """Give what the figures of a pair depend on besides the pair, as JSON has it."""
        speech = None if self.speech is None else sorted(set(self.speech))
        return {
            "identity": list(self.identity),
            "system": self.system,
            "measures": list(measures),
            "speech": speech,
            "beside": list(self.beside),
            "one_way": self.one_way,
            "chunk_seconds": self.chunk_seconds,
        }


@dataclass
class Evaluation:
    """What came of it.

    Attributes:
        measures: their names.
        rows: systems side by side, in the manifest's order.
        failed: pairs of which there is no row, and why.
        complaints: what is missing of pairs that have rows: file and reason.
        remarks: what else a user should read.
        notes: what is kept of it, to be cleared once the results are written.
        kept: how many pairs an earlier run had done.
    """

    measures: list[str]
    notes: Notes
    rows: list[Row] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    complaints: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    kept: int = 0


def evaluate(mender: Mender, plan: Plan, *, progress: bool = True) -> Evaluation:
    """Restore the source of every pair; measure the result, the source itself, and other shifters.

    A pair that cannot be read does not stop the others. What is done is noted in plan.keep pair by pair; pairs of which
    a measure failed are not, and are tried again.

    Args:
        mender: the network, in eval mode on its device.
        plan: of what.
        progress: tell on stderr how far it is, see `Progress`.

    Raises:
        MeasureError: a measure is unknown, or asked for and not to be had; two systems have one name; a process died.
        ManifestError: there are no such pairs, or no such corpus.
        PairError: there is no such shifter, or its package is missing.
    """
    records = choose_records(plan)
    systems = [UNREPAIRED, plan.system, *plan.beside]
    if twice := {name for name in systems if systems.count(name) > 1}:
        raise MeasureError(f"two systems would be called {min(twice)}: give the model another --name")
    for name in plan.beside:  # a missing package should come out before the work begins
        rate = records[0].sample_rate
        tone = 0.1 * np.sin(2 * np.pi * 150 / rate * np.arange(rate // 2), dtype=np.float32)
        apply_shifter(load_shifter(name), tone[None].repeat(records[0].channels, axis=0), rate, 1.0)
    measures, remarks = choose(plan.measures, speech=plan.speech is not None)
    notes = Notes(plan.keep, plan.folder, plan.conditions(measures))
    if plan.afresh:
        notes.clear()
    found = Evaluation(measures, notes, remarks=remarks)
    if plan.measures is None and plan.speech is None:
        found.remarks.append("measures of speech are left out: --speech [CORPUS ...] says what is speech")
    outcomes: list[Judged] = []
    with Progress(len(records), "evaluate", shown=progress) as bar:
        tasks = _tasks(mender, plan, records, found, outcomes)
        for judged in judge_all(tasks, measures, max(1, min(plan.workers, len(records)))):
            outcomes.append(judged)
            if not judged.complaints:
                notes.write(records[judged.place], judged.rows)
            bar.reach(len(outcomes) + len(found.failed))
    for judged in sorted(outcomes, key=lambda one: one.place):
        found.rows += judged.rows
        found.complaints += [(records[judged.place].source, complaint) for complaint in judged.complaints]
    return found


def choose_records(plan: Plan) -> list[PairRecord]:
    """Choose the pairs: of each corpus that is wanted as many as are wanted, in the manifest's order.

    Raises:
        ManifestError: there are no such pairs, or no such corpus; or the folder holds clean recordings instead.
    """
    if not (plan.folder / MANIFEST).exists() and plan.folder.is_dir() and find_audio(plan.folder):
        advice = f"make pairs of them in a new folder (`unshift pairs {plan.folder} PAIRS`) and name that"
        raise ManifestError(f"{plan.folder} holds recordings, and no pairs: {advice}")
    records = select(plan.folder, plan.split)
    there = sorted({corpus_of(record) for record in records})
    for name in (*(plan.corpora or ()), *(plan.speech or ())):
        if name not in there:
            raise ManifestError(f"{plan.folder} holds no {plan.split} pair of {name!r}: its corpora are {there}")
    chosen: list[int] = []
    for corpus in there if plan.corpora is None else sorted(set(plan.corpora)):
        places = np.array([place for place, record in enumerate(records) if corpus_of(record) == corpus])
        # Drawn, not every n-th: the shifts recur in the manifest, and a step could meet one of them alone.
        drawn = np.random.default_rng(0).permutation(len(places))[: plan.files]
        chosen += places[drawn].tolist()
    return [records[place] for place in sorted(chosen)]


def _tasks(
    mender: Mender, plan: Plan, records: Sequence[PairRecord], found: Evaluation, outcomes: list[Judged]
) -> Iterator[Task]:
    """Restore pair by pair; those that fail are told of in `found`, those that are done already go to `outcomes`."""
    for place, record in enumerate(records):
        if (rows := found.notes.read(record)) is not None:
            outcomes.append(Judged(place, rows, []))
            found.kept += 1
            continue
        try:
            (source, rate), (target, _) = (read(plan.folder / name) for name in (record.source, record.target))
        except AudioError as error:
            found.failed.append((record.source, str(error)))
            continue
        if source.shape != target.shape or rate != record.sample_rate:
            found.failed.append((record.source, "source, target and manifest differ in length, channels or rate"))
            continue
        output = restored(mender, source, rate, plan.chunk_seconds)
        if not np.isfinite(output).all():
            found.failed.append((record.source, f"{plan.system} makes samples of it that are no numbers"))
            continue
        speech = not plan.speech or corpus_of(record) in plan.speech
        undo = plan.one_way == "undo"
        yield Task(place, record, source, target, output, plan.system, tuple(plan.beside), speech, undo)


def restored(mender: Mender, waveform: Waveform, sample_rate: int, chunk_seconds: float = 10.0) -> Waveform:
    """Mend a waveform as `unshift restore` mends a file, but in single precision: nothing is rounded or clipped.

    Args:
        mender: the network, in eval mode on its device.
        waveform: [channels, samples].
        sample_rate: of the waveform, Hz; it is resampled to the network's and back.
        chunk_seconds: what the network hears at once.

    Returns:
        Same shape.
    """
    device = next(mender.parameters()).device if isinstance(mender, nn.Module) else torch.device("cpu")
    heard = torch.from_numpy(resample(waveform, sample_rate, mender.sample_rate)).to(device)
    mended = restore_waveform(mender, heard, round(chunk_seconds * mender.sample_rate)).float().cpu().numpy()
    return fitted(resample(mended, mender.sample_rate, sample_rate), waveform.shape[1])
