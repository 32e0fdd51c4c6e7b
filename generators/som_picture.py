"""A picture of self-organising maps: whether neighbours on the grid are alike, and where the borders run."""

from pathlib import Path

import torch
from torch import Tensor

from generators.som import SelfOrganisingMaps


def draw_maps(maps: SelfOrganisingMaps, file: Path) -> None:
    """Draw every codebook: its entries as colours, and their distances to their neighbours.

    Args:
        maps: the codebooks.
        file: to be written; its ending says how, ".png" or another that matplotlib knows.

    Raises:
        OSError: it cannot be written.
    """
    from matplotlib.figure import Figure  # slow to import, and only needed here; a figure by itself needs no screen

    count, (height, width) = len(maps.codebooks), maps.grid
    figure = Figure(figsize=(8, 0.5 + count * max(1.0, 3.6 * height / width)), layout="constrained")
    for number, (left, right) in enumerate(figure.subplots(count, 2, squeeze=False)):
        entries = maps.entries[number].detach().float().cpu().view(height, width, -1)
        left.imshow(colours(entries).numpy(), interpolation="nearest")
        shown = right.imshow(neighbour_distances(entries).numpy(), interpolation="nearest", cmap="magma", vmin=0)
        figure.colorbar(shown, ax=right)
        left.set_ylabel(f"codebook {number}")
        for axes in (left, right):
            axes.set(xticks=[], yticks=[])
        if number == 0:
            left.set_title("entries, three principal components")
            right.set_title("mean distance to neighbours")
    figure.savefig(file, dpi=120)


def colours(entries: Tensor) -> Tensor:
    """Give [height, width, n] colours, [height, width, 3] in 0..1: three principal components as red, green, blue."""
    flat = entries.flatten(0, 1) - entries.mean(dim=(0, 1))
    axes = torch.linalg.svd(flat, full_matrices=False)[2][:3]
    seen = torch.nn.functional.pad(flat @ axes.T, (0, 3 - len(axes)))
    low, high = seen.amin(dim=0), seen.amax(dim=0)
    return ((seen - low) / (high - low).clamp(min=1e-12)).view(*entries.shape[:2], 3)


def neighbour_distances(entries: Tensor) -> Tensor:
    """Mean distance of each of [height, width, n] to those beside it, [height, width]: Ultsch's U-matrix (1993).

    It is Euclidean. Those at an edge have fewer neighbours.
    """
    height, width, _ = entries.shape
    total, count = entries.new_zeros(height, width), entries.new_zeros(height, width)
    down = (entries[1:] - entries[:-1]).norm(dim=-1)
    right = (entries[:, 1:] - entries[:, :-1]).norm(dim=-1)
    for distances, one, other in (
        (down, (slice(1, None), slice(None)), (slice(None, -1), slice(None))),
        (right, (slice(None), slice(1, None)), (slice(None), slice(None, -1))),
    ):
        for place in (one, other):
            total[place] += distances
            count[place] += 1
    return total / count.clamp(min=1)
