"""Who the shipped restorer's recordings are owed to: a row each, and what their licences ask for."""

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from gan.files import write_text

ROOT = Path(__file__).parents[2]
COLUMNS = ("file", "seconds", "kind", "speaker_or_piece", "source", "licence")
TERMS = {
    "CC0": "no conditions: https://creativecommons.org/publicdomain/zero/1.0/",
    "CC-BY-3.0": "give credit and say what was changed: https://creativecommons.org/licenses/by/3.0/",
    "CC-BY-4.0": "give credit and say what was changed: https://creativecommons.org/licenses/by/4.0/",
    "MIT": "keep the notice with copies: https://opensource.org/license/mit",
}
Row = dict[str, str]


class ShipError(ValueError):
    """The model cannot be shipped; the message is one line that says what to do."""


def read_sources(file: Path) -> list[Row]:
    """Read the credits of the recordings.

    Raises:
        ShipError: there are none, or a row lacks something: nothing is shipped without its credit.
    """
    try:
        rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise ShipError(f"{file}: cannot be read as credits ({error}): name them with --sources") from error
    if not rows or not all(isinstance(row, dict) and all(isinstance(row.get(c), str) for c in COLUMNS) for row in rows):
        raise ShipError(f"{file}: every line has to be a recording's {', '.join(COLUMNS)}")
    if unknown := {row["licence"] for row in rows if _terms(row["licence"]) is None}:
        raise ShipError(f"{file}: recordings of other licences than {', '.join(TERMS)}: {', '.join(sorted(unknown))}")
    return rows


def keep_credits(rows: Sequence[Row], folder: Path) -> None:
    """Write credits.tsv, LICENCES.md, and LICENSE for the weights, into a folder."""
    with (folder / "credits.tsv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter="\t", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    shutil.copyfile(ROOT / "LICENSE", folder / "LICENSE")
    lines = [
        "# Licences of the recordings",
        "",
        "The weights are under the MIT licence (LICENSE). They were trained on:",
    ]
    for licence in dict.fromkeys(row["licence"] for row in rows):
        part = [row for row in rows if row["licence"] == licence]
        lines += ["", f"## {licence}", "", f"{len(part)} recording{'s' * (len(part) != 1)}; {_terms(licence)}", ""]
        # What needs credit is named one by one; of the rest its collection is enough.
        names = [row["source"] if licence.startswith("CC-BY") else _collection(row["source"]) for row in part]
        lines += [f"- {name}" for name in dict.fromkeys(names)]
    lines += [
        "",
        "Changed: mixed down to mono, resampled, cut, shifted; voices also played slower. Each is in credits.tsv.",
    ]
    write_text(folder / "LICENCES.md", "\n".join(lines) + "\n")


def _collection(source: str) -> str:
    """Shorten "github:owner/name:path" and "deb:package path (more)" to what the recordings are part of."""
    return ":".join(source.split(" ", maxsplit=1)[0].rstrip(",").split(":")[:2])


def _terms(licence: str) -> str | None:
    known = next((terms for name, terms in TERMS.items() if licence.startswith(name)), None)
    return known or (TERMS["CC0"] if "(CC0)" in licence else None)


def recordings(rows: Sequence[Row]) -> str:
    """Give a table of the recordings by kind, in Markdown."""
    lines = ["| kind | recordings | minutes | licences |", "|---|---|---|---|"]
    for kind in dict.fromkeys(row["kind"] for row in rows):
        part = [row for row in rows if row["kind"] == kind]
        licences = ", ".join(dict.fromkeys(row["licence"] for row in part))
        lines.append(f"| {kind} | {len(part)} | {sum(float(row['seconds']) for row in part) / 60:.0f} | {licences} |")
    return "\n".join(lines)
