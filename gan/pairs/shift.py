"""Pitch shifters behind one signature; each call starts afresh, so nothing of one file is heard in the next.

The shifters themselves are in gan.pairs.shifters.
"""

import importlib
import inspect
from typing import Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gan.audio import Waveform

SHIPPED = "gan.pairs.shifters"


class PairError(ValueError):
    """Pairs cannot be made as asked; the message is one line that says what to do."""


class ShiftError(PairError):
    """A shifter cannot shift this waveform; another one it may."""


@runtime_checkable
class Shifter(Protocol):
    """Changes the pitch and keeps the tempo."""

    def __call__(self, waveform: Waveform, sample_rate: int, semitones: float) -> Waveform:
        """Shift a waveform.

        Args:
            waveform: [channels, samples], any length from 1.
            sample_rate: in Hz.
            semitones: how far; 12 doubles every frequency.

        Returns:
            Same shape, in time with the input; what would lie above half the rate is gone.
        """


def shipped_shifters() -> list[str]:
    """Give the names of the shifters that come with this package; some need an extra."""
    module = importlib.import_module(SHIPPED)
    kinds = inspect.getmembers(module, lambda kind: inspect.isclass(kind) and kind.__module__ == SHIPPED)
    return [name for name, _ in kinds]


def load_shifter(name: str) -> Shifter:
    """Make the shifter of a name.

    Args:
        name: a class in this file, or the dotted path of a class that is made without arguments.

    Raises:
        PairError: there is no such class, or it is none of a shifter.
    """
    module, _, part = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module or SHIPPED), part)
    except (ImportError, AttributeError, ValueError) as error:
        known = ", ".join(shipped_shifters())
        raise PairError(f"no shifter {name!r} ({error}): one of {known}, or the dotted path of a class") from error
    try:
        shifter = found()
    except TypeError as error:
        raise PairError(f"{name} is no class that can be made without arguments ({error})") from error
    if not callable(shifter):
        raise PairError(f"{name} is no shifter: what it makes cannot be called")
    return cast(Shifter, shifter)


def apply_shifter(shifter: Shifter, waveform: Waveform, sample_rate: int, semitones: float) -> Waveform:
    """Let a shifter shift, see `Shifter`: a shifter is somebody else's code, and here alone it is called.

    Raises:
        ShiftError: it failed at this waveform, or made another shape or samples that are no numbers of it.
        PairError: its package is missing.
    """
    name = type(shifter).__name__
    try:
        shifted = shifter(waveform, sample_rate, semitones)
    except PairError:
        raise
    except Exception as error:
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        raise ShiftError(f"{name} cannot shift it by {semitones:+g} ({cause})") from error
    shape = np.shape(shifted)
    if shape != waveform.shape:
        raise ShiftError(f"{name} made {list(shape)} samples of {list(waveform.shape)} at {semitones:+g}")
    if not np.isfinite(shifted).all():
        raise ShiftError(f"{name} gave samples that are no numbers at {semitones:+g}")
    return shifted


def fitted(waveform: NDArray[np.floating], samples: int) -> Waveform:
    """Crop a waveform [channels, any] to so many samples, or follow it by silence; float32."""
    short = max(0, samples - waveform.shape[1])
    return np.ascontiguousarray(np.pad(waveform, ((0, 0), (0, short)))[:, :samples], dtype=np.float32)
