"""What is measured of every pair as it is made, and what speaks against keeping it."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from features.pitch import Pitch, track_pitch
from gan.audio import Waveform

HOP = 0.002
WINDOW = 0.02
BANDS = 24
LOWEST = 100.0
SEARCH = 0.1
"""Lags are searched within so many seconds to either side."""

SILENT = 1e-3
"""A recording whose peak is under -60 dB of full scale is silence."""
CLIPPED = 0.999
MOST_CLIPPED = 0.01
MOST_PEAK = 2.0
"""A pair is made softer where it clips, by 6 dB at most: all pairs of a piece share one gain, so one wild shift would
make the others faint, and 16 bits lose one here. A real shift of speech or music adds some 2 dB to the peak."""
MOST_LAG = 5.0
MOST_CENTS = 50.0
LEAST_CORRELATION = 0.5
"""Envelopes that move together less than this (a steady tone, noise) tell nothing of time."""
LEAST_VOICED = 20
MOST_LEVEL = 12.0
ALIKE = -60.0
"""Two channels of which the difference is so many dB softer than the sum are one channel twice."""


class Side:
    """One side of a pair, and what was measured of it: pairs that share a target measure it once.

    Args:
        waveform: [channels, samples].
        sample_rate: in Hz.
    """

    def __init__(self, waveform: Waveform, sample_rate: int) -> None:
        self.waveform, self.sample_rate = waveform, sample_rate
        self.peaks = [_peak(channel) for channel in waveform]
        self._pitches: dict[tuple[int, float, float, int], Pitch] = {}
        self._envelopes: dict[tuple[int, bytes], NDArray[np.float64]] = {}

    def pitch(self, channel: int, fmin: float, fmax: float, samples: int) -> Pitch:
        """Follow the pitch of a channel, Hz, over so many samples from its start."""
        key = (channel, fmin, fmax, samples)
        if key not in self._pitches:
            waveform = self.waveform[channel, :samples]
            self._pitches[key] = track_pitch(waveform, self.sample_rate, fmin=fmin, fmax=fmax)
        return self._pitches[key]

    def envelopes(self, channel: int, edges: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the levels of a channel in bands between these edges, Hz; see `_envelopes`."""
        key = (channel, edges.tobytes())
        if key not in self._envelopes:
            self._envelopes[key] = _envelopes(self.waveform[channel], self.sample_rate, edges)
        return self._envelopes[key]


def check_pair(source: Waveform, target: Waveform, sample_rate: int, semitones: float) -> dict[str, float]:
    """Measure a pair.

    Of two channels, each is held against its own, and the one that is further off is told of, measure by measure. A
    channel that is silent on both sides is held against nothing, so voices may lie on one side alone.

    Args:
        source: the shifted waveform, [channels, samples].
        target: what it should become, [channels, samples].
        sample_rate: of both, Hz.
        semitones: how far the source's pitch should lie above the target's; 0 for there-and-back pairs.

    Returns:
        lag_ms: how much later the source is. envelope: correlation of the two sides' band envelopes at that lag.
        level_db: of the source above the target. cents: error of the pitch ratio, median over the voiced frames.
        voiced: number of frames, 10 ms apart, that are voiced on both sides. peak: the larger one of the two.
        least_peak: the smaller one. difference: in length, samples. Of two channels also width_db: the level of the
        target's difference of channels above that of their sum, under -100 where they are the same.
    """
    return check_sides(Side(source, sample_rate), Side(target, sample_rate), semitones)


def check_sides(source: Side, target: Side, semitones: float) -> dict[str, float]:
    """Measure a pair, see `check_pair`; what was measured of a side before is not measured again."""
    louder = [max(pair) for pair in zip(source.peaks, target.peaks, strict=True)]
    heard = [channel for channel, peak in enumerate(louder) if peak >= SILENT]
    rows = [_check_channel(source, target, channel, semitones) for channel in heard or range(len(louder))]
    peaks = [max(source.peaks), max(target.peaks)]
    values = {
        **_furthest(rows, "envelope", "lag_ms", LEAST_CORRELATION),
        "level_db": max((row["level_db"] for row in rows), key=abs),
        **_furthest(rows, "voiced", "cents", LEAST_VOICED),
        "peak": max(peaks),
        "least_peak": min(peaks),
        "difference": source.waveform.shape[1] - target.waveform.shape[1],
    }
    if len(target.waveform) == 2:
        left, right = target.waveform
        values["width_db"] = 10 * np.log10(_energy(left - right) / _energy(left + right))
    return {name: round(float(value), 4) for name, value in values.items()}


def _check_channel(source: Side, target: Side, channel: int, semitones: float) -> dict[str, float]:
    """Measure one channel of a pair; see `check_pair`."""
    lag, correlation = _lag(source, target, channel, semitones)
    cents, voiced = _pitch_error(source, target, channel, semitones)
    level = 10 * np.log10(_energy(source.waveform[channel]) / _energy(target.waveform[channel]))
    return {"lag_ms": 1000 * lag, "envelope": correlation, "level_db": level, "cents": cents, "voiced": voiced}


def _furthest(rows: list[dict[str, float]], trust: str, name: str, least: float) -> dict[str, float]:
    """Give a measure of the channel furthest off, and what says how far to trust it; the trusted come first."""
    worst = max(rows, key=lambda row: (row[trust] >= least, abs(row[name])))
    return {name: worst[name], trust: worst[trust]}


def _energy(waveform: NDArray[np.float32]) -> float:
    return float(np.mean(np.square(waveform, dtype=np.float64))) + 1e-20


def _peak(waveform: NDArray[np.float32]) -> float:
    return float(np.abs(waveform).max(initial=0))


def objection(checks: dict[str, float]) -> str | None:
    """Say why a pair with these measurements, not made softer yet, should be left out; None: nothing against it."""
    side = "shifted" if checks["level_db"] < 0 else "clean"
    moves, voiced = checks["envelope"] >= LEAST_CORRELATION, checks["voiced"] >= LEAST_VOICED
    for wrong, complaint in (
        (checks["difference"] != 0, f"the shifted side is {checks['difference']:+g} samples longer"),
        (checks["least_peak"] < SILENT, f"the {side} side is silent"),
        (
            checks["peak"] > MOST_PEAK,
            f"its peak is {checks['peak']:.4g}, over {MOST_PEAK:g}: to be kept whole it would become too soft",
        ),
        (abs(checks["level_db"]) > MOST_LEVEL, f"the shifted side is {checks['level_db']:+.1f} dB louder"),
        (moves and abs(checks["lag_ms"]) > MOST_LAG, f"the shifted side is {checks['lag_ms']:+.1f} ms late"),
        (voiced and abs(checks["cents"]) > MOST_CENTS, f"the pitch is {checks['cents']:+.0f} cents off"),
    ):
        if wrong:
            return complaint
    return None


def clipped_share(waveform: Waveform) -> float:
    """Give the share of samples that touch full scale, as in a recording that was clipped."""
    return float(np.mean(np.abs(waveform) >= CLIPPED)) if waveform.size else 0.0


def _pitch_error(source: Side, target: Side, channel: int, semitones: float) -> tuple[float, int]:
    """Compare the pitch of two sides frame by frame.

    The source is searched in the target's range moved by the shift, so that an octave error comes about on both sides.

    Returns:
        Median error of the ratio in cents (0 without voiced frames), and how many frames are voiced on both sides.
    """
    ratio = 2.0 ** (semitones / 12)
    top = min(800.0, target.sample_rate / 4 / max(ratio, 1.0))
    shortest = min(source.waveform.shape[1], target.waveform.shape[1])
    heard = source.pitch(channel, 60 * ratio, top * ratio, shortest)
    wanted = target.pitch(channel, 60.0, top, shortest)
    both = heard.voiced & wanted.voiced
    if not both.any():
        return 0.0, 0
    cents = 1200 * np.log2(heard.frequency[both] / (ratio * wanted.frequency[both]))
    return float(np.median(cents)), int(both.sum())


def envelope_lag(
    source: NDArray[np.float32], target: NDArray[np.float32], sample_rate: int, semitones: float = 0.0
) -> tuple[float, float]:
    """Find how much later the source is than the target, by cross-correlation of their envelopes in bands.

    Shifters scramble phases, so waveforms do not correlate; how loud each band is over time does. A band of the target
    is held against the band of the source that it was shifted to.

    Args:
        source: [samples].
        target: [samples].
        sample_rate: of both, Hz.
        semitones: how far the source's bands lie above the target's.

    Returns:
        Lag in seconds (positive: the source is late), and the correlation there, -1..1; 0 and 0 where nothing moves.
    """
    return _lag(Side(source[None], sample_rate), Side(target[None], sample_rate), 0, semitones)


def _lag(source: Side, target: Side, channel: int, semitones: float) -> tuple[float, float]:
    """Find how much later a channel of the source is than the target's; see `envelope_lag`."""
    ratio = 2.0 ** (semitones / 12)
    edges = np.geomspace(LOWEST * max(1.0, 1 / ratio), 0.45 * target.sample_rate / max(1.0, ratio), BANDS + 1)
    late, early = source.envelopes(channel, edges * ratio), target.envelopes(channel, edges)
    frames = max(late.shape[1], early.shape[1])
    size = 1 << (2 * frames - 1).bit_length()
    product = np.fft.rfft(late, size) * np.conj(np.fft.rfft(early, size))
    correlation = np.fft.irfft(product.sum(axis=0), size)
    energy = float(np.sqrt(np.square(late).sum() * np.square(early).sum()))
    reach = min(round(SEARCH / HOP), frames - 1)
    if energy == 0 or reach < 1:
        return 0.0, 0.0
    around = correlation[np.arange(-reach - 1, reach + 2)] / energy
    best = 1 + int(np.argmax(around[1:-1]))
    left, middle, right = around[best - 1 : best + 2]
    curvature = left - 2 * middle + right
    offset = (left - right) / (2 * curvature) if curvature < 0 else 0.0
    return float((best - 1 - reach + np.clip(offset, -0.5, 0.5)) * HOP), float(middle)


def _envelopes(channel: NDArray[np.float32], sample_rate: int, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the level in dB of each band over time without its mean, [bands, frames]; 60 dB under the loudest is all."""
    size, hop = round(WINDOW * sample_rate), round(HOP * sample_rate)
    padded = np.pad(channel, (size // 2, size))
    views = np.lib.stride_tricks.sliding_window_view(padded, size)[: len(channel) : hop]
    window = np.hanning(size).astype(np.float32)
    bins = np.searchsorted(np.fft.rfftfreq(size, 1 / sample_rate), edges)
    bands = [(low, max(high, low + 1)) for low, high in pairwise(bins)]
    parts = []
    for first in range(0, len(views), 2048):
        power = np.square(np.abs(np.fft.rfft(views[first : first + 2048] * window)), dtype=np.float64)
        parts.append(np.stack([power[:, low:high].sum(axis=1) for low, high in bands]))
    energy = np.concatenate(parts, axis=1)
    level = 10 * np.log10(np.maximum(energy, 1e-6 * energy.max() + 1e-20))
    return np.asarray(level - level.mean(axis=1, keepdims=True), dtype=np.float64)
