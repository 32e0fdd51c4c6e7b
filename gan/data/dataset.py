"""Training examples as a pure function of (seed, index): the order knows nothing of workers, processes or restarts."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import ceil
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from gan.audio import AudioError, Reader, Waveform
from gan.data.band import draw_cut, low_passed
from gan.data.manifest import ManifestError, PairRecord, read_manifest
from gan.data.skipped import Skip

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
        unshifted: share of the examples that are of pairs without a shift, where there are any; None for as many as
            there are. From these a network learns to do no harm, and they slow down all else: at none, the slope of a
            distance does not shrink.

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
        unshifted: float | None = None,
    ) -> None:
        self.folder = folder
        self.records = select(folder, "train", semitones)
        self.sample_rate, self.channels = self.records[0].sample_rate, self.records[0].channels
        self.crop = round(seconds * self.sample_rate)
        self.seed = seed
        self.gain, self.narrow = gain, narrow
        counts = [ceil(record.samples / self.crop) for record in self.records]
        self.places = np.repeat(np.arange(len(self.records)), counts)
        self.share = unshifted
        if unshifted is not None:
            self.places = self._with_share(unshifted, 0)
        self._order = lru_cache(maxsize=2)(self._draw_order)

    def _with_share(self, unshifted: float, epoch: int) -> NDArray[np.int64]:
        """Give places of an epoch of which such a share is unshifted, some of them twice, or other ones every epoch."""
        places = np.repeat(np.arange(len(self.records)), [ceil(record.samples / self.crop) for record in self.records])
        of_none = np.array([record.semitones == 0 for record in self.records])[places]
        none, others = places[of_none], places[~of_none]
        if not len(none) and unshifted:
            raise ManifestError(
                f"{self.folder} holds no training pair without a shift, of which data.unshifted asks {unshifted:g}: "
                f"make pairs again with 0 among --semitones, or leave data.unshifted out"
            )
        if not len(others):
            return places
        mixed = np.random.default_rng([self.seed, 2, epoch]).permutation(none)
        return np.concatenate([np.resize(mixed, round(len(others) * unshifted / (1 - unshifted))), others])

    def _draw_order(self, epoch: int) -> NDArray[np.int64]:
        places = self.places if self.share is None else self._with_share(self.share, epoch)
        return np.random.default_rng([self.seed, 0, epoch]).permutation(places)

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
