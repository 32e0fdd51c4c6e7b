"""Says what is seen: when it begins, rarely again, and when it is over; on the console and in the journal."""

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tqdm import tqdm

from gan.doctor.game import Game
from gan.doctor.learning import Learning
from gan.doctor.lines import Lines
from gan.recipe import Recipe

CLEAR = 5  # lines without it, then it is over
AGAIN = 50  # lines until it is said again, then twice as many, and so on

WON, DEAD, SPIKE = "critics won", "critics dead", "feature matching spike"
STILL, FAST, BURST = "loss not moving", "learning rate too high", "critics burst"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the doctor says.

    Attributes:
        name: WON, DEAD, BURST, SPIKE, STILL or FAST.
        sentence: one line: what is seen, with its figures, and what to do.
        step: count of the steps done.
        holds: False where it says that it is over.
    """

    name: str
    sentence: str
    step: int
    holds: bool = True


@dataclass
class _Course:
    """At which line a verdict was said last, how many lines it is silent then, and how many it was not seen on."""

    said: int
    silence: int = AGAIN
    clear: int = 0


class Doctor:
    """Hears the lines that a run's journal gets, one after the other, and gives verdicts.

    Lines are all that it knows. So a run that goes on has the same doctor as one that never stopped, once it has heard
    the journal again.

    Args:
        recipe: of the run; its terms, weights and adversary are looked at.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._lines = Lines(recipe.weights)
        self._learning = Learning(self._lines, recipe.terms)
        self._game = Game(self._lines, recipe.adversary) if recipe.adversary else None
        self._courses: dict[str, _Course] = {}

    def recall(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Hear again what gan.journal.read_journal gives, up to where the run goes on; says nothing."""
        for entry in entries:
            self.hear(entry["kind"], entry["step"], entry["values"])

    def hear(self, kind: str, step: int, values: Mapping[str, float]) -> list[Diagnosis]:
        """Hear one line.

        Args:
            kind: "train" or "validation"; others are passed over.
            step: count of the steps done.
            values: the line's figures by name; names may be missing.

        Returns:
            What there is to say now: most often nothing.
        """
        if kind == "validation" and math.isfinite(values.get("mel", math.nan)):
            self._learning.validations.append(values["mel"])
        if kind != "train":
            return []
        self._lines.take(step, {**values, **(self._game.gap(values) if self._game else {})})
        seen = {STILL: self._learning.still(), FAST: self._learning.fast()}
        if self._game:
            seen |= {WON: self._game.won(), DEAD: self._game.dead(), BURST: self._game.burst()}
            seen |= {SPIKE: self._game.spike()}
        return [said for name, sentence in seen.items() if (said := self._say(name, sentence))]

    def _say(self, name: str, sentence: str | None) -> Diagnosis | None:
        """Turn what is seen on each line into what is worth saying."""
        line, step, course = len(self._lines.steps), self._lines.steps[-1], self._courses.get(name)
        if sentence is None:
            if course is None:
                return None
            course.clear += 1
            if course.clear < CLEAR:
                return None
            del self._courses[name]
            return Diagnosis(name, f"{name}: over", step, holds=False)
        if course is None:
            self._courses[name] = _Course(line)
            return Diagnosis(name, f"{name}: {sentence}", step)
        course.clear = 0
        if line - course.said < course.silence:
            return None
        course.said, course.silence = line, 2 * course.silence
        return Diagnosis(name, f"{name}, still: {sentence}", step)


class Paper(Protocol):
    """What verdicts are written into, as gan.journal.Journal."""

    def write(self, kind: str, step: int, values: Mapping[str, float], sentence: str | None = None) -> None:
        """Write a line."""


def tell(found: Iterable[Diagnosis], paper: Paper) -> None:
    """Write each verdict to the console and the journal: a line of kind "verdict", 1 where it holds, 0 where over."""
    for one in found:
        tqdm.write(f"step {one.step}: {one.sentence}", file=sys.stderr)
        paper.write("verdict", one.step, {one.name: float(one.holds)}, one.sentence)
