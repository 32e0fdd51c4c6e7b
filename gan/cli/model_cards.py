"""What a model's own card says of it: the README.md in its folder, as on the Hugging Face hub."""

from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any

import yaml

from gan.files import refuse_pipe
from gan.wording import plain
from generators.store import WEIGHTS

CARD = "README.md"
LONGEST = 200_000
"""Letters of a card that are read."""
MOST_FIGURES = 100
"""Lines of figures that are shown."""
FIGURES = ("<!-- figures -->", "<!-- /figures -->")
"""What stands before and after the figures, on lines of their own."""


@dataclass(frozen=True)
class CardFacts:
    """A model's fingerprint, and what its card says; the card is its author's word.

    Attributes:
        weights_sha256: of the weights' file.
        licence: "" where the card names none, or there is no card.
        figures: the card's lines of figures, fit for a terminal.
    """

    weights_sha256: str
    licence: str = ""
    figures: tuple[str, ...] = ()

    def lines(self) -> list[tuple[str, str]]:
        """Give names and values for a table."""
        return [("licence", self.licence)] * bool(self.licence) + [("SHA-256 of weights", self.weights_sha256)]

    def as_dict(self) -> dict[str, Any]:
        """Give plain values, for JSON."""
        return {"weights_sha256": self.weights_sha256, "licence": self.licence, "figures": list(self.figures)}


def read_facts(folder: Path) -> CardFacts:
    """Read a generator's folder; a card that is missing or damaged says nothing.

    Raises:
        OSError: the weights cannot be read.
    """
    with (folder / WEIGHTS).open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    try:
        refuse_pipe(folder / CARD)
        with (folder / CARD).open(encoding="utf-8", errors="replace") as opened:
            text = opened.read(LONGEST)
    except OSError:
        return CardFacts(digest)
    return CardFacts(digest, _licence(text), tuple(_figures(text)))


def _licence(text: str) -> str:
    head = text.split("\n---", 1)[0].removeprefix("---") if text.startswith("---") else ""
    try:
        words = yaml.safe_load(head)
    except (ValueError, RecursionError, yaml.YAMLError):
        return ""
    found = words.get("license") if isinstance(words, dict) else None
    return plain(found) if isinstance(found, str) else ""


def _figures(text: str) -> list[str]:
    _, _, rest = text.partition(FIGURES[0])
    inner, end, _ = rest.partition(FIGURES[1])
    lines = inner.strip().splitlines() if end else []
    return [line if line.isprintable() else plain(line) for line in lines[:MOST_FIGURES]]
