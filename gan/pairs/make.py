"""A folder of recordings into a folder of pairs: many processes, one result, whatever comes between."""

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from gan.audio import Waveform, find_audio
from gan.data.manifest import PairRecord, write_manifest
from gan.files import write_text
from gan.pairs.check import ALIKE
from gan.pairs.recording import Outcome, make_recording
from gan.pairs.settings import PairSettings, claim
from gan.pairs.shift import PairError, apply_shifter, load_shifter
from gan.pairs.split import check_held_out, split_origins
from gan.pool import processes

__all__ = ["PairError", "PairReport", "PairSettings", "make_pairs"]

LEFT_OUT = "left_out.jsonl"


@dataclass(frozen=True)
class PairReport:
    """What came of a folder.

    Attributes:
        made: how many pairs were made now.
        kept: how many pairs an earlier run had made.
        left_out: recordings that were left out, wholly or in part, relative to the source folder, and why; sorted.
        records: all pairs, as in the manifest.
        remarks: what else a user should read.
    """

    made: int
    kept: int
    left_out: list[tuple[str, str]]
    records: list[PairRecord]
    remarks: list[str]


def make_pairs(settings: PairSettings, *, progress: bool = True) -> PairReport:
    """Make the pairs of a folder of recordings, or go on with an earlier run that was cut off.

    The destination holds audio/ (FLAC), notes/ (one a recording: what is done is not done again), manifest.jsonl,
    left_out.jsonl and pairs.json (the settings). It is the same to the byte for the same recordings and settings,
    however many processes worked and however often they were killed.

    Args:
        settings: what pairs.
        progress: show a progress bar on a terminal's stderr.

    Raises:
        PairError: no recordings, an unknown shifter, one whose package is missing or that cannot even shift a tone, a
            destination that holds
            something else or other settings or cannot be written to, a process that died.
        AudioError: there is no source folder.
    """
    origins = [path.relative_to(settings.source).as_posix() for path in find_audio(settings.source)]
    if not origins:
        raise PairError(f"{settings.source}: holds no audio files")
    check_held_out(origins, settings)
    for name in settings.shifters:
        # A missing package, or a shifter that never works, should come out before the work begins.
        apply_shifter(load_shifter(name), _tone(settings.sample_rate, settings.channels), settings.sample_rate, 1.0)
    claim(settings)
    bar = tqdm(total=len(origins), desc="pairs", unit="file", disable=None if progress else True)
    outcomes = []
    with bar:
        for outcome in _outcomes(origins, settings):
            outcomes.append(outcome)
            bar.update()
    return _conclude(sorted(outcomes, key=lambda outcome: outcome.origin), settings)


def _tone(sample_rate: int, channels: int) -> Waveform:
    """Give half a second of 150 Hz, which every shifter has to be able to shift; [channels, samples]."""
    seconds = np.arange(sample_rate // 2) / sample_rate
    return (0.1 * np.sin(2 * np.pi * 150 * seconds)).astype(np.float32)[None].repeat(channels, axis=0)


def _conclude(outcomes: list[Outcome], settings: PairSettings) -> PairReport:
    digests = {outcome.origin: outcome.pairs[0].origin_sha256 for outcome in outcomes if outcome.pairs}
    splits, remarks = split_origins(digests, settings)
    records = [replace(pair, split=splits[pair.origin]) for outcome in outcomes for pair in outcome.pairs]
    if alike := sum(record.checks.get("width_db", 0.0) < ALIKE for record in records):
        remarks.append(f"{alike} of {len(records)} pairs are the same in both channels, as a mono recording becomes")
    left_out = [(outcome.origin, reason) for outcome in outcomes for reason in outcome.left_out]
    lines = [json.dumps({"origin": origin, "reason": reason}) + "\n" for origin, reason in left_out]
    try:
        write_text(settings.destination / LEFT_OUT, "".join(lines))
        write_manifest(settings.destination, records)
    except OSError as error:
        raise PairError(f"{settings.destination}: cannot be written to ({error.strerror or error})") from error
    kept = sum(len(outcome.pairs) for outcome in outcomes if outcome.kept)
    return PairReport(len(records) - kept, kept, left_out, records, remarks)


def _outcomes(origins: Sequence[str], settings: PairSettings) -> Iterator[Outcome]:
    workers = min(settings.workers or os.cpu_count() or 1, len(origins))
    if workers == 1:
        for origin in origins:
            yield make_recording(origin, settings)
        return
    try:
        with processes(workers) as pool:
            largest = _largest_first(origins, settings.source)
            for future in as_completed([pool.submit(make_recording, origin, settings) for origin in largest]):
                yield future.result()
    except BrokenProcessPool as error:
        raise PairError("a process died, perhaps for want of memory; the same command goes on with the rest") from error


def _largest_first(origins: Sequence[str], source: Path) -> list[str]:
    """Order recordings so that the processes end together: a long one that came last would be made by one, alone."""

    def size(origin: str) -> int:
        with suppress(OSError):  # gone meanwhile: left out later, with the reason
            return (source / origin).stat().st_size
        return 0

    return sorted(origins, key=size, reverse=True)
