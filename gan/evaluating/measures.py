"""Every measure there is, by name. To add one: write a Judge, and name it in JUDGES."""

from collections.abc import Collection, Sequence
from importlib.util import find_spec

from gan.evaluating.contract import Judge, Measure, MeasureError, Take
from gan.evaluating.listeners import Aesthetics, DistillMos, Dnsmos, Pesq, Stoi, VisqolAudio, VisqolSpeech
from gan.evaluating.pitches import PitchErrors
from gan.evaluating.spectra import Envelope, Spectra

__all__ = ["CATALOGUE", "JUDGES", "Measure", "MeasureError", "Panel", "choose"]

JUDGES: tuple[type[Judge], ...] = (
    Spectra,
    Envelope,
    PitchErrors,
    VisqolAudio,
    VisqolSpeech,
    Pesq,
    Stoi,
    DistillMos,
    Dnsmos,
    Aesthetics,
)
CATALOGUE: dict[str, Measure] = {name: measure for judge in JUDGES for name, measure in judge.measures.items()}


def choose(asked: Sequence[str] | None, *, speech: bool = True) -> tuple[list[str], list[str]]:
    """Choose measures.

    Args:
        asked: their names; None for all that are installed and download nothing.
        speech: whether those that are for speech alone are among all.

    Returns:
        The names in the catalogue's order, and a remark for the user for each extra that is not installed.

    Raises:
        MeasureError: an unknown name, or one that was asked for and is not installed.
    """
    if unknown := [name for name in asked or () if name not in CATALOGUE]:
        raise MeasureError(f"no measure {unknown[0]!r}: one of {', '.join(CATALOGUE)}")
    chosen: list[str] = []
    absent: dict[str, list[str]] = {}
    for judge in JUDGES:
        names = [name for name in judge.measures if _wanted(name, judge, asked, speech=speech)]
        if names and not _installed(judge):
            absent.setdefault(judge.extra, []).extend(names)
        else:
            chosen += names
    remarks = [
        f"not installed: {', '.join(CATALOGUE[name].label for name in names)} (pip install 'unshift[{extra}]')"
        for extra, names in absent.items()
    ]
    if asked is not None and remarks:
        raise MeasureError("; ".join(remarks))
    return chosen, remarks


def _wanted(name: str, judge: type[Judge], asked: Sequence[str] | None, *, speech: bool) -> bool:
    if asked is not None:
        return name in asked
    return judge.unasked and (speech or not judge.measures[name].speech)


def _installed(judge: type[Judge]) -> bool:
    return all(find_spec(package) is not None for package in judge.packages)


class Panel:
    """The judges of some measures, ready to judge.

    Args:
        names: of the catalogue.

    Raises:
        MeasureError: what one of them needs cannot be had.
    """

    def __init__(self, names: Collection[str]) -> None:
        self.names = set(names)
        self.judges: list[Judge] = []
        for kind in JUDGES:
            if self.names & kind.measures.keys():
                try:
                    self.judges.append(kind())
                except (ImportError, OSError) as error:
                    reason = " ".join(str(error).split())
                    asked = ", ".join(kind.measures)
                    raise MeasureError(f"{asked} cannot be measured ({reason}): leave it out of --measures") from error

    def measure(self, take: Take, *, speech: bool) -> tuple[dict[str, float], list[str]]:
        """Measure all that fits.

        Args:
            take: what is judged.
            speech: whether it is speech.

        Returns:
            The finite figures by name, and what went wrong.
        """
        fits = {
            name
            for name in self.names
            if (speech or not CATALOGUE[name].speech) and (take.has_reference or not CATALOGUE[name].reference)
        }
        values: dict[str, float] = {}
        complaints = []
        for judge in self.judges:
            if names := fits & judge.measures.keys():
                try:
                    found = judge(take)
                # A judge is mostly somebody else's code: one that fails is not worth the other figures.
                except Exception as error:
                    cause = " ".join(f"{type(error).__name__}: {error}".split())
                    complaints.append(f"{type(judge).__name__} failed ({cause})")
                    continue
                values |= {name: found[name] for name in judge.measures if name in names & found.keys()}
        return {name: value for name, value in values.items() if abs(value) < float("inf")}, complaints
