"""What speaks against a pair: its sides held against each other, section by section."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gan.audio import Reader, resample
from gan.data.manifest import PairRecord
from gan.pairs.check import HOP, LEAST_CORRELATION, LEAST_VOICED, MOST_CENTS, MOST_LAG, MOST_LEVEL, Side, check_sides
from gan.pairs.inspecting.findings import Finding
from gan.pairs.pieces import even_borders

SECTION = 20.0
"""Longer pairs are held against each other in sections of so many seconds."""
WAVES = 0.9
"""From this correlation on the waveforms themselves tell the lag, to the sample."""
MOST_SAMPLES = 2
"""... and the sides may be so many samples apart; by envelopes check.MOST_LAG, as shifters smear what they shift."""
ALIKE = 0.005
"""Correlations that differ by less are as good, as those of all periods of a tone are."""
FAR = 2.0
"""Sides that do not fit within check.SEARCH are looked for so many seconds apart."""
SAME_NOTE = 0.05
"""Pitches are compared where the sides are less than so many seconds apart."""
EDGES = np.geomspace(100.0, 7000.0, 25)
UNLIKE = 0.45
"""Envelopes of the two sides of a pair correlate 0.9 and more at some lag, a tenth too fast 0.56; those of two
sentences of one speaker 0.39 at most."""
MOVING = 8.0
"""What is told by envelopes that are unlike: those of the target move by so many dB, RMS. Noise has 5."""


def judge_pair(record: PairRecord, folder: Path) -> Iterator[Finding]:
    """Give what is wrong between the sides of a pair.

    A side that does not have the rate or length of the manifest is told of and nothing else: no lag holds then.

    Raises:
        AudioError: a side is damaged.
    """
    with Reader(folder / record.source) as source, Reader(folder / record.target) as target:
        wrong = [finding for side in (source, target) for finding in _headers(side, record, folder)]
        yield from wrong
        if wrong:
            return
        if source.channels != target.channels:
            figure = f"{source.channels}, where the target has {target.channels}"
            yield Finding("unequal channels", record.source, "its header", figure, source.channels)
            return
        between = record.semitones if record.direction == "one_way" else 0.0
        found: dict[str, Finding] = {}
        likeness: list[float] = []
        for start, stop in pairwise(even_borders(source.samples, round(SECTION * source.sample_rate))):
            late, early = (Side(side.read(start, stop - start), side.sample_rate) for side in (source, target))
            checks = check_sides(late, early, between)
            if _moves(early):
                likeness.append(_likeness(late, early, checks, between))
            for finding in _section(late, early, checks, start, between, record):
                worst = found.get(finding.kind)
                if worst is None or abs(finding.value) > abs(worst.value):
                    found[finding.kind] = finding
        if likeness and max(likeness) < UNLIKE and "swapped channels" not in found:
            # Neither lag nor pitch nor level says anything of sides that are two recordings.
            figure = f"its envelopes correlate {max(likeness):.2f} with the target's at best, whatever the lag"
            yield Finding("unlike", record.source, "all of it", figure, max(likeness))
        else:
            yield from found.values()


def _headers(side: Reader, record: PairRecord, folder: Path) -> Iterator[Finding]:
    file = side.path.relative_to(folder).as_posix()
    if side.sample_rate != record.sample_rate:
        figure = f"{side.sample_rate} Hz, where the manifest says {record.sample_rate} Hz"
        yield Finding("wrong rate", file, "its header", figure, side.sample_rate)
    elif side.samples != record.samples:
        more = side.samples - record.samples
        advice = "make the pair again: one side was cut, padded or resampled since"
        figure = f"{more:+d} samples longer than the manifest says"
        yield Finding("misaligned", file, "its end", figure, more, advice)


def _section(
    source: Side, target: Side, checks: dict[str, float], start: int, between: float, record: PairRecord
) -> Iterator[Finding]:
    rate, file = source.sample_rate, record.source
    where = f"the section from {start / rate:.1f} s on"
    lag, how = _lag(source, target, checks, between, untouched=record.semitones == 0)
    if how:
        side = "late" if lag > 0 else "early"
        figure = f"the source is {abs(lag)} samples ({1000 * abs(lag) / rate:.2f} ms) {side}, {how}"
        yield Finding("misaligned", file, where, figure, lag)
    together = abs(lag) < SAME_NOTE * rate
    if together and checks["voiced"] >= LEAST_VOICED and abs(checks["cents"]) > MOST_CENTS:
        speed = 2 ** (checks["cents"] / 1200)
        figure = f"its pitch is {checks['cents']:+.0f} cents off the target's, as at {speed:.3f} times the speed"
        yield Finding("wrong rate", file, where, figure, checks["cents"])
    if abs(checks["level_db"]) > MOST_LEVEL and checks["least_peak"] > 0:
        yield Finding("level", file, where, f"{checks['level_db']:+.1f} dB over the target", checks["level_db"])
    if len(source.waveform) == 2 and (gain := _crossed(source, target, between)) > 0:
        figure = f"its channels correlate {gain:.2f} better crosswise"
        yield Finding("swapped channels", file, where, figure, gain)


def _moves(target: Side) -> bool:
    edges = EDGES[0.45 * target.sample_rate > EDGES]
    return max(float(target.envelopes(channel, edges).std()) for channel in range(len(target.waveform))) >= MOVING


def _likeness(source: Side, target: Side, checks: dict[str, float], between: float) -> float:
    """Give how far a section's envelopes correlate at any lag within FAR, also at the speed that pitches speak of."""
    likeness = checks["envelope"]
    if likeness < UNLIKE and between == 0:
        late, early = (side.waveform.mean(axis=0) for side in (source, target))
        likeness = max(likeness, _wave_lag(late, early, source.sample_rate)[1])
    if likeness < UNLIKE:
        likeness = max(likeness, _far_lag(source, target, between)[1])
    speed = 2 ** (checks["cents"] / 1200)
    if likeness < UNLIKE and checks["voiced"] >= LEAST_VOICED and 0.4 < speed < 2.5:
        samples = source.waveform.shape[1]
        # The sides stay equally long, as what is held against each other is.
        slowed = resample(source.waveform, 100, round(100 * speed))[:, :samples]
        slowed = np.pad(slowed, ((0, 0), (0, samples - slowed.shape[1])))
        likeness = max(likeness, _far_lag(Side(slowed, source.sample_rate), target, between)[1])
    return likeness


def _lag(source: Side, target: Side, checks: dict[str, float], between: float, *, untouched: bool) -> tuple[int, str]:
    """Give how many samples late the source is, and by what that is known; no words where nothing speaks for a lag."""
    rate = source.sample_rate
    # A shifter moves each period of a tone by itself, so that waveforms agree at a lag that is none.
    if untouched:
        lag, likeness = _wave_lag(source.waveform.mean(axis=0), target.waveform.mean(axis=0), rate)
        if likeness >= WAVES:
            return (lag, "by waveforms") if abs(lag) > MOST_SAMPLES else (0, "")
    lag_ms, likeness = checks["lag_ms"], checks["envelope"]
    if likeness < LEAST_CORRELATION:
        seconds, likeness = _far_lag(source, target, between)
        lag_ms = 1000 * seconds
    if likeness >= LEAST_CORRELATION and abs(lag_ms) > MOST_LAG:
        return round(lag_ms / 1000 * rate), "by envelopes"
    return 0, ""


def _wave_lag(source: NDArray[np.float32], target: NDArray[np.float32], rate: int) -> tuple[int, float]:
    """Give how many samples late the source is, within FAR, and the waveforms' correlation there.

    Of lags that are as good, as every period of a tone is, the one nearest to none counts.
    """
    size = 1 << (2 * len(source)).bit_length()
    late, early = np.fft.rfft(source, size), np.fft.rfft(target, size)
    energy = float(np.linalg.norm(source.astype(np.float64)) * np.linalg.norm(target.astype(np.float64)))
    if energy == 0:
        return 0, 0.0
    reach = min(round(FAR * rate), len(source) - 1)
    lags = np.arange(-reach, reach + 1)
    likeness = np.fft.irfft(late * np.conj(early), size)[lags] / energy
    peaks = 1 + np.flatnonzero((likeness[1:-1] >= likeness[:-2]) & (likeness[1:-1] >= likeness[2:]))
    best = peaks[likeness[peaks] >= likeness.max() - ALIKE]
    if not len(best):
        return 0, 0.0
    nearest = int(best[np.abs(lags[best]).argmin()])
    return int(lags[nearest]), float(likeness[nearest])


def _far_lag(source: Side, target: Side, between: float) -> tuple[float, float]:
    """Give how many seconds late the source is, within FAR, by all channels' envelopes, and their correlation there."""
    rows = [_channel_envelopes(source, target, channel, between) for channel in range(len(source.waveform))]
    late, early = (np.concatenate(side) for side in zip(*rows, strict=True))
    frames = late.shape[1]
    size = 1 << (2 * frames - 1).bit_length()
    product = (np.fft.rfft(late, size) * np.conj(np.fft.rfft(early, size))).sum(axis=0)
    reach = min(round(FAR / HOP), frames // 2)
    if reach < 1:
        return 0.0, 0.0
    lags = np.arange(-reach, reach + 1)
    # Only where both are heard: what a moved side begins with need not be like anything.
    energies = [np.concatenate([[0.0], np.cumsum(np.square(side).sum(axis=0))]) for side in (late, early)]
    energy = np.sqrt(_within(energies[0], lags) * _within(energies[1], -lags))
    likeness = np.fft.irfft(product, size)[lags] / np.maximum(energy, 1e-9)
    best = int(likeness.argmax())
    return float(lags[best] * HOP), float(likeness[best])


def _within(total: NDArray[np.float64], lags: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give the energy of the part of a side that is heard with the other, the side being so many frames late."""
    frames = len(total) - 1
    return np.asarray(total[frames + np.minimum(lags, 0)] - total[np.maximum(lags, 0)], dtype=np.float64)


def _channel_envelopes(
    source: Side, target: Side, channel: int, between: float, other: int | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    ratio = 2.0 ** (between / 12)
    edges = EDGES[EDGES * max(ratio, 1.0) < 0.45 * source.sample_rate] * max(1.0, 1 / ratio)
    late = source.envelopes(channel, edges * ratio)
    return late, target.envelopes(channel if other is None else other, edges)


def _crossed(source: Side, target: Side, between: float) -> float:
    """Give by how much the channels' envelopes correlate better crosswise; 0 where they do not, or nothing is said."""

    def likeness(channel: int, other: int) -> float:
        late, early = _channel_envelopes(source, target, channel, between, other)
        energy = float(np.linalg.norm(late) * np.linalg.norm(early))
        return float((late * early).sum()) / energy if energy > 0 else 0.0

    crosswise = min(likeness(0, 1), likeness(1, 0))
    straight = max(likeness(0, 0), likeness(1, 1))
    return crosswise - straight if crosswise >= LEAST_CORRELATION and crosswise > straight + 0.1 else 0.0
