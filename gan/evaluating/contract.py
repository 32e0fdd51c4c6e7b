"""What a measure is, what it is told of, and what gives it: a judge. A new one is a class and a line in measures.py."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from features.pitch import Pitch, track_pitch
from gan.audio import Waveform, resample
from gan.data.manifest import Direction
from gan.evaluating.results import ResultsError
from gan.pairs.check import SILENT

ALIKE = 1e-5
"""Channels that differ by less, of full scale, are one."""
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
        reference: whether the output is held against the clean sound itself; those that need none, or only its pitch
            or its formants, are also measured of shifts that stay.
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
        self._resampled: dict[int, Waveform] = {}
        self._pitches: dict[float, Pitch] = {}

    @cached_property
    def silent(self) -> bool:
        """Whether its peak is under -60 dB of full scale."""
        return float(np.abs(self.waveform).max(initial=0)) < SILENT

    @property
    def seconds(self) -> float:
        """Its length."""
        return float(self.waveform.shape[1] / self.sample_rate)

    @cached_property
    def channels(self) -> "list[Sound]":
        """Each channel as a sound of its own."""
        return [Sound(channel[None], self.sample_rate) for channel in self.waveform]

    @cached_property
    def alike(self) -> bool:
        """Whether all channels are one."""
        return float(np.abs(self.waveform - self.waveform[:1]).max(initial=0)) < ALIKE

    def first(self, sample_rate: int) -> NDArray[np.float32]:
        """Give the first channel, which a `ChannelJudge` knows to be the only one, at a rate in Hz; [samples]."""
        if sample_rate not in self._resampled:
            self._resampled[sample_rate] = resample(self.waveform[:1], self.sample_rate, sample_rate)
        only: NDArray[np.float32] = self._resampled[sample_rate][0]
        return only

    def pitch(self, ratio: float = 1.0) -> Pitch:
        """Follow the pitch of the first channel, in the usual range times a ratio."""
        if ratio not in self._pitches:
            # Both sides of a comparison end at the same place of their ranges.
            top = min(HIGHEST, self.sample_rate / 4 / max(ratio, 1.0))
            ends = LOWEST * ratio, min(top * ratio, self.sample_rate / 4)  # a product can be rounded up
            self._pitches[ratio] = track_pitch(self.waveform[0], self.sample_rate, fmin=ends[0], fmax=ends[1])
        return self._pitches[ratio]


@dataclass(frozen=True)
class Take:
    """What is judged.

    Attributes:
        output: of a system.
        original: the clean sound that the pair was made of, at the output's rate and of its length.
        semitones: of the pair's shift.
        direction: of the pair; the output of one that was shifted there and back should be the original.
        undo: whether the output of a "one_way" pair should be the original too, the shift undone. Where the shift is to
            stay there is nothing to hold it against, but its pitch should be the original's, moved by the shift, and
            its formants should be the original's.
    """

    output: Sound
    original: Sound
    semitones: float
    direction: Direction
    undo: bool = True

    @property
    def has_reference(self) -> bool:
        """Whether the output should be the original."""
        return self.undo or self.direction == "there_and_back" or self.semitones == 0

    @property
    def ratio(self) -> float:
        """What the original's pitch times this should be: the output's."""
        return 1.0 if self.has_reference else 2.0 ** (self.semitones / 12)

    @property
    def channels(self) -> "list[Take]":
        """A take for each channel whose original sounds; one for all where they are alike on both sides."""
        pairs = list(zip(self.output.channels, self.original.channels, strict=True))
        if self.output.alike and self.original.alike:
            pairs = pairs[:1]
        return [replace(self, output=ours, original=theirs) for ours, theirs in pairs if not theirs.silent]


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


class ChannelJudge(Judge):
    """Hears one channel at a time; a figure is the mean over the channels that have it.

    Channels are not mixed: what is opposite in two of them would be gone.
    """

    def __call__(self, take: Take) -> dict[str, float]:
        """Measure; nothing of a silent original."""
        found = [self.hear(channel) for channel in take.channels]
        values = {name: [one[name] for one in found if np.isfinite(one.get(name, np.nan))] for name in self.measures}
        return {name: float(np.mean(its)) for name, its in values.items() if its}

    @abstractmethod
    def hear(self, take: Take) -> dict[str, float]:
        """Measure one channel, whose original is not silent; what cannot be had is left out or not finite."""
