"""Parts that fail when a test wants it, named by class path; what is said through `now` is no part of a recipe."""

import os
import signal
import time
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gan.losses import L1
from generators.contract import Estimate


@dataclass
class Now:
    """What is to happen in this process: at which call of Signalling, counted from its first, which signal comes."""

    calls: int = 0
    at: dict[int, signal.Signals] = field(default_factory=dict)


now = Now()


class Signalling(L1):
    """A real signal to the own process while a step is being taken."""

    def forward(self, estimate: Estimate) -> Tensor:
        number = now.at.get(now.calls)
        now.calls += 1
        if number is not None:
            os.kill(os.getpid(), number)
        return super().forward(estimate) * (1 + torch.rand(()))  # what is random goes on as it would have


class Poisoned(L1):
    """NaN where an example of the batch is a certain one, told by a sample of its target."""

    def __init__(self, key: float, place: int = 1000, value: float = float("nan")) -> None:
        super().__init__()
        self.key, self.place, self.value = key, place, value

    def forward(self, estimate: Estimate) -> Tensor:
        bad = (estimate.target[:, 0, self.place] == self.key).any()
        return super().forward(estimate) * torch.where(bad, self.value, 1.0) + torch.rand(())


class Sleeping(L1):
    """Sleeps at one call on one process."""

    def __init__(self, process: int, call: int, seconds: float) -> None:
        super().__init__()
        self.process, self.call, self.seconds, self.calls = process, call, seconds, 0

    def forward(self, estimate: Estimate) -> Tensor:
        if self.calls == self.call and int(os.environ.get("RANK", "0")) == self.process:
            time.sleep(self.seconds)
        self.calls += 1
        return super().forward(estimate)


class Slow(L1):
    """Takes a twentieth of a second longer, or as many as the environment says."""

    def forward(self, estimate: Estimate) -> Tensor:
        time.sleep(float(os.environ.get("SECONDS", "0.05")))
        return super().forward(estimate)
