"""The demo's page: one self-contained HTML file with players, pictures and figures."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

from scores import BASELINE, METRICS, Score, compare, headline, shifted, shifts

TEMPLATE = Path(__file__).with_name("page.html")
ATTRIBUTION = "https://creativecommons.org/licenses/by/4.0/"


@dataclass(frozen=True)
class Player:
    """A sound to press play on: a label, the bytes of a FLAC file, and a line about it."""

    label: str
    flac: bytes
    note: str = ""


@dataclass(frozen=True)
class Example:
    """A held-out clip: its title, the players (original, shifted, restored) and their spectrograms as PNG."""

    title: str
    players: tuple[Player, ...]
    spectrograms: bytes


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
        examples: clips to listen to.
        scores: the metrics of every held-out clip, of the baseline and of every stage.
        stages: names of the stages, in order; the last one is the one in the headline.
        curves: the loss curves as PNG, by colour mode ("light", "dark").
        credits: the clips that were used.
        facts: short statements about this run (times, sizes), name and value.
    """

    examples: Sequence[Example]
    scores: Sequence[Score]
    stages: Sequence[str]
    curves: dict[str, bytes]
    credits: Sequence[Credit]
    facts: Sequence[tuple[str, str]]


def render(content: Content) -> str:
    """Build the page; every figure and sentence on it follows from the content."""
    last = content.stages[-1]
    found = compare(shifted(content.scores), last, "mel")
    # Template, not format: the style sheet is full of braces.
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        headline=escape(headline(content.scores, last)),
        mood=found.verdict(METRICS["mel"].lower_is_better) if found else "unclear",
        examples="\n".join(_example(example) for example in content.examples),
        table=_table(content),
        by_shift=_by_shift(content),
        curves=_curves(content.curves),
        facts="\n".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in content.facts),
        meanings="\n".join(_meaning(name) for name in _columns(content)),
        credits="\n".join(_credit(credit) for credit in content.credits),
    )


def read_credits(licences: str, files: set[str]) -> list[Credit]:
    """Take the rows of these files from the clips' licence table (Markdown: file, s, Hz, bytes, licence, source).

    Raises:
        ValueError: a file that has no row; nothing is shown without its credit.
    """
    rows = [[cell.strip() for cell in line.strip("| \n").split("|")] for line in licences.splitlines() if "|" in line]
    found = {row[0]: Credit(row[0], row[4], row[5]) for row in rows if len(row) == 6 and row[0] in files}
    if missing := files - found.keys():
        raise ValueError(f"no licence is written down for {', '.join(sorted(missing))}")
    return [found[name] for name in sorted(found)]


def _embed(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _example(example: Example) -> str:
    players = "\n".join(
        f"<figure><figcaption><b>{escape(player.label)}</b> <i>{escape(player.note)}</i></figcaption>"
        f'<audio controls preload="metadata" src="{_embed(player.flac, "audio/flac")}"></audio></figure>'
        for player in example.players
    )
    picture = _embed(example.spectrograms, "image/png")
    alternative = escape(f"Spectrograms of {example.title}: {', '.join(p.label for p in example.players)}")
    return (
        f'<article><h3>{escape(example.title)}</h3><div class="players">{players}</div>'
        f'<img class="card" src="{picture}" alt="{alternative}"></article>'
    )


def _columns(content: Content) -> list[str]:
    measured = {name for score in content.scores for name in score.values}
    return [name for name in METRICS if name in measured]


def _table(content: Content) -> str:
    columns = _columns(content)
    heads = "".join(f"<th>{escape(METRICS[name].label)}<small>{_direction(name)}</small></th>" for name in columns)
    rows = [_row(shifted(content.scores), system, columns) for system in (BASELINE, *content.stages)]
    return f"<table><thead><tr><th>system</th>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _direction(name: str) -> str:
    better = "lower is better" if METRICS[name].lower_is_better else "higher is better"
    return escape(", ".join(filter(None, (METRICS[name].unit, better))))


def _row(scores: Sequence[Score], system: str, columns: Sequence[str]) -> str:
    cells = []
    for name in columns:
        found = compare(scores, system, name)
        if found is None:
            cells.append("<td>n/a</td>")
        elif system == BASELINE:
            cells.append(f"<td>{found.mean:.3f}</td>")
        else:
            verdict = found.verdict(METRICS[name].lower_is_better)
            between = f"{found.low:+.3f} to {found.high:+.3f}"
            small = f'<small class="{verdict}">{found.change:+.3f} {verdict}</small><small>{between}</small>'
            cells.append(f"<td>{found.mean:.3f}{small}</td>")
    mark = ' class="baseline"' if system == BASELINE else ""
    return f'<tr{mark}><th scope="row">{escape(system)}</th>{"".join(cells)}</tr>'


def _by_shift(content: Content) -> str:
    rows = []
    for semitones in shifts(content.scores):
        chosen = [score for score in content.scores if score.semitones == semitones]
        before = compare(chosen, BASELINE, "mel")
        if before is None:
            continue
        after = [compare(chosen, stage, "mel") for stage in content.stages]
        cells = "".join(f"<td>{found.mean:.3f}</td>" if found else "<td>n/a</td>" for found in (before, *after))
        clips = len({score.clip for score in chosen})
        rows.append(f'<tr><th scope="row">{f"{semitones:+g}" if semitones else "0"}</th><td>{clips}</td>{cells}</tr>')
    heads = "".join(f"<th>{escape(system)}</th>" for system in (BASELINE, *content.stages))
    return (
        f"<table><thead><tr><th>semitones, there and back</th><th>clips</th>{heads}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _curves(curves: dict[str, bytes]) -> str:
    dark = f'<source media="(prefers-color-scheme: dark)" srcset="{_embed(curves["dark"], "image/png")}">'
    light = f'<img src="{_embed(curves["light"], "image/png")}" alt="Training losses and validation mel distance">'
    return f"<picture>{dark}{light}</picture>"


def _meaning(name: str) -> str:
    return f"<dt>{escape(METRICS[name].label)}</dt><dd>{escape(METRICS[name].meaning)}</dd>"


def _credit(credit: Credit) -> str:
    licence = escape(credit.licence)
    if credit.licence.startswith("CC-BY"):
        licence = f'<a href="{ATTRIBUTION}">{licence}</a>, Music Technology Group, UPF'
    return f"<li><code>{escape(credit.file)}</code> {licence}; {escape(credit.source)}</li>"
