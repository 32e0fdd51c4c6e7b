"""The model card: what a model is, what it was trained on, and under which terms, as far as that is known."""

import json
import os
from hashlib import file_digest
from html import escape
from pathlib import Path
from typing import Any

import yaml

from gan.cli.inspection import inspect
from gan.data.manifest import LONGEST_PATH, MANIFEST, ManifestError, PairRecord, read_manifest
from gan.files import refuse_pipe
from gan.pairs.settings import SETTINGS
from gan.report.page import Section, facts
from generators.contract import ModelError
from generators.store import WEIGHTS

LICENCES = "LICEN[CS]E*"
LONGEST = 20_000  # letters of a licence
DEEPEST = 4  # of facts within facts


def model_card(model: Path, pairs: Path | None = None, *, trust: bool = False) -> Section:
    """Describe a model: its network and size, the fingerprint of its weights, its training, data and licences.

    Args:
        model: a run, a checkpoint or a generator's folder; a run also tells when and how it was trained.
        pairs: the folder of pairs it was trained on; None for the one that the run names.
        trust: see generators.store.load.

    Returns:
        A section; what cannot be found out is said to be unknown.
    """
    run = read_words(model / "config.yaml")
    data = run.get("data")
    # A run that was carried elsewhere names pairs that are not there.
    folder = pairs or (as_place(data.get("pairs")) if isinstance(data, dict) else None)
    parts = [_network(model, trust=trust)]
    parts.append(f"<h3>Training</h3>{facts(_training(model, run))}" if run else "")
    known = data_facts(folder) if folder else "<p>Not known: no run, so no pairs are named.</p>"
    parts.append(f"<h3>Data</h3>{known}")
    return Section("Model card", "\n".join([*parts, _licences(model, folder)]))


def data_facts(pairs: Path) -> str:
    """Describe a folder of pairs, as HTML."""
    try:
        records = read_manifest(pairs)
    except ManifestError as error:
        return f"<p>Not at hand: {escape(str(error))}</p>"
    splits: dict[str, list[PairRecord]] = {}
    for record in records:
        splits.setdefault(record.split, []).append(record)
    with (pairs / MANIFEST).open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    rows = [(name, f"{len(part)} pairs, {sum(r.seconds for r in part) / 60:.1f} min") for name, part in splits.items()]
    rows += [
        ("speakers trained on", _listed(sorted({r.speaker for r in records if r.split == "train"}))),
        ("shifts, semitones", _listed([f"{shift:+g}" for shift in sorted({r.semitones for r in records})])),
        ("shifters", _listed(sorted({r.shifter for r in records}))),
        ("direction", _listed(sorted({r.direction.replace("_", " ") for r in records}))),
        ("manifest's SHA-256", digest),
    ]
    return facts(rows)


def read_words(file: Path) -> dict[str, Any]:
    """Read a JSON or YAML file of names and values; none where it is missing or damaged."""
    try:
        refuse_pipe(file)
        words = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return {}
    return words if isinstance(words, dict) else {}


def as_place(value: object) -> Path | None:
    """Give what a run or results call a path, which come from anyone; None where no system has such a one."""
    if not isinstance(value, str) or not value or len(value) > LONGEST_PATH:
        return None
    try:
        return None if b"\0" in os.fsencode(value) else Path(value)
    except UnicodeEncodeError:
        return None


def _network(model: Path, *, trust: bool) -> str:
    try:
        found = inspect(model, trust=trust)
        with (found.folder / WEIGHTS).open("rb") as file:
            digest = file_digest(file, "sha256").hexdigest()
    except (ModelError, OSError) as error:
        return f"<p>The network is not at hand: {escape(' '.join(str(error).split()))}</p>"
    # Its first line is where it lies on this machine.
    table = found.table().split("\n", 1)[1]
    return f'<pre tabindex="0">{escape(table)}</pre>' + facts([("weights' SHA-256", digest)])


def _training(model: Path, run: dict[str, Any]) -> list[tuple[str, str]]:
    began = read_words(model / "provenance.json")
    versions = began.get("versions")
    rows = [
        ("steps", _word(run.get("steps"))),
        ("losses", _listed(_words(run.get("weights")))),
        ("began", _word(began.get("started"))),
        ("commit", _word(began.get("commit"))),
        ("devices", _listed(_words(began.get("devices")))),
        ("versions", _listed([f"{k} {_word(v)}" for k, v in versions.items()]) if isinstance(versions, dict) else ""),
        ("manifest's SHA-256 at its start", _word(began.get("manifest"))),
    ]
    return [(name, value) for name, value in rows if value]


def _word(value: object) -> str:
    """Give a word or a number as text, anything else as none."""
    return str(value) if isinstance(value, str | int | float) else ""


def _words(value: object) -> list[str]:
    """Give the words of a list, or the names of a mapping."""
    return [_word(one) for one in value if _word(one)] if isinstance(value, list | dict) else []


def _licences(model: Path, pairs: Path | None) -> str:
    recordings = as_place(read_words(pairs / SETTINGS).get("source")) if pairs else None
    folders = [("model", model), ("pairs", pairs), ("recordings", recordings)]
    found = [(f"{what}: {file.name}", file) for what, folder in folders if folder for file in _files(folder)]
    if not found:
        return "<h3>Licences</h3><p>Not known: no LICENCE file lies beside the model, the pairs or the recordings.</p>"
    texts = (
        f'<details><summary>{escape(name)}</summary><pre tabindex="0">{escape(_text(file))}</pre></details>'
        for name, file in found
    )
    return f"<h3>Licences</h3>{''.join(texts)}"


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob(LICENCES) if file.is_file()) if folder.is_dir() else []


def _text(file: Path) -> str:
    with file.open(encoding="utf-8", errors="replace") as opened:
        return opened.read(LONGEST)


def _listed(words: list[str], most: int = 12) -> str:
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def as_text(value: Any, depth: int = 0) -> str:
    """Give a fact of JSON as text on one line."""
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ", ".join(value) or "none"
    if isinstance(value, dict):
        if depth >= DEEPEST:
            return "and more"
        return ", ".join(f"{name} {as_text(one, depth + 1)}" for name, one in value.items()) or "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
