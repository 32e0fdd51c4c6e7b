"""One pass over a recording in blocks: all that is to be known of it later, in a few kilobytes whatever its length."""

from dataclasses import dataclass, field
from hashlib import file_digest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gan.audio import Reader, Waveform
from gan.pairs.inspecting.mirror import Mirror, Mirrors

Floats = NDArray[np.float64]

BLOCK_SECONDS = 1.0
QUIET_FRAME = 0.02
"""Loudness is told in frames of so many seconds."""
IDLE, IDLE_END = 2.0, 0.5
"""A stretch of silence of so many seconds is no pause of a speaker or piece any more; at either end the second is."""
OFFSET_FRAME = 0.1
"""An offset is the middle of the means of frames so long: sounds that lean to one side are not there all the time."""
OFFSETS = 2000
"""Steps of 1/OFFSETS of full scale in which offsets are told."""
SIZE = 4096
"""Samples of a spectrum; half overlapped, Hann."""
SMOOTH = 9
"""Bins that a spectrum is averaged over before its loudest is kept: a bin alone is as chancy as noise."""
LEAST_RUN = 3
FLAT = 2.0**-15
"""Samples of a run lie within one step of 16 bits of each other: what was clipped and then dithered still counts."""
CORNER = 8.0
"""Beside a run the waveform jumps by so many such steps at least: a slow wave, too, is flat at its top, but round."""
FAINT = 0.02
"""Flat runs below this part of full scale are the steps of few bits, not a ceiling."""
LEVELS = 400
NEVER = 2**62
SEGMENTS, BANDS = 16, 16
"""What a recording is known again by: so many moments of so many bands."""


@dataclass
class Flats:
    """Flat runs of a channel's samples, by how loud they are: clipping shows as many at one level, the loudest.

    The two signs are counted apart, as a recording may be clipped at one of them alone, at a level of its own.

    Attributes:
        peak: the loudest sample above zero, and the one below, by magnitude; [2].
        samples: in runs, by their magnitude in steps of 1/LEVELS of full scale; [2, LEVELS + 1].
        first: where the first run of each level begins, samples; NEVER where there is none.
    """

    peak: Floats = field(default_factory=lambda: np.zeros(2))
    samples: Floats = field(default_factory=lambda: np.zeros((2, LEVELS + 1)))
    first: NDArray[np.int64] = field(default_factory=lambda: np.full((2, LEVELS + 1), NEVER))

    def add(self, channel: Floats, start: int) -> None:
        """Count the runs of a stretch of samples that begins at `start`."""
        self.peak = np.maximum(self.peak, (channel.max(initial=0), -channel.min(initial=0)))
        close = np.abs(np.diff(channel)) <= FLAT
        edges = np.diff(np.concatenate([[False], close, [False]]).astype(np.int8))
        begins, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
        long = ends - begins + 1 >= LEAST_RUN
        begins, ends = begins[long], ends[long]
        level = np.abs(channel[begins])
        # At the stretch's own ends the neighbour is unknown, and taken for level.
        before, after = channel[np.maximum(begins - 1, 0)], channel[np.minimum(ends + 1, len(channel) - 1)]
        jump = np.maximum(np.abs(before - channel[begins]), np.abs(after - channel[ends]))
        inside = np.maximum(np.abs(before), np.abs(after)) <= level + FLAT
        sharp = (jump > CORNER * FLAT) & inside & (level > FAINT)
        places = (channel[begins] < 0)[sharp].astype(int), np.minimum(level[sharp] * LEVELS, LEVELS).astype(int)
        np.add.at(self.samples, places, (ends - begins + 1)[sharp])
        np.minimum.at(self.first, places, start + begins[sharp])


@dataclass(frozen=True)
class Portrait:
    """What was heard of a recording.

    Attributes:
        path: the file.
        digest: SHA-256 of its bytes.
        sample_rate: in Hz. channels: how many. samples: a channel.
        peak: of each channel, [channels]. energy: likewise, mean square.
        offset: likewise, what it lies off zero most of the time.
        middle_energy: mean square of the channels' mean.
        flats: flat runs, a channel each.
        quiet: share of frames whose RMS is below `silence`.
        first_quiet: start of the longest quiet stretch, seconds; longest_quiet: its length.
        idle: share of frames in long quiet stretches, see IDLE; of pauses there can be many, of those not.
        loudest: power spectrum of all channels, of each frequency the loudest at any time, smoothed; [SIZE / 2 + 1].
        mirror: the image of an old rate, if one is seen.
        bands: levels in dB of BANDS bands at SEGMENTS moments, mean 0, length 1; zeros for a silent one.
    """

    path: Path
    digest: str
    sample_rate: int
    channels: int
    samples: int
    peak: Floats
    offset: Floats
    energy: Floats
    middle_energy: float
    flats: list[Flats]
    quiet: float
    first_quiet: float
    longest_quiet: float
    idle: float
    loudest: Floats
    mirror: Mirror | None
    bands: Floats

    @property
    def seconds(self) -> float:
        """Length."""
        return self.samples / self.sample_rate


def portray(path: Path, silence: float = 1e-3) -> Portrait:
    """Hear a recording through.

    Args:
        path: the file.
        silence: a frame whose RMS is less is quiet.

    Raises:
        AudioError: it is damaged, cut short, holds NaN or infinite samples, or is no audio.
        OSError: it cannot be read.
    """
    with Reader(path) as reader:
        rate, channels, samples = reader.sample_rate, reader.channels, reader.samples
        levels, spectrum, quiet = _Levels(channels, rate), _Spectrum(rate, samples), _Quiet(rate, silence)
        start = 0
        for block in reader.blocks(round(BLOCK_SECONDS * rate)):
            levels.add(block, start)
            spectrum.add(block)
            quiet.add(block)
            start += block.shape[1]
    with path.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    share, longest, first, idle = quiet.result()
    loudest, bands = spectrum.result()
    return Portrait(
        path, digest, rate, channels, samples, levels.peak, levels.offset(), levels.squares / samples,
        levels.middle / samples, levels.flats, share, first, longest, idle,
        loudest, spectrum.mirrors.found(), bands,
    )  # fmt: skip


class _Levels:
    def __init__(self, channels: int, rate: int) -> None:
        self.peak, self.squares, self.total = (np.zeros(channels) for _ in range(3))
        self.means = np.zeros((channels, 2 * OFFSETS + 1))
        self.frame = max(1, round(OFFSET_FRAME * rate))
        self.middle = 0.0
        self.flats = [Flats() for _ in range(channels)]

    def add(self, block: Waveform, start: int) -> None:
        wide = block.astype(np.float64)
        self.peak = np.maximum(self.peak, np.abs(wide).max(axis=1))
        for begin in range(0, wide.shape[1], self.frame):
            frame = wide[:, begin : begin + self.frame]
            places = np.clip(np.round(frame.mean(axis=1) * OFFSETS), -OFFSETS, OFFSETS).astype(int) + OFFSETS
            self.means[np.arange(len(wide)), places] += frame.shape[1]
        self.total += wide.sum(axis=1)
        self.squares += np.square(wide).sum(axis=1)
        self.middle += float(np.square(wide.mean(axis=0)).sum())
        for channel, flats in zip(wide, self.flats, strict=True):
            flats.add(channel, start)

    def offset(self) -> Floats:
        """Give each channel's middle frame mean, weighed by their length, or the mean of all, if it is nearer 0.

        A deep tone's frames lean to either side, and sounds that lean to one side are not there all the time.
        """
        total = np.cumsum(self.means, axis=1)
        middle = ((total < total[:, -1:] / 2).sum(axis=1) - OFFSETS) / OFFSETS
        mean = self.total / total[:, -1]
        return np.asarray(np.where(np.abs(mean) < np.abs(middle), mean, middle), dtype=np.float64)


class _Quiet:
    """Frames that are quiet; what is left at the end of a block, less than a frame, goes with the next."""

    def __init__(self, rate: int, silence: float) -> None:
        self.size, self.rate, self.silence = max(1, round(QUIET_FRAME * rate)), rate, silence
        self.rest = np.zeros(0)
        self.frames = self.quiet = self.run = self.longest = self.longest_end = self.idle = 0

    def add(self, block: Waveform) -> None:
        power = np.concatenate([self.rest, np.square(block, dtype=np.float64).mean(axis=0)])
        count = len(power) // self.size
        self.rest = power[count * self.size :]
        for frame in power[: count * self.size].reshape(count, self.size).mean(axis=1) < self.silence**2:
            if not frame:
                self._end_run(at_end=self.run == self.frames)
            self.frames += 1
            self.quiet += bool(frame)
            self.run = self.run + 1 if frame else 0
            if self.run > self.longest:
                self.longest, self.longest_end = self.run, self.frames

    def _end_run(self, *, at_end: bool) -> None:
        if self.run * self.size >= (IDLE_END if at_end else IDLE) * self.rate:
            self.idle += self.run

    def result(self) -> tuple[float, float, float, float]:
        if not self.frames:
            quiet = float(bool(len(self.rest)) and self.rest.mean() < self.silence**2)
            return quiet, 0.0, 0.0, quiet
        self._end_run(at_end=True)
        length = self.size / self.rate
        first = (self.longest_end - self.longest) * length
        return self.quiet / self.frames, self.longest * length, first, self.idle / self.frames


class _Spectrum:
    def __init__(self, rate: int, samples: int) -> None:
        self.samples, self.place = samples, 0
        self.rest = np.zeros(0, dtype=np.float32)
        self.window = np.hanning(SIZE).astype(np.float32)
        self.loudest = np.zeros(SIZE // 2 + 1)
        self.frames = 0
        self.mirrors = Mirrors(rate, SIZE)
        edges = np.geomspace(100, min(8000.0, 0.45 * rate), BANDS + 1)
        self.bins = np.searchsorted(np.fft.rfftfreq(SIZE, 1 / rate), edges)
        self.energy, self.weight = np.zeros((BANDS, SEGMENTS)), np.zeros(SEGMENTS)
        self.held: Waveform | None = None

    def add(self, block: Waveform) -> None:
        held = block if self.held is None else np.concatenate([self.held, block], axis=1)
        self.held = held[:, self._take(held) :]

    def _take(self, held: Waveform) -> int:
        """Hear the whole frames of what is held, and say how many samples are done with."""
        if held.shape[1] < SIZE:
            return 0
        views = np.lib.stride_tricks.sliding_window_view(held, SIZE, axis=1)[:, :: SIZE // 2]
        power = np.square(np.abs(np.fft.rfft(views * self.window))).astype(np.float64).mean(axis=0)
        self.mirrors.add(power)
        smooth = np.cumsum(np.pad(power, ((0, 0), (SMOOTH // 2 + 1, SMOOTH // 2)), mode="edge"), axis=1)
        self.loudest = np.maximum(self.loudest, ((smooth[:, SMOOTH:] - smooth[:, :-SMOOTH]) / SMOOTH).max(axis=0))
        for frame in power:
            segment = min(SEGMENTS - 1, (self.place + SIZE // 2) * SEGMENTS // self.samples)
            sums = np.add.reduceat(frame, self.bins)[:-1]
            self.energy[:, segment] += sums
            self.weight[segment] += 1
            self.place += SIZE // 2
            self.frames += 1
        return len(power) * (SIZE // 2)

    def result(self) -> tuple[Floats, Floats]:
        if not self.frames and self.held is not None:
            # Shorter than one spectrum: silence makes up the rest.
            self._take(np.pad(self.held, ((0, 0), (0, SIZE - self.held.shape[1]))))
        there = np.flatnonzero(self.weight)
        nearest = there[np.abs(np.arange(SEGMENTS)[:, None] - there).argmin(axis=1)]
        energy = self.energy[:, nearest] / self.weight[nearest]
        level = 10 * np.log10(np.maximum(energy, 1e-6 * energy.max() + 1e-12))
        level = level - level.mean()
        size = float(np.sqrt(np.square(level).sum()))
        return self.loudest, level / size if size > 1e-6 else 0 * level
