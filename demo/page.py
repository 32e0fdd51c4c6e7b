"""The demo's page: what `gan.report` makes of it, with the demo's own sentences and the clips' credits."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import PurePosixPath

from scores import BASELINE, METRICS, Score, compare, headline, shifted

from gan.evaluating.measures import CATALOGUE
from gan.evaluating.results import Row
from gan.evaluating.statistics import FEWEST
from gan.report.page import Clip, Page, Section, curves, facts, within
from gan.report.pictures import Curve
from gan.report.tables import figures

ATTRIBUTION = "https://creativecommons.org/licenses/by/4.0/"
# By the folder that a recording lies in: what is spoken and what is sung are never pooled.
CORPORA = {"sms_female": "speech", "sms_male": "speech", "vignesh": "singing"}
OTHER = "other recordings"
FEW = "So few recordings show that the parts fit together, not how good the model is."
LEAD = (
    "Clips are shifted by a DSP shifter and back again, three short stages of training learn to undo the damage, and "
    "the result is heard and measured on voices that training never met, beside what the restorer makes of them that "
    "comes with unshift."
)
STAGES = (
    "Stage 1 learns from spectra and waveforms, stage 2 also from WavLM and DAC features, stage 3 against "
    "discriminators. Nothing is downloaded here, so the tiny stage 2 hears with random weights: it shows that parts "
    "fit, not what good ears bring."
)
CREDITS = "Excerpts of at most six seconds, with 10 ms fades, some peak-normalised or mixed down to mono; here also "
CREDITS += "shifted and restored."


@dataclass(frozen=True)
class Credit:
    """Where a clip comes from: its file name, licence and source."""

    file: str
    licence: str
    source: str


@dataclass(frozen=True)
class Content:
    """Everything the page shows.

    Attributes:
        clips: clips to listen to.
        scores: the metrics of every held-out clip, of the baseline and of every stage.
        stages: names of the stages, in order; the headline is about the last one.
        curves: what the stages' journals say.
        card: of the model.
        credits: the clips that were used.
        times: the steps of this run and what they took.
        shipped: the name of the system that was trained elsewhere, "" for none.
        about: its own card, a README.md with front matter.
    """

    clips: Sequence[Clip]
    scores: Sequence[Score]
    stages: Sequence[str]
    curves: Sequence[Curve]
    card: Section
    credits: Sequence[Credit]
    times: Sequence[tuple[str, str]]
    shipped: str = ""
    about: str = ""


def compose(content: Content) -> Page:
    """Put the page together; every figure and sentence on it follows from the content."""
    last, shipped = content.stages[-1], [content.shipped] if content.shipped else []
    credited = "\n".join(_credit(credit) for credit in content.credits)
    about = content.about.removeprefix("---").partition("\n---\n")[2] or content.about
    page = Page(
        title="unshift: a tiny model against the damage of pitch shifting",
        lead=LEAD,
        headline=" ".join(sentences(content.scores, last, *shipped)),
        mood=mood(content.scores, last),
        remarks=["Every clip was held out."],
        sections=[
            Section(
                "Figures on all held-out clips",
                figures(rows(content.scores), CATALOGUE, [BASELINE, *content.stages, *shipped]),
            ),
            Section("Training", f"<p>{escape(STAGES)}</p>{curves(content.curves)}"),
            content.card,
            *(Section(f"{name}, which comes with unshift", _card(about)) for name in shipped),
            Section("This run", facts(content.times)),
            Section("Clips and their licences", f"<p>{escape(CREDITS)}</p><ul>{credited}</ul>"),
        ],
    )
    return within(page, content.clips)


def corpus_of(score: Score) -> str:
    """Name what a score may be pooled with."""
    return CORPORA.get(PurePosixPath(score.recording).parts[0], OTHER)


def by_corpus(scores: Sequence[Score]) -> dict[str, list[Score]]:
    """Sort scores by corpus."""
    return {
        corpus: [score for score in scores if corpus_of(score) == corpus]
        for corpus in sorted({corpus_of(score) for score in scores}, reverse=True)
    }


def sentences(scores: Sequence[Score], *systems: str) -> list[str]:
    """Say what the systems did, a sentence a corpus, and how little a few recordings say."""
    parts = by_corpus(scores)
    said = [f"{corpus.capitalize()}: {headline(part, one)}" for one in systems for corpus, part in parts.items()]
    few = any(len({score.recording for score in part}) < FEWEST for part in parts.values())
    return [*said, *([FEW] if few else [])]


def mood(scores: Sequence[Score], system: str) -> str:
    """Give the verdict of all corpora: "worse" where any got worse, "better" where every one got better."""
    found = [compare(shifted(part), system, "mel") for part in by_corpus(scores).values()]
    verdicts = {one.verdict(METRICS["mel"].lower_is_better) if one else "unclear" for one in found}
    return "worse" if "worse" in verdicts else "better" if verdicts == {"better"} else "unclear"


def risen(scores: Sequence[Score], system: str) -> list[str]:
    """Name the corpora whose mean mel distance did not go down, surely or not, or could not be measured."""
    found = {corpus: compare(shifted(part), system, "mel") for corpus, part in by_corpus(scores).items()}
    return [corpus for corpus, one in found.items() if one is None or one.change >= 0]


def rows(scores: Sequence[Score]) -> list[Row]:
    """Give the scores as results have them."""
    return [
        Row(
            file=score.clip,
            corpus=corpus_of(score),
            recording=score.recording,
            speaker="",
            semitones=score.semitones,
            shifter="Signalsmith",
            direction="there_and_back",
            system=score.system,
            values=score.values,
        )
        for score in scores
    ]


def read_credits(licences: str, files: set[str]) -> list[Credit]:
    """Take the rows of these files from the clips' licence table (Markdown: file, s, Hz, bytes, licence, source).

    Raises:
        ValueError: a file that has no row; nothing is shown without its credit.
    """
    lines = [[cell.strip() for cell in line.strip("| \n").split("|")] for line in licences.splitlines() if "|" in line]
    found = {line[0]: Credit(line[0], line[4], line[5]) for line in lines if len(line) == 6 and line[0] in files}
    if missing := files - found.keys():
        raise ValueError(f"no licence is written down for {', '.join(sorted(missing))}")
    return [found[name] for name in sorted(found)]


def _card(about: str) -> str:
    return f'<pre tabindex="0">{escape(about.strip())}</pre>'


def _credit(credit: Credit) -> str:
    licence = escape(credit.licence)
    if credit.licence.startswith("CC-BY"):
        licence = f'<a href="{ATTRIBUTION}">{licence}</a>, Music Technology Group, UPF'
    return f"<li><code>{escape(credit.file)}</code> {licence}; {escape(credit.source)}</li>"
