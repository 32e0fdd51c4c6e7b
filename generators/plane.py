"""How a self-organising map starts: on the plane of its data's two principal components (Kohonen 2001)."""

import torch
import torch.distributed as dist
from torch import Tensor

from generators.joined import add_up

# A start on data that does not vary still has entries that differ.
SMALLEST_SPREAD = 1e-4


def plane(vectors: Tensor, grid: tuple[int, int]) -> Tensor:
    """Lay a grid on the plane of the two principal components of [n, width], the longer side along the first.

    Over several processes the vectors of all of them are meant.

    Returns:
        [height * width of the grid, width], evenly spread from -2 to 2 standard deviations around the mean.
    """
    wide = vectors.double()
    sums = torch.cat([wide.T @ wide, wide.sum(dim=0, keepdim=True), wide.new_full((1, wide.shape[1]), len(wide))])
    add_up(sums)
    mean = sums[-2] / sums[-1]
    variances, axes = torch.linalg.eigh(sums[:-2] / sums[-1] - torch.outer(mean, mean))
    first, second = (axis * torch.where(axis[axis.abs().argmax()] < 0, -1, 1) for axis in (axes[:, -1], axes[:, -2]))
    far, near = variances[-1], variances[-2]
    along, across = first * far.clamp(min=SMALLEST_SPREAD**2).sqrt(), second * near.clamp(min=SMALLEST_SPREAD**2).sqrt()
    rows, columns = (torch.linspace(-2, 2, n, device=wide.device) if n > 1 else wide.new_zeros(1) for n in grid)
    down, right = (along, across) if grid[0] > grid[1] else (across, along)
    entries = mean + rows.view(-1, 1, 1).double() * down + columns.view(1, -1, 1).double() * right
    if dist.is_available() and dist.is_initialized():
        # Processes on different machines may disagree on an eigenvector's last digits.
        dist.broadcast(entries, 0)
    laid: Tensor = entries.flatten(0, 1).to(vectors)
    return laid
