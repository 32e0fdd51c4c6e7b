"""Convolutions of five taps with 2 multiplications an output instead of 5 (Toom 1963; Winograd 1980).

A tile of 8 inputs makes 4 outputs. Input, weight and output are values of polynomials at 8 points; at each point they
are multiplied, which over all channels is one matrix product (Lavin and Gray 2016, for two dimensions).
"""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

Rows = list[list[float]]

TAPS, OUTPUTS = 5, 4
TILE = TAPS + OUTPUTS - 1
# Beside infinity. Halves and doubles have small powers, which keeps rounding small: some 1e-6 of the largest output.
POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)


def convolve(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve with 5 taps, stride 1 and 2 zeros on either side, as torch's conv1d does.

    It pays where channels are many and the matrix product is the work, on a CPU: some 2 times as fast there.

    Args:
        hidden: [batch, channels, places].
        weight: [wider, channels, 5].
        bias: [wider].

    Returns:
        [batch, wider, places].
    """
    batch, channels, places = hidden.shape
    tiles = -(-places // OUTPUTS)
    of_input, of_weight, of_output = transforms(hidden.dtype, hidden.device)
    padded = F.pad(hidden, (TAPS // 2, OUTPUTS * tiles - places + TAPS // 2))
    seen = padded.unfold(2, TILE, OUTPUTS).permute(3, 1, 0, 2).reshape(TILE, -1)
    seen = (of_input @ seen).view(TILE, channels, batch * tiles)
    weights: Tensor = _Spread.apply(weight, of_weight)  # type: ignore[no-untyped-call]
    made = of_output @ torch.bmm(weights, seen).view(TILE, -1)
    result = made.view(OUTPUTS, -1, batch, tiles).permute(2, 1, 3, 0).reshape(batch, -1, OUTPUTS * tiles)[..., :places]
    return result if bias is None else result + bias[:, None]


class _Spread(torch.autograd.Function):
    """Weights at the points, [8, wider, channels]. Its way back ends in the weights' own layout: no copy is needed."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, of_weight: Tensor) -> Tensor:
        """Take [wider, channels, 5] and [8, 5]."""
        ctx.save_for_backward(of_weight)
        ctx.shape = weight.shape
        return (of_weight @ weight.reshape(-1, TAPS).T).view(TILE, *weight.shape[:2])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Give the weight's gradient."""
        (of_weight,) = ctx.saved_tensors
        return (gradient.reshape(TILE, -1).T @ of_weight).view(ctx.shape), None


def transforms(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Give the matrices of the input, [8, 8], of the weight, [8, 5], and of the output, [4, 8]."""
    # Numbers are kept and tensors made anew: one made in inference mode, or by a tracer, is of no use to training.
    of_input, of_weight, of_output = (torch.tensor(rows, dtype=dtype, device=device) for rows in _numbers())
    return of_input, of_weight, of_output


@lru_cache
def _numbers() -> tuple[Rows, Rows, Rows]:
    """Give the matrices of the input, [8, 8], of the weight, [8, 5], and of the output, [4, 8].

    Evaluation at the points for the weight and (transposed) for the output, interpolation (transposed) for the input:
    its rows are the coefficients of the polynomials that are zero at all points but one.
    """
    of_input, of_weight, of_output = np.zeros((TILE, TILE)), np.zeros((TILE, TAPS)), np.zeros((OUTPUTS, TILE))
    for row in range(TILE):
        others = [point for number, point in enumerate(POINTS) if number != row]
        of_input[row, : len(others) + 1] = np.polynomial.polynomial.polyfromroots(others)
        if row < len(POINTS):
            apart = np.prod([POINTS[row] - other for other in others])
            of_weight[row] = POINTS[row] ** np.arange(TAPS) / apart
            of_output[:, row] = POINTS[row] ** np.arange(OUTPUTS)
    of_weight[-1, -1] = of_output[-1, -1] = 1
    return of_input.tolist(), of_weight.tolist(), of_output.tolist()
