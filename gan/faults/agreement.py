"""Processes that do a thing together, or end together: where one of them cannot do its part, all say why."""

from collections.abc import Callable
from typing import TypeVar

from accelerate import Accelerator
from accelerate.utils import gather_object

from gan.recipe import ConfigError

T = TypeVar("T")
Kinds = tuple[type[Exception], ...]


def together(accelerator: Accelerator, work: Callable[[], T], kinds: Kinds = (OSError,)) -> T:
    """Let every process do its part, and go on when all have done theirs.

    Args:
        accelerator: of the run; every process has to come here.
        work: this process's part.
        kinds: what counts as a mistake that can be told in one line.

    Raises:
        ConfigError: on every process, with the line of the first one that met a mistake.
    """
    said: list[str | None] = [None]
    try:
        result = work()
    except kinds as error:
        said = [str(error)]
        cause: Exception | None = error
    else:
        cause = None
    lines = [line for line in gather_object(said) if line is not None]
    if lines:
        raise ConfigError(lines[0]) from cause
    return result


def first_alone(accelerator: Accelerator, work: Callable[[], T], kinds: Kinds = (OSError,)) -> T | None:
    """Let the first process do what one alone may do; the others wait for it, and end as it does.

    Returns:
        What the work gives, on the first process; None on the others.

    Raises:
        ConfigError: on every process, with the line of the mistake that the first one met.
    """
    return together(accelerator, work if accelerator.is_main_process else _nothing, kinds)


def _nothing() -> None:
    """Leave it to the first process."""
