"""An exponential moving average of a generator's weights (Karras et al. 2018, after Polyak and Juditsky 1992)."""

from copy import deepcopy

import torch
from torch import Tensor, nn


class Average:
    """A second copy of a module whose weights trail the first's.

    The decay starts low and grows with the updates, min(decay, (1 + n) / (10 + n)), so that short runs are not an
    average of the first random weights.

    Args:
        module: what is averaged; it is copied.
        decay: weight of the old average, in [0, 1).
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"the average's decay must be in [0, 1), not {decay}")
        self.module = deepcopy(module).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take one step towards the module's weights; buffers and integers are copied."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        own, new = _floats(self.module), _floats(module)
        torch._foreach_lerp_(own, new, 1.0 - decay)
        for mine, theirs in zip(self.module.buffers(), module.buffers(), strict=True):
            mine.copy_(theirs)

    def state(self) -> dict[str, int]:
        """What has to be saved beside the weights."""
        return {"updates": self.updates}

    def load_state(self, state: dict[str, int]) -> None:
        """Take up where a saved average stopped."""
        self.updates = state["updates"]


def _floats(module: nn.Module) -> list[Tensor]:
    return [parameter.detach() for parameter in module.parameters()]
