"""Examples in micro-batches: which process takes which of a step's, and how they are loaded ahead of their use."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from gan.data.dataset import PairCrops
from gan.data.manifest import ManifestError
from gan.data.skipped import Skip, Skipped
from gan.data.worker import heed_parent


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
