"""Going through a folder: recordings as they are, or the pairs that were made of them."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from gan.audio import AudioError, find_audio
from gan.data.manifest import read_manifest
from gan.pairs.inspecting.findings import Diagnosis, Finding
from gan.pairs.inspecting.portrait import portray
from gan.pairs.inspecting.sides import judge_pair
from gan.pairs.inspecting.together import Trace, duplicates, odd_rates, trace
from gan.pairs.inspecting.verdicts import BAND, judge

Item = TypeVar("Item")


def examine_recordings(folder: Path, *, rate: int | None = None, progress: bool = True) -> Diagnosis:
    """Hear all recordings of a folder through and say what is wrong with which.

    A recording that plays at the wrong speed while its header fits its neighbours' cannot be known from sound alone.

    Args:
        folder: of recordings; folders in it count.
        rate: that pairs will have, Hz; recordings far below it are told of, as resampling leaves their top empty.
        progress: show a progress bar on a terminal's stderr.

    Raises:
        AudioError: there is no such folder, or no audio in it.
    """
    paths = find_audio(folder)
    if not paths:
        raise AudioError(f"{folder}: holds no audio files")
    traces: list[Trace] = []
    findings: list[Finding] = []
    for path in _told(paths, progress):
        file = path.relative_to(folder).as_posix()
        findings += _examine(path, file, traces)
        if traces and traces[-1].file == file and rate and traces[-1].sample_rate < BAND * rate:
            figure = f"{traces[-1].sample_rate} Hz, where pairs of {rate} Hz are to be made"
            advice = f"leave it out, or make pairs of at most {traces[-1].sample_rate} Hz (--rate)"
            findings.append(Finding("wrong rate", file, "its header", figure, traces[-1].sample_rate, advice))
    findings += [*odd_rates(traces), *duplicates(traces)]
    seconds = sum(one.seconds for one in traces)
    return Diagnosis(str(folder), "recordings", len(paths), seconds, sorted(findings, key=lambda one: one.file))


def examine_pairs(folder: Path, *, progress: bool = True) -> Diagnosis:
    """Hear all pairs of a folder through and say what is wrong with which.

    Args:
        folder: with a manifest.
        progress: show a progress bar on a terminal's stderr.

    Raises:
        ManifestError: there is no manifest, or it is damaged.
    """
    records = read_manifest(folder)
    traces: list[Trace] = []
    findings: list[Finding] = []
    heard: set[str] = set()
    damaged: set[str] = set()
    for record in _told(records, progress):
        for file in (record.target, record.source):
            if file not in heard:
                heard.add(file)
                # What a shifter made, or what a shift down left of the target, need not have a full band.
                band = file == record.target and not (record.direction == "one_way" and record.semitones > 0)
                new = _examine(folder / file, file, traces, f"{record.origin} {record.start}", band=band)
                damaged |= {finding.file for finding in new if finding.kind in ("damaged", "silent")}
                findings += new
        if not damaged & {record.source, record.target}:
            findings += judge_pair(record, folder)
    findings = list(dict.fromkeys([*findings, *duplicates(traces)]))
    seconds = sum(one.seconds for one in traces)
    return Diagnosis(str(folder), "pairs", len(records), seconds, sorted(findings, key=lambda one: one.file))


def _examine(path: Path, file: str, traces: list[Trace], group: str = "", *, band: bool = True) -> list[Finding]:
    """Hear a file, remember its trace, and give what is wrong with it."""
    try:
        portrait = portray(path)
    except (AudioError, OSError) as error:
        return [Finding("damaged", file, "all of it", str(error).removeprefix(f"{path}: "), 0.0)]
    traces.append(trace(portrait, file, group))
    return list(judge(portrait, file, band=band))


def _told(items: list[Item], progress: bool) -> Iterable[Item]:
    return tqdm(items, desc="hearing", disable=None if progress else True)
