"""Sounds of known pitch, and takes of them."""

import numpy as np

from gan.evaluating.contract import Sound, Take

RATE = 48_000


def tone(frequency: np.ndarray) -> np.ndarray:
    """A buzz of ten partials that follows a frequency, [1, samples]."""
    phase = 2 * np.pi * np.cumsum(frequency) / RATE
    return np.asarray([0.2 * sum(np.sin(n * phase) / n for n in range(1, 11))], dtype=np.float32)


def steady(frequency: float, seconds: float = 1.0) -> np.ndarray:
    return tone(np.full(round(seconds * RATE), frequency))


def take(output: np.ndarray, original: np.ndarray, semitones: float = 12.0, *, stays: bool = False) -> Take:
    """What is judged, with a shift there and back, or one that stays."""
    direction = "one_way" if stays else "there_and_back"
    return Take(Sound(output, RATE), Sound(original, RATE), semitones, direction, undo=not stays)
