"""What the page shows of results: tables by corpus, and a few files to hear, mended anew where the model is at hand."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from gan.audio import AudioError, Waveform
from gan.data.manifest import ManifestError, PairRecord, read_manifest
from gan.evaluating.results import UNREPAIRED, Results, Row
from gan.report.card import as_text
from gan.report.page import ORIGINAL, RESTORED, SHIFTED, Clip, Plan, Section, Track, facts, make_clip
from gan.report.sound import beginning
from gan.report.tables import MAIN, Catalogue, figures
from gan.resampling import resample
from generators.contract import Mender
from generators.streaming import restore_waveform

CHUNK = 10.0  # seconds that the network hears at once
FILTER = 0.1  # seconds: more than resampling reaches


def result_sections(results: Results, catalogue: Catalogue) -> list[Section]:
    """Show the tables, and what the results are of."""
    known = {name: value for name, value in results.facts.items() if value not in (None, "")}
    about = [(name.replace("_", " "), as_text(value)) for name, value in known.items()]
    return [
        Section("Figures", figures(results.rows, catalogue, results.systems())),
        Section("What was measured", facts(about)),
    ]


def choose(rows: Iterable[Row], count: int) -> list[Row]:
    """Choose files to hear: every corpus in turn, each time the shift, recording and shifter that were heard least.

    Returns:
        One row of each chosen file; clean input comes last.
    """
    files = {row.file: row for row in rows}
    left = sorted(files.values(), key=lambda row: (-abs(row.semitones), row.file))
    heard: Counter[object] = Counter()
    chosen: list[Row] = []
    while left and len(chosen) < count:
        row = min(left, key=lambda row: (row.semitones == 0, *(heard[key] for key in _kinds(row))))
        heard.update(_kinds(row))
        left.remove(row)
        chosen.append(row)
    return chosen


def _kinds(row: Row) -> list[object]:
    corpus = row.corpus
    return [corpus, (corpus, row.semitones), (corpus, row.recording), (corpus, row.shifter)]


def result_clips(
    results: Results, pairs: Path | None, mender: Mender | None, count: int, seconds: float
) -> tuple[list[Plan], list[str]]:
    """Plan players of a few files: clean and shifted as the pairs have them, restored as the model mends them now.

    Args:
        results: which files there are.
        pairs: the folder of pairs; None where it is not known.
        mender: the network; None leaves what it restores out.
        count: how many clips.
        seconds: of each at most.

    Returns:
        What makes the clips, and remarks on what is missing.
    """
    if pairs is None:
        return [], ["There is nothing to hear: the results name no folder of pairs (--pairs names it)."]
    try:
        records = {record.source: record for record in read_manifest(pairs)}
    except ManifestError as error:
        return [], [f"There is nothing to hear: {error} (--pairs names another folder)."]
    chosen = choose((row for row in results.rows if row.file in records), count)
    return [_plan(row, records[row.file], results, pairs, mender, seconds) for row in chosen], []


def _plan(row: Row, record: PairRecord, results: Results, pairs: Path, mender: Mender | None, seconds: float) -> Plan:
    shift = f"{row.semitones:+g} semitones by {row.shifter}" if row.semitones else "not shifted"
    title = f"{row.corpus}: {Path(row.recording).stem}, {shift}"
    return Plan(title, lambda: _clip(title, row, record, results, pairs, mender, seconds))


def _clip(
    title: str, row: Row, record: PairRecord, results: Results, pairs: Path, mender: Mender | None, seconds: float
) -> Clip:
    clean, shifted = (beginning(pairs / file, seconds) for file in (record.target, record.source))
    if clean.sample_rate != shifted.sample_rate:
        raise AudioError(f"{pairs / record.source}: is of another rate than {record.target}; make the pairs again")
    known = row.direction == "there_and_back" or row.semitones == 0
    tracks = [
        Track(ORIGINAL, clean.waveform, "" if known else "before the shift", reference=known),
        Track(SHIFTED, shifted.waveform, _distance(results, row.file, UNREPAIRED)),
    ]
    if mender is not None:
        # A model's figures stand beside its sound only where it is clear which system it is.
        others = [name for name in results.systems() if name != UNREPAIRED]
        system = results.facts.get("system") or (others[0] if len(others) == 1 else "")
        mended = mended_beginning(pairs / record.source, mender, seconds)
        tracks.append(Track(RESTORED, mended, _distance(results, row.file, str(system))))
    return make_clip(title, tracks, clean.sample_rate, seconds, max(clean.seconds, shifted.seconds))


def _distance(results: Results, file: str, system: str) -> str:
    row = results.of(system).get(file)
    return f"mel distance {row.values[MAIN]:.3f}" if row and MAIN in row.values else ""


def mended_beginning(source: Path, mender: Mender, seconds: float) -> Waveform:
    """Mend the first seconds of a file as `unshift restore` mends them, hearing no more of it than they depend on.

    Args:
        source: the file.
        mender: the network.
        seconds: how much of it.

    Returns:
        [channels, samples], at the file's rate, within -1..1.

    Raises:
        AudioError: the file cannot be read.
    """
    after = (mender.reach + mender.hop) / mender.sample_rate + FILTER
    heard = beginning(source, seconds + after)
    rate, network = heard.sample_rate, mender.sample_rate
    device = next(mender.parameters()).device if isinstance(mender, nn.Module) else torch.device("cpu")
    waveform = torch.from_numpy(resample(heard.waveform, rate, network)).to(device)
    mended = restore_waveform(mender, waveform, round(CHUNK * network)).float().cpu().numpy()
    whole = resample(mended, network, rate)[:, : heard.waveform.shape[1]]
    return np.clip(whole[:, : round(seconds * rate)], -1, 1)
