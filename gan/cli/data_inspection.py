"""What `unshift inspect` and `unshift pairs --check` say of a folder of recordings or pairs."""

import argparse
import json
from pathlib import Path

from gan.audio import find_audio
from gan.cli.inspection import aligned
from gan.cli.worker import FAILED_IN_PART, say
from gan.data.manifest import MANIFEST
from gan.pairs.inspecting.doctor import examine_pairs, examine_recordings
from gan.pairs.inspecting.findings import Diagnosis
from gan.pairs.settings import PairSettings
from gan.pairs.shift import PairError
from gan.wording import plain
from generators import store
from generators.contract import ModelError

MOST_TOLD = 200
"""Findings that are told one by one; --json tells all."""


def holds_data(folder: Path) -> bool:
    """Say whether a folder is one of recordings or pairs; one that holds a model is not.

    Raises:
        ModelError: a folder holds neither.
    """
    if not folder.is_dir():
        return False
    try:
        store.resolve(folder)
    except ModelError as error:
        if (folder / MANIFEST).is_file() or find_audio(folder):
            return True
        wanted = "name a folder of recordings or pairs, or a run, a checkpoint or a generator's folder"
        raise ModelError(f"{folder} holds no audio and no model: {wanted}") from error
    return False


def inspect_data(parsed: argparse.Namespace) -> int:
    """Tell what is wrong with the recordings or pairs of `unshift inspect FOLDER`; 1 where something is."""
    return _tell(_examine(parsed.model), json_wanted=parsed.json)


def check(parsed: argparse.Namespace) -> int:
    """Do `unshift pairs SRC [DST] --check`: hear SRC, and the pairs in DST where there are some; nothing is made.

    Raises:
        AudioError, ManifestError: there is nothing to hear.
    """
    code = _tell(_examine(parsed.source, parsed.rate or PairSettings.sample_rate))
    if parsed.destination is None:
        return code
    if not (parsed.destination / MANIFEST).is_file():
        say(f"{parsed.destination} holds no pairs yet; without --check they are made")
        return code
    return max(code, _tell(_examine(parsed.destination)))


def require_destination(parsed: argparse.Namespace) -> None:
    """See that pairs have somewhere to go.

    Raises:
        PairError: DST was left out, as it may be beside --check alone.
    """
    if parsed.destination is None:
        raise PairError("DST is missing: name a folder for the pairs, or add --check to have the recordings looked at")


def _examine(folder: Path, rate: int | None = None) -> Diagnosis:
    if (folder / MANIFEST).is_file():
        return examine_pairs(folder)
    return examine_recordings(folder, rate=rate)


def _tell(found: Diagnosis, *, json_wanted: bool = False) -> int:
    shown = json.dumps(found.as_dict(), indent=2) if json_wanted else table(found)
    # A file's name need not be text.
    print(shown.encode(errors="backslashreplace").decode())  # noqa: T201
    return FAILED_IN_PART if found.findings else 0


def table(found: Diagnosis) -> str:
    """Give a diagnosis as lines of text: how much was heard, faults by kind, and each fault with what to do."""
    counts, faulty = found.counts(), found.faulty()
    rows = [
        (found.what, f"{found.items:,} in {plain(found.folder)}, {found.seconds / 60:.1f} min of sound in all"),
        ("faults", f"{len(found.findings):,} in {faulty:,} file{'s' * (faulty != 1)}" if found.findings else "none"),
        *((f"  {kind}", f"{count:,}") for kind, count in counts.items()),
    ]
    lines = [aligned(rows), *(plain(finding.line()) for finding in found.findings[:MOST_TOLD])]
    if more := len(found.findings) - MOST_TOLD:
        lines += [f"and {more:,} more: `unshift inspect {plain(found.folder)} --json` tells all"] * (more > 0)
    return "\n".join(lines)
