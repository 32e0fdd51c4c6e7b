"""Training examples as a pure function of (seed, index): the order knows nothing of workers, processes or restarts."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from gan.audio import AudioError, Reader, Waveform
from gan.data.band import draw_cut, low_passed
from gan.data.manifest import ManifestError, PairRecord, read_manifest
from gan.data.skipped import Skip, Skipped
from gan.data.worker import heed_parent

Example = tuple[Tensor, Tensor]  # source and target, each [channels, samples]
MOST_SKIPPED = 16
"""So many files may fail one after the other for one example, and at most half of all: more is no accident."""


def select(folder: Path, split: str, semitones: Sequence[float] | None = None) -> list[PairRecord]:
    """Read one split of a folder of pairs.

    Args:
        folder: what `unshift pairs` wrote.
        split: "train", "validation" or "test".
        semitones: which shifts to keep; None for all.

    Raises:
        ManifestError: no manifest, a damaged one, no pair of that kind, or several sample rates or
            numbers of channels.
    """
    records = [r for r in read_manifest(folder) if r.split == split]
    if semitones is not None:
        records = [r for r in records if r.semitones in semitones]
    if not records:
        shifts = "" if semitones is None else f" with a shift of {list(semitones)}"
        raise ManifestError(f"{folder} holds no {split} pair{shifts}: look into its manifest, or make pairs again")
    if len(rates := {r.sample_rate for r in records}) > 1:
        raise ManifestError(f"{folder} holds several sample rates {sorted(rates)}: make pairs again at one rate")
    if len(counts := {r.channels for r in records}) > 1:
        raise ManifestError(f"{folder} holds pairs of {sorted(counts)} channels: make pairs again with one --channels")
    return records


class PairCrops(Dataset[Example]):
    """Random crops of pairs, without end: example i of a seed is always the same.

    A file stands in an epoch once for each crop length that it fills, so every second of audio is equally likely; the
    order is drawn anew for each epoch. Files shorter than a crop are followed by silence.

    Where a pair cannot be read, another takes its place, which depends on (seed, index) and the attempt alone: nothing
    remembers bad files, so a run that is resumed draws the same as one that never stopped.

    Args:
        folder: what `unshift pairs` wrote.
        seconds: length of a crop.
        seed: of the order, the places and the gains.
        semitones: which shifts to use; None for all.
        gain: an example is made louder or softer by up to so many dB, all its channels alike.
        narrow: share of the examples that lose, on both sides alike, all above a drawn frequency; see gan.data.band.

    Attributes:
        sample_rate: of the pairs, Hz.
        channels: of the pairs.
    """

    def __init__(
        self,
        folder: Path,
        seconds: float,
        seed: int,
        semitones: Sequence[float] | None = None,
        gain: float = 0.0,
        narrow: float = 0.0,
    ) -> None:
        self.folder = folder
        self.records = select(folder, "train", semitones)
        self.sample_rate, self.channels = self.records[0].sample_rate, self.records[0].channels
        self.crop = round(seconds * self.sample_rate)
        self.seed = seed
        self.gain, self.narrow = gain, narrow
        counts = [ceil(record.samples / self.crop) for record in self.records]
        self.places = np.repeat(np.arange(len(self.records)), counts)
        self._order = lru_cache(maxsize=2)(self._draw_order)

    def _draw_order(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng([self.seed, 0, epoch]).permutation(self.places)

    def __getitem__(self, index: int) -> Example:
        """Give source and target of example `index`, each [channels, samples].

        Raises:
            ManifestError: as `draw`.
        """
        return self.draw(index)[0]

    def draw(self, index: int) -> tuple[Example, list[Skip]]:
        """Give example `index`, and which files were to be it and could not be read.

        Raises:
            ManifestError: too many could not; the message names the last.
        """
        number = self._number(index)
        draw = np.random.default_rng([self.seed, 1, index])
        tried: list[int] = []
        skipped: list[Skip] = []
        while True:
            record = self.records[number]
            start = int(draw.integers(0, max(1, record.samples - self.crop + 1)))
            change = self._draw_change(draw)
            name = record.source
            try:
                source = self._read(record, name, start)
                name = record.target
                target = self._read(record, name, start)
            except AudioError as error:
                skipped.append(Skip(name, str(error).removeprefix(f"{self.folder / name}: ")))
            else:
                return (torch.from_numpy(change(source)), torch.from_numpy(change(target))), skipped
            tried.append(number)
            if len(tried) > min(MOST_SKIPPED, len(self.records) // 2):
                raise ManifestError(f"{self.folder}: {self._hopeless(skipped)}")
            draw = np.random.default_rng([self.seed, 1, index, len(tried)])
            number = int(draw.choice(self.places[~np.isin(self.places, tried)]))

    def _draw_change(self, draw: np.random.Generator) -> Callable[[Waveform], Waveform]:
        """Draw what is done to both sides of an example."""
        factor = np.float32(10 ** (draw.uniform(-self.gain, self.gain) / 20))
        # Nothing is drawn where none is narrowed: examples stay what they were before there was a choice.
        if self.narrow and draw.random() < self.narrow:
            cut = draw_cut(draw, self.sample_rate)
            return lambda side: low_passed(side * factor, self.sample_rate, cut)
        return lambda side: side * factor

    def _number(self, index: int) -> int:
        epoch, place = divmod(index, len(self.places))
        return int(self._order(epoch)[place])

    def source_of(self, index: int) -> str:
        """Name the file of example `index`; where it cannot be read, another takes its place."""
        return self.records[self._number(index)].source

    def _read(self, record: PairRecord, name: str, start: int) -> Waveform:
        """Read a crop of a file, silence past its end; the file has to be what the manifest says it is."""
        with Reader(self.folder / name) as reader:
            found = reader.sample_rate, reader.channels, reader.samples
            if found != (told := (record.sample_rate, record.channels, record.samples)):
                was, now = ("{} Hz, {} channels, {} samples".format(*what) for what in (told, found))
                raise AudioError(f"{self.folder / name}: has {now}, in the manifest {was}")
            waveform = reader.read(start, self.crop)
        return np.pad(waveform, ((0, 0), (0, self.crop - waveform.shape[1])))

    def _hopeless(self, skipped: list[Skip]) -> str:
        return (
            f"{len(skipped)} files of {len(self.records)} pairs cannot be read one after the other, the last "
            f"{skipped[-1].file} ({skipped[-1].reason}): is the folder still there and whole? Make the pairs again"
        )

    def __getstate__(self) -> dict[str, object]:
        """Leave out the cache, which cannot travel to a loader process."""
        return {name: value for name, value in self.__dict__.items() if name != "_order"}

    def __setstate__(self, state: dict[str, object]) -> None:
        """Make the cache anew."""
        self.__dict__.update(state)
        self._order = lru_cache(maxsize=2)(self._draw_order)


@dataclass(frozen=True)
class Share:
    """Which examples of every step one process takes.

    Attributes:
        batch: examples a step, over everything.
        accumulate: micro-batches a step.
        processes: how many processes there are.
        process: which one this is, from 0.

    Raises:
        ValueError: the batch cannot be divided evenly.
    """

    batch: int
    accumulate: int = 1
    processes: int = 1
    process: int = 0

    def __post_init__(self) -> None:
        if self.batch < 1 or self.batch % (self.accumulate * self.processes):
            raise ValueError(
                f"data.batch {self.batch} cannot be divided into {self.accumulate} micro-batches on "
                f"{self.processes} processes: choose a multiple of {self.accumulate * self.processes}"
            )

    def indices(self, step: int, micro: int) -> range:
        """Give the examples of one micro-batch of one step."""
        size = self.batch // self.accumulate // self.processes
        first = step * self.batch + micro * size * self.processes + self.process * size
        return range(first, first + size)

    def order(self, start: int, steps: int) -> Iterator[list[int]]:
        """Give all micro-batches of the steps from `start` on."""
        for step in range(start, steps):
            for micro in range(self.accumulate):
                yield list(self.indices(step, micro))


class _Order:
    """The share's micro-batches as what a loader wants: something that can be iterated."""

    def __init__(self, share: Share, start: int, steps: int) -> None:
        self.arguments = share, start, steps

    def __iter__(self) -> Iterator[list[int]]:
        share, start, steps = self.arguments
        return share.order(start, steps)


class _Batches(Dataset["tuple[Tensor, Tensor, list[Skip]] | str"]):
    """Examples batch by batch, as the loader's processes hand them over: with what was skipped, or why there is none.

    An exception would come out of a process as a page of text.
    """

    def __init__(self, crops: PairCrops) -> None:
        self.crops = crops

    def __getitem__(self, indices: list[int]) -> tuple[Tensor, Tensor, list[Skip]] | str:
        try:
            drawn = [self.crops.draw(index) for index in indices]
        except ManifestError as error:
            return str(error)
        # Torch's own way lets a loader's process write into memory that it shares; where that is left to the thread
        # which hands batches over, a process that is told to end in the midst of it aborts.
        source, target = default_collate([example for example, _ in drawn])
        return source, target, [skip for _, skips in drawn for skip in skips]


def _as_it_is(batch: Any) -> Any:
    return batch


def micro_batches(
    crops: PairCrops, share: Share, start: int, steps: int, workers: int, skipped: Skipped | None = None
) -> Iterator[list[Tensor]]:
    """Load the micro-batches of the steps from `start` on, ahead of their use where there are workers.

    Args:
        crops: the examples.
        share: which of them.
        start: first step.
        steps: the step to end before.
        workers: loader processes; 0 loads when asked.
        skipped: is told of what was skipped, once the batch that it was to be in is taken.

    Returns:
        Source and target, each [examples, channels, samples], again and again.

    Raises:
        ManifestError: so many files cannot be read that it is no accident (when the batch is taken).
    """
    loader = DataLoader(
        _Batches(crops),
        batch_size=None,
        sampler=_Order(share, start, steps),
        collate_fn=_as_it_is,
        num_workers=workers,
        worker_init_fn=heed_parent if workers else None,
        pin_memory=torch.cuda.is_available(),
        multiprocessing_context="spawn" if workers else None,
        generator=torch.Generator(),  # a loader draws a seed when it starts: not from the run's random state
    )
    return _taken(iter(loader), skipped)


def _taken(batches: Iterator[Any], skipped: Skipped | None) -> Iterator[list[Tensor]]:
    for batch in batches:
        if isinstance(batch, str):
            raise ManifestError(batch)
        source, target, skips = batch
        if skipped is not None:
            skipped.add(skips)
        yield [source, target]
