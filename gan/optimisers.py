"""Optimisers that a recipe can name beside those of torch.optim."""

from collections.abc import Iterable

from pytorch_optimizer import Muon as LibraryMuon
from torch import nn


class Muon(LibraryMuon):  # type: ignore[misc]
    """Muon (Jordan et al. 2024) for matrices and convolution weights, AdamW for the rest.

    A convolution weight [out, in, kernel] is taken as a matrix [out, in * kernel]. For DAC-style networks 1e-3 with
    AdamW at 1e-4 worked best, and 5e-3 explodes. Not for weight-normalised layers.

    Args:
        parameters: what learns.
        lr: Muon's learning rate.
        adamw_lr: of biases and other vectors (snake's alpha has one axis longer than 1).
        momentum: Muon's.
        adamw_betas: AdamW's.
        weight_decay: of both.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float = 1e-3,
        adamw_lr: float = 1e-4,
        momentum: float = 0.95,
        adamw_betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.01,
    ) -> None:
        parameters = list(parameters)
        matrices = [p for p in parameters if _is_matrix(p)]
        vectors = [p for p in parameters if not _is_matrix(p)]
        groups = [
            {"params": matrices, "use_muon": True, "lr": lr},
            {"params": vectors, "use_muon": False, "lr": adamw_lr},
        ]
        super().__init__(
            [group for group in groups if group["params"]],
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            adamw_lr=adamw_lr,
            adamw_betas=adamw_betas,
            adamw_wd=weight_decay,
        )


def _is_matrix(parameter: nn.Parameter) -> bool:
    return sum(size > 1 for size in parameter.shape) >= 2
