"""What processes find out together: sums over all of them, and whether what all of them have is finite."""

import torch
import torch.distributed as dist
from torch import Tensor


def add_up(tensor: Tensor) -> None:
    """Replace a tensor by its sum over all processes."""
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(tensor)


def all_finite(tensor: Tensor) -> bool:
    """Say whether every number on every process is finite."""
    bad = (~torch.isfinite(tensor)).any().int()
    add_up(bad)
    return not bad
