"""What a measure is, what it is told of, and what gives it: a judge. A new one is a class and a line in measures.py."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from features.pitch import Pitch, track_pitch
from gan.audio import Waveform, resample
from gan.data.manifest import Direction
from gan.evaluating.results import ResultsError
from gan.pairs.check import SILENT

LOWEST, HIGHEST = 60.0, 800.0
"""Where the pitch of an original is looked for, Hz; that of what was shifted one way is looked for as much higher."""


class MeasureError(ResultsError):
    """Something cannot be measured as asked; the message is one line that says what to do."""


@dataclass(frozen=True)
class Measure:
    """A figure of a table.

    Attributes:
        label: its name in words.
        unit: "dB", "cents", "%"; "" where it has none.
        lower_is_better: which way is better.
        meaning: what it hears, in a sentence.
        reference: whether the output is held against the clean sound itself; those that need none, or only its pitch,
            are measured of one-way shifts too.
        speech: whether it was made for speech alone.
    """

    label: str
    unit: str
    lower_is_better: bool
    meaning: str
    reference: bool = True
    speech: bool = False


class Sound:
    """A waveform, and what several judges need of it, worked out once.

    Args:
        waveform: [channels, samples].
        sample_rate: in Hz.
    """

    def __init__(self, waveform: Waveform, sample_rate: int) -> None:
        self.waveform, self.sample_rate = waveform, sample_rate
        self._mono: dict[int, NDArray[np.float32]] = {}
        self._pitches: dict[float, Pitch] = {}

    @cached_property
    def silent(self) -> bool:
        """Whether its peak is under -60 dB of full scale."""
        return float(np.abs(self.waveform).max(initial=0)) < SILENT

    @property
    def seconds(self) -> float:
        """Its length."""
        return float(self.waveform.shape[1] / self.sample_rate)

    def mono(self, sample_rate: int) -> NDArray[np.float32]:
        """Mix the channels to one, at a rate in Hz; [samples]."""
        if sample_rate not in self._mono:
            mixed = self.waveform.mean(axis=0, keepdims=True)
            self._mono[sample_rate] = resample(mixed, self.sample_rate, sample_rate)[0]
        return self._mono[sample_rate]

    def pitch(self, ratio: float = 1.0) -> Pitch:
        """Follow the pitch of the channels' mix, in the usual range times a ratio."""
        if ratio not in self._pitches:
            # Both sides of a comparison end at the same place of their ranges.
            top = min(HIGHEST, self.sample_rate / 4 / max(ratio, 1.0))
            waveform = self.mono(self.sample_rate)
            self._pitches[ratio] = track_pitch(waveform, self.sample_rate, fmin=LOWEST * ratio, fmax=top * ratio)
        return self._pitches[ratio]


@dataclass(frozen=True)
class Take:
    """What is judged.

    Attributes:
        output: of a system.
        original: the clean sound that the pair was made of, at the output's rate and of its length.
        semitones: of the pair's shift.
        direction: "there_and_back": the output should be the original; "one_way": there is no such thing to hold it
            against, but its pitch should be the original's, moved by the shift.
    """

    output: Sound
    original: Sound
    semitones: float
    direction: Direction

    @property
    def has_reference(self) -> bool:
        """Whether the output should be the original."""
        return self.direction == "there_and_back" or self.semitones == 0

    @property
    def ratio(self) -> float:
        """What the original's pitch times this should be: the output's."""
        return 1.0 if self.has_reference else 2.0 ** (self.semitones / 12)


class Judge(ABC):
    """Gives one measure or several of one kind. Made without arguments, once a process, where it loads what it needs.

    Attributes:
        measures: what it gives, by name.
        packages: modules that it imports and that only some have.
        extra: the extra of this package that installs them.
        unasked: whether it works without being named.

    Raises:
        MeasureError: when it is made: what it needs cannot be had.
    """

    measures: ClassVar[Mapping[str, Measure]]
    packages: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = "evaluation"
    unasked: ClassVar[bool] = True

    @abstractmethod
    def __call__(self, take: Take) -> dict[str, float]:
        """Measure; what cannot be had of this sound (of silence, say) is left out or not finite."""
