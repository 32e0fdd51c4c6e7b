"""What the page shows of results: tables by corpus, and a few files to hear, mended anew where the model is at hand."""

import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from gan.audio import AudioError, Waveform, read
from gan.data.manifest import ManifestError, PairRecord, read_manifest
from gan.evaluating.results import UNREPAIRED, Results, Row
from gan.planning import Job
from gan.report.card import as_text
from gan.report.page import ORIGINAL, RESTORED, SHIFTED, Clip, Section, Track, facts, make_clip
from gan.report.tables import MAIN, Catalogue, figures
from gan.restoring import restore_file
from generators.contract import Mender


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
) -> tuple[list[Clip], list[str]]:
    """Make players of a few files: clean and shifted as the pairs have them, restored as the model mends them now.

    Args:
        results: which files there are.
        pairs: the folder of pairs; None where it is not known.
        mender: the network; None leaves what it restores out.
        count: how many clips.
        seconds: of each at most.

    Returns:
        The clips, and remarks on what is missing.
    """
    if pairs is None:
        return [], ["There is nothing to hear: the results name no folder of pairs (--pairs names it)."]
    try:
        records = {record.source: record for record in read_manifest(pairs)}
    except ManifestError as error:
        return [], [f"There is nothing to hear: {error} (--pairs names another folder)."]
    clips, remarks = [], []
    for row in choose((row for row in results.rows if row.file in records), count):
        try:
            clips.append(_clip(row, records[row.file], results, pairs, mender, seconds))
        except AudioError as error:
            remarks.append(f"Left out: {error}")
    return clips, remarks


def _clip(row: Row, record: PairRecord, results: Results, pairs: Path, mender: Mender | None, seconds: float) -> Clip:
    clean, rate = read(pairs / record.target)
    shifted, _ = read(pairs / record.source)
    known = row.direction == "there_and_back" or row.semitones == 0
    tracks = [
        Track(ORIGINAL, clean, "" if known else "before the shift", reference=known),
        Track(SHIFTED, shifted, _distance(results, row.file, UNREPAIRED)),
    ]
    if mender is not None:
        # A model's figures stand beside its sound only where it is clear which system it is.
        others = [name for name in results.systems() if name != UNREPAIRED]
        system = results.facts.get("system") or (others[0] if len(others) == 1 else "")
        mended = _mended(pairs / record.source, mender)
        tracks.append(Track(RESTORED, mended, _distance(results, row.file, str(system))))
    shift = f"{row.semitones:+g} semitones by {row.shifter}" if row.semitones else "not shifted"
    return make_clip(f"{row.corpus}: {Path(row.recording).stem}, {shift}", tracks, rate, seconds)


def _distance(results: Results, file: str, system: str) -> str:
    row = results.of(system).get(file)
    return f"mel distance {row.values[MAIN]:.3f}" if row and MAIN in row.values else ""


def _mended(source: Path, mender: Mender) -> Waveform:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / f"mended{source.suffix}"
        restore_file(Job(source, output), mender)
        return read(output)[0]
