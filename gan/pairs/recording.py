"""One recording into its pairs: the work of one process. A note beside the pairs says what came of it."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from hashlib import file_digest
from pathlib import Path
from typing import Any, cast

import numpy as np

from gan.audio import AudioError, Reader, Waveform, resample, resampled_length, write
from gan.data.manifest import PairRecord, record_of
from gan.files import refuse_pipe, write_text
from gan.pairs.check import MOST_CLIPPED, MOST_PEAK, SILENT, Side, check_sides, clipped_share, objection
from gan.pairs.pieces import Piece, even_borders, read_pieces
from gan.pairs.procedure import one_way, there_and_back, widen
from gan.pairs.settings import PairSettings
from gan.pairs.shift import PairError, ShiftError, fitted, load_shifter
from gan.pairs.split import speaker_of

AUDIO, NOTES = "audio", "notes"
SHORTEST = 0.25
"""A recording of fewer seconds teaches nothing and cannot be checked."""
MARGIN = 0.5
"""A piece is shifted with so many seconds of its surroundings, so that its ends sound as in the whole."""
HIGHEST = 0.99
"""Source and target are made softer together until neither goes beyond this."""
# 16 bits: what nearly every recording has, half the disk and reading time of 24, and 80 dB under speech at a usual
# level, where the best restorers are some 10 dB away from the target.
CODING = "PCM_16"


@dataclass(frozen=True)
class Outcome:
    """What came of a recording.

    Attributes:
        origin: the recording, relative to the source folder.
        pairs: the pairs' records; their split is not decided yet and says "train".
        left_out: why the recording, a piece or a shift of it was left out.
        kept: whether all this was there already.
    """

    origin: str
    pairs: tuple[PairRecord, ...]
    left_out: tuple[str, ...]
    kept: bool = False


class _UselessError(ValueError):
    """A recording or a piece of it is of no use; the message is the reason."""


def make_recording(origin: str, settings: PairSettings) -> Outcome:
    """Make all pairs of a recording, or find them made.

    Args:
        origin: the recording, relative to the source folder.
        settings: what pairs.

    Raises:
        PairError: the destination cannot be written to, or a shifter's package is missing. A bad recording raises
            nothing: it is left out.
    """
    path = settings.source / origin
    try:
        digest = _digest(path)
    except OSError as error:
        return Outcome(origin, (), (f"cannot be read ({error.strerror or error})",))
    note = settings.destination / NOTES / f"{origin}.json"
    if (done := _read_note(note, origin, digest, settings.destination)) is not None:
        return done
    folder = settings.destination / AUDIO / origin
    left_out: list[str] = []
    pairs: list[PairRecord] = []
    try:
        _clear(folder)
        try:
            for record in _pairs_of(path, origin, settings, left_out):
                pairs.append(replace(record, origin_sha256=digest))
        except (_UselessError, AudioError) as error:
            _clear(folder)
            pairs, left_out = [], [str(error).removeprefix(f"{path}: ")]
        outcome = Outcome(origin, tuple(pairs), tuple(left_out))
        note.parent.mkdir(parents=True, exist_ok=True)
        values = {"sha256": digest, "left_out": left_out, "pairs": [pair.as_values() for pair in pairs]}
        write_text(note, json.dumps(values, sort_keys=True) + "\n")
    except OSError as error:
        raise PairError(f"{settings.destination}: cannot be written to ({error.strerror or error})") from error
    return outcome


def _digest(path: Path) -> str:
    refuse_pipe(path)
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _clear(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _read_note(note: Path, origin: str, digest: str, folder: Path) -> Outcome | None:
    """Read what an earlier run made of the same bytes; None where there is nothing, or a file of it is gone."""
    try:
        refuse_pipe(note)
        values: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
        pairs = tuple(record_of(pair) for pair in values["pairs"])
        same = values["sha256"] == digest and all(pair.origin == origin for pair in pairs)
        left_out = tuple(values["left_out"])
        if not (pairs or left_out) or not all(isinstance(reason, str) for reason in left_out):
            return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    there = all((folder / name).exists() for pair in pairs for name in (pair.source, pair.target))
    return Outcome(origin, pairs, left_out, kept=True) if same and there else None


def _pairs_of(path: Path, origin: str, settings: PairSettings, left_out: list[str]) -> Iterator[PairRecord]:
    _listen_through(path, settings.channels)
    with Reader(path) as reader:
        rate = reader.sample_rate
        borders = even_borders(reader.samples, round(settings.piece_seconds * rate))
        for number, piece in enumerate(read_pieces(reader, borders, round(MARGIN * rate))):
            where = f"piece {number} ({piece.start / rate:.1f} s): " if len(borders) > 2 else ""
            takes, reasons = _shift_piece(piece, rate, settings, settings.shifts(origin, number))
            left_out += [where + reason for reason in reasons]
            yield from _write_takes(takes, f"{AUDIO}/{origin}/{number:04d}", origin, piece.start / rate, settings)


def _listen_through(path: Path, channels: int) -> None:
    """Decode the whole recording before any work goes into it.

    Raises:
        AudioError: it is damaged or holds samples that are no numbers.
        _UselessError: it is too short or silent, was clipped, or has more channels than two are to be made of.
    """
    peak = clipped = 0.0
    with Reader(path) as reader:
        if reader.samples < SHORTEST * reader.sample_rate:
            raise _UselessError(f"is shorter than {SHORTEST} s")
        if channels > 1 and reader.channels > channels:
            raise _UselessError(f"has {reader.channels} channels: mix it down to {channels} first")
        for block in reader.blocks(10 * reader.sample_rate):
            peak = max(peak, float(np.abs(block).max()))
            clipped += clipped_share(block) * block.shape[1] / reader.samples
    if peak < SILENT:
        raise _UselessError("is silent")
    if clipped > MOST_CLIPPED:
        raise _UselessError(f"is clipped: {100 * clipped:.1f} % of its samples touch full scale")


@dataclass(frozen=True)
class _Take:
    """One pair of a piece before it is written; [channels, samples] each."""

    semitones: float
    shifter: str
    source: Waveform
    target: Waveform
    checks: dict[str, float]


def _shift_piece(
    piece: Piece, rate: int, settings: PairSettings, shifts: Sequence[tuple[str, float]]
) -> tuple[list[_Take], list[str]]:
    """Make every pair of a piece that stands the checks, and give the reasons against the others."""
    wanted = settings.sample_rate
    clean = resample(_channelled(piece.waveform, settings.channels), rate, wanted)
    lead = resampled_length(piece.lead, rate, wanted)
    samples = resampled_length(piece.start + piece.samples, rate, wanted) - resampled_length(piece.start, rate, wanted)
    inside = slice(lead, lead + samples)
    peak = float(np.abs(clean[:, inside]).max(initial=0))
    if peak < SILENT:
        return [], ["is silent" + (" (its channels may cancel each other)" if settings.channels == 1 else "")]
    if peak > MOST_PEAK:
        return [], [f"its peak is {peak:.4g}, over {MOST_PEAK:g} times full scale: make it softer first"]
    takes: list[_Take] = []
    reasons = []
    # What all or most shifts have in common is made once: the target, and what they start from.
    middle, wide = fitted(clean[:, inside], samples), cache(partial(widen, clean))
    for name, semitones in shifts:
        try:
            source, target = _apply(clean, semitones, name, settings, wide)
        except ShiftError as error:
            # What one shifter cannot shift is not worth the other recordings.
            reasons.append(str(error))
            continue
        source, target = (middle if side is clean else fitted(side[:, inside], samples) for side in (source, target))
        takes.append(_Take(semitones, name, source, target, {}))
    return _checked(takes, settings, reasons)


def _channelled(waveform: Waveform, channels: int) -> Waveform:
    """Give a recording, [any, samples], the channels of its pairs, [channels, samples].

    One: all are mixed, as networks of one channel work on one at a time, and the channels of a recording are too much
    alike to count as examples of their own. Two: they stay apart, and one channel becomes both.
    """
    if channels == 1:
        return cast(Waveform, waveform.mean(axis=0, keepdims=True))
    return np.repeat(waveform, channels // len(waveform), axis=0)


def _apply(
    clean: Waveform, semitones: float, name: str, settings: PairSettings, wide: Callable[[int], Waveform]
) -> tuple[Waveform, Waveform]:
    if semitones == 0:
        return clean, clean
    # Made anew for every pair: a shifter that keeps a state would carry one file into the next.
    shifter = load_shifter(name)
    if settings.direction == "one_way":
        return one_way(clean, settings.sample_rate, semitones, shifter)
    return there_and_back(clean, settings.sample_rate, semitones, shifter, wide), clean


def _checked(takes: list[_Take], settings: PairSettings, reasons: list[str]) -> tuple[list[_Take], list[str]]:
    """Drop the pairs of a piece that fail a check, and bring the others to one level at which none clips."""
    good = []
    targets = {id(take.target): Side(take.target, settings.sample_rate) for take in takes}
    for take in takes:
        between = take.semitones if settings.direction == "one_way" else 0.0
        target = targets[id(take.target)]
        source = target if take.source is take.target else Side(take.source, settings.sample_rate)
        checks = check_sides(source, target, between)
        if (against := objection(checks)) is not None:
            reasons = [*reasons, f"shifted {take.semitones:+g} by {take.shifter}: {against}"]
        else:
            good.append(replace(take, checks=checks))
    # One gain for all, as the pairs share their target; of the good ones alone, so that a bad one softens none.
    peak = max((float(np.abs(side).max()) for take in good for side in (take.source, take.target)), default=0.0)
    gain = np.float32(min(1.0, HIGHEST / peak)) if peak else np.float32(1)
    return [_scaled(take, gain) for take in good], reasons


def _scaled(take: _Take, gain: np.float32) -> _Take:
    peaks = {name: round(take.checks[name] * float(gain), 4) for name in ("peak", "least_peak")}
    checks = take.checks | peaks | {"gain_db": round(20 * float(np.log10(gain)), 4)}
    return replace(take, source=take.source * gain, target=take.target * gain, checks=checks)


def _write_takes(
    takes: list[_Take], stem: str, origin: str, start: float, settings: PairSettings
) -> Iterator[PairRecord]:
    """Write the files of a piece's pairs; a clean one is written once for all the pairs that it is the target of."""
    written: set[str] = set()
    for take in takes:
        limited = settings.direction == "one_way" and take.semitones > 0
        target = f"{stem}_clean{f'{take.semitones:+g}' if limited else ''}.flac"
        source = target if take.semitones == 0 else f"{stem}_{take.shifter}{take.semitones:+g}.flac"
        for name, waveform in ((target, take.target), (source, take.source)):
            if name not in written:
                _write_flac(settings.destination / name, waveform, settings)
                written.add(name)
        samples, rate = take.target.shape[1], settings.sample_rate
        yield PairRecord(
            source=source,
            target=target,
            seconds=round(samples / rate, 6),
            sample_rate=rate,
            samples=samples,
            semitones=take.semitones,
            shifter=take.shifter,
            direction=settings.direction,
            split="train",
            speaker=speaker_of(origin),
            origin=origin,
            origin_sha256="",
            checks=take.checks,
            start=round(start, 6),
            channels=settings.channels,
        )


def _write_flac(path: Path, waveform: Waveform, settings: PairSettings) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        write(path, waveform, settings.sample_rate, subtype=CODING)
    except AudioError as error:
        # Not the recording's fault.
        raise PairError(str(error)) from error
