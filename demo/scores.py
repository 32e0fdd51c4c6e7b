"""What the demo's figures say: means, paired differences, and the sentences that follow from them."""

from collections.abc import Sequence
from dataclasses import dataclass

from gan.evaluating.statistics import FEWEST, Difference, difference, interval

__all__ = [
    "BASELINE",
    "METRICS",
    "Difference",
    "Metric",
    "Score",
    "compare",
    "headline",
    "interval",
    "shifted",
    "shifts",
]

BASELINE = "unrepaired"


@dataclass(frozen=True)
class Metric:
    """A column of the table: its name in words, its unit, which way is better, and what it hears."""

    label: str
    unit: str
    lower_is_better: bool
    meaning: str


METRICS = {
    "mel": Metric("mel distance", "", True, "difference of log mel spectrograms at several resolutions"),
    "stft": Metric("STFT distance", "", True, "difference of magnitude spectrograms at several resolutions"),
    "lsd_0_4k": Metric("LSD 0 to 4 kHz", "dB", True, "log-spectral distance in this band"),
    "lsd_4_8k": Metric("LSD 4 to 8 kHz", "dB", True, "log-spectral distance in this band"),
    "lsd_8_16k": Metric("LSD 8 to 16 kHz", "dB", True, "log-spectral distance in this band"),
    "lsd_16_24k": Metric("LSD 16 to 24 kHz", "dB", True, "log-spectral distance in this band"),
    "si_sdr": Metric("SI-SDR", "dB", False, "waveform against waveform: after a shift mostly a matter of phase"),
}


@dataclass(frozen=True)
class Score:
    """The metrics of one held-out clip under one system.

    Attributes:
        system: who made the audio: BASELINE, or the name of a stage.
        clip: the clip's name, the same for every system.
        recording: what was shifted to make the clip; clips of one recording are not independent.
        semitones: how far it was shifted.
        values: the metrics by name.
    """

    system: str
    clip: str
    recording: str
    semitones: float
    values: dict[str, float]


def compare(scores: Sequence[Score], system: str, metric: str) -> Difference | None:
    """Compare a system with the baseline on the clips where both have a finite figure; None where there is none.

    A clip counts in both means or in neither.
    """
    missing = float("nan")
    before = {s.clip: s.values.get(metric, missing) for s in scores if s.system == BASELINE}
    ours = [s for s in scores if s.system == system and s.clip in before]
    after = [s.values.get(metric, missing) for s in ours]
    return difference(after, [before[s.clip] for s in ours], [s.recording for s in ours])


def headline(scores: Sequence[Score], system: str) -> str:
    """Say in one sentence what the system did to the mel distance of the shifted clips, whichever way it went.

    Of fewer than FEWEST recordings it gives the figures and no verdict.
    """
    scores = shifted(scores)
    found = compare(scores, system, "mel")
    if found is None:
        return "No held-out clip could be measured."
    clips = len({s.clip for s in scores if s.system == system})
    recordings = len({s.recording for s in scores if s.system == system})
    whose = f"{clips} shifted clip{'s' * (clips != 1)} from {recordings} recording{'s' * (recordings != 1)}"
    percent = [100 * value / found.baseline for value in (found.change, found.low, found.high)]
    figures = f"from {found.baseline:.3f} (unrepaired) to {found.mean:.3f}, {percent[0]:+.1f} %"
    figures += f" (95 % interval {percent[1]:+.1f} to {percent[2]:+.1f} %)"
    figures += against(scores, system)
    match found.verdict(lower_is_better=True):
        case "better":
            return f"Better: on {whose} that training never saw, {system} brings the mel distance down {figures}."
        case "worse":
            return f"Worse: on {whose} that training never saw, {system} takes the mel distance up {figures}."
        case _:
            few = found.recordings < FEWEST
            said = f"Too few recordings to be sure ({FEWEST} are needed)" if few else "No clear change"
            return f"{said}: on {whose} that training never saw, {system} takes the mel distance {figures}."


def against(scores: Sequence[Score], system: str) -> str:
    """Name the other metrics that got worse: "; worse: STFT distance"; "" if there are none.

    Of fewer than FEWEST recordings nobody can be sure; those whose means went the wrong way are named as no more.
    """
    worse, moved = [], []
    for name, metric in METRICS.items():
        found = compare(scores, system, name)
        if name == "mel" or found is None:
            continue
        if found.verdict(metric.lower_is_better) == "worse":
            worse.append(metric.label)
        elif found.recordings < FEWEST and (found.change > 0) == metric.lower_is_better and found.change:
            moved.append(metric.label)
    told = (("worse", worse), ("went the wrong way", moved))
    return "".join(f"; {word}: {', '.join(labels)}" for word, labels in told if labels)


def shifted(scores: Sequence[Score]) -> list[Score]:
    """Leave out the clips that were not shifted: nothing is to be mended there, and their baseline is perfect."""
    return [score for score in scores if score.semitones != 0]


def shifts(scores: Sequence[Score]) -> list[float]:
    """List the shifts that occur, in semitones, lowest first."""
    return sorted({s.semitones for s in scores})
