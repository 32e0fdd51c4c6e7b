"""All runs that a model came out of: what each was told, what it wrote down, and what it went on from."""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gan.files import write_text
from gan.journal import read_journal
from recipes.voice48.credits import ShipError

MOST_LINES = 500
"""Training lines of a journal that are kept, evenly; its validations and verdicts are kept all."""
PLACE = re.compile(r"(?<![\w./:])/(?:[^\s/\"']+/)+")
"""An absolute path's folders: where things lay on the machine that trained is nobody's business."""

Words = dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """A run.

    Attributes:
        config: its config.yaml.
        journal: its lines.
        began: its provenance.json.
        origins: what it took ("" for its generator, or all) and of which run, by `Stage.name`.
    """

    config: Words
    journal: list[Words]
    began: Words
    origins: dict[str, tuple[str, str]]

    @property
    def name(self) -> tuple[str, str]:
        """Tell it from other runs, also where it was copied: when it began, and what it was told."""
        return str(self.began.get("started") or ""), json.dumps(self.config, default=str)


def lineage(run: Path) -> list[Stage]:
    """Give a run and all that it went back to, each once and after what it went on from: itself last.

    Raises:
        ShipError: a run is said to have begun with itself.
    """
    found: dict[tuple[str, str], Stage] = {}
    _follow(run, found, ())
    return list(found.values())


def _follow(run: Path, found: dict[tuple[str, str], Stage], after: tuple[Path, ...]) -> tuple[str, str] | None:
    if run.resolve() in after:
        raise ShipError(f"{run} is said to have begun with itself: look at its initialise.folder")
    config = read_words(run / "config.yaml")
    if not config:
        return None
    origins: dict[str, tuple[str, str]] = {}
    for part, named in _named(config):
        before = _run_of(Path(named))
        name = _follow(before, found, (*after, run.resolve())) if before else None
        if name:
            origins[part] = name
        else:
            print(f"ship: {named} is not at hand: how that run was trained is left out", file=sys.stderr)  # noqa: T201
    stage = Stage(config, read_journal(run), read_words(run / "provenance.json"), origins)
    found.setdefault(stage.name, stage)
    return stage.name


def _named(config: Words) -> Iterator[tuple[str, str]]:
    """Give what a run took of others: weights to start from, and trained ears."""
    begun = config.get("initialise") or {}
    if begun.get("folder"):
        yield "", begun["folder"]
    yield from (begun.get("elsewhere") or {}).items()
    for name, term in (config.get("terms") or {}).items():
        ear = ((term.get("init_args") or {}).get("ear") or {}).get("init_args") or {}
        if ear.get("folder"):
            yield f"the ear {name}", ear["folder"]


def _run_of(named: Path) -> Path | None:
    """Find the run, where a checkpoint within it is named."""
    places = [named, *named.parents][:4]
    return next((place for place in places if (place / "config.yaml").is_file()), None)


def keep(stages: list[Stage], folder: Path) -> None:
    """Write every run's configuration, journal and provenance: earlier ones' in folders 1, 2, ... in their order."""
    folder.mkdir()
    for number, stage in enumerate(stages, start=1):
        place = folder if stage is stages[-1] else folder / str(number)
        place.mkdir(exist_ok=True)
        began = {key: value for key, value in stage.began.items() if key not in ("command", "platform")}
        write_text(place / "config.yaml", PLACE.sub("", yaml.safe_dump(stage.config, sort_keys=False)))
        write_text(place / "provenance.json", PLACE.sub("", json.dumps(began, indent=1)) + "\n")
        lines = (PLACE.sub("", json.dumps(line)) + "\n" for line in _thinned(stage.journal))
        write_text(place / "journal.jsonl", "".join(lines))


def table(stages: list[Stage]) -> str:
    """Say in Markdown what each run did, for how long, and from where it went on."""
    if not stages:
        return "Nothing is known of its training."
    numbers = {stage.name: number for number, stage in enumerate(stages, start=1)}
    lines = ["| run | goes on from | steps | minutes | losses by weight |", "|---|---|---|---|---|"]
    for stage in stages:
        steps, seconds = (stage.journal[-1]["step"], stage.journal[-1]["seconds"]) if stage.journal else (0, 0.0)
        losses = ", ".join(f"{weight} {name.replace('_', ' ')}" for name, weight in _weights(stage.config))
        origins = ", ".join(f"{numbers[name]}{part and f' ({part})'}" for part, name in stage.origins.items()) or "-"
        share = f"{steps:,} of {stage.config['steps']:,}"
        lines.append(f"| {numbers[stage.name]} | {origins} | {share} | {seconds / 60:,.0f} | {losses} |")
    return "\n".join(lines)


def _weights(config: Words) -> Iterator[tuple[str, str]]:
    for name, weight in config["weights"].items():
        yield name, f"{weight:g}" if isinstance(weight, int | float) else "a ramp of"


def _thinned(journal: list[Words]) -> list[Words]:
    train = [entry for entry in journal if entry["kind"] == "train"]
    every = -(-len(train) // MOST_LINES) or 1
    kept = {id(entry) for entry in [*train[::every], *train[-1:]]}
    return [entry for entry in journal if entry["kind"] != "train" or id(entry) in kept]


def read_words(file: Path) -> Words:
    """Read YAML or JSON of a mapping; an empty one where there is none."""
    words = yaml.safe_load(file.read_text("utf-8")) if file.is_file() else {}
    return words if isinstance(words, dict) else {}
