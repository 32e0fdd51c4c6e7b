"""Sums what the steps say between two lines of the journal, on the device: the host waits once a line, not a step."""

import time
from collections.abc import Mapping

import torch
from accelerate import Accelerator
from torch import Tensor


class Tally:
    """A running mean of scalars by name, over steps and processes.

    Args:
        accelerator: of the run; on several processes each name has to be given by all of them alike.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self._clear()

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Take up one step's scalars; a name may be missing in some steps."""
        self.steps += 1
        for name, value in values.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
            self.counts[name] = self.counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """Give the means since the last call, and start again.

        Besides: "speed/steps" (a second), and on a GPU "memory/peak_gib".
        """
        names = sorted(self.sums)
        means = torch.stack([self.sums[name].float() / self.counts[name] for name in names])
        means = self.accelerator.reduce(means, reduction="mean")
        values = dict(zip(names, means.tolist(), strict=True))
        values["speed/steps"] = self.steps / (time.perf_counter() - self.start)
        if self.accelerator.device.type == "cuda":
            values["memory/peak_gib"] = torch.cuda.max_memory_allocated(self.accelerator.device) / 2**30
        self._clear()
        return values

    def _clear(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.steps = 0
        self.start = time.perf_counter()
