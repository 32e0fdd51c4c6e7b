"""A description from anyone may name a network without end: it is built no larger than its weights can fill."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

SPARE = 2**24
"""So many numbers stand in no file: windows, filters, what is made and thrown away."""
ANEW = 8
"""A number may be registered so often, as where a weight is taken apart into its norm and its direction."""
EACH = 256
"""What every part counts for besides its numbers: a million empty layers are too large too."""


@contextmanager
def no_larger_than(weights: Path) -> Iterator[None]:
    """While this lasts, a network with far more numbers than a file has bytes cannot be built.

    Where there is no file nothing is held against it: who reads the weights says so.

    Raises:
        ValueError: from within the network's constructor, before its memory is filled.
    """
    most = ANEW * weights.stat().st_size + SPARE if weights.is_file() else None
    count = 0

    def told(module: nn.Module, name: str, part: object) -> None:
        nonlocal count
        count += EACH + (part.numel() if isinstance(part, Tensor) else 0)
        if most is not None and count > most:
            raise ValueError(f"they make a network far larger than {weights.name} can fill")

    with ExitStack() as hooks:
        for register in (
            register_module_parameter_registration_hook,
            register_module_buffer_registration_hook,
            register_module_module_registration_hook,
        ):
            hooks.callback(register(told).remove)
        yield
