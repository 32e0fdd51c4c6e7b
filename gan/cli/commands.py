"""What the commands of `unshift` do, once the command line is read."""

import argparse
import json
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from typing import Any, cast

from gan.cli import data_inspection
from gan.cli.inspection import Inspection, aligned, inspect, inspect_file
from gan.cli.model_cards import read_facts
from gan.cli.networks import fetch_named, is_name, load_network
from gan.cli.worker import EXPECTED, FAILED_IN_PART, NOTHING_DONE, one_line, say, work_through
from gan.flow import Progress
from gan.pairs.make import PairSettings, make_pairs
from gan.pairs.shift import load_shifter
from gan.planning import Job, plan
from gan.restoring import restore_file, shift_file
from generators.contract import Coder, Mender, ModelError

__all__ = ["EXPECTED", "PAIR_OPTIONS", "one_line", "run"]

MOST_REASONS = 10
ELSEWHERE = {
    "encode": ("codec_commands", "encode"),
    "decode": ("codec_commands", "decode"),
    "trim": ("codec_commands", "trim_files"),
    "import": ("codec_commands", "import_weights"),
    "report": ("report_command", "report"),
    "evaluate": ("evaluating_commands", "evaluate"),
    "compare": ("comparing_commands", "compare"),
    "grid": ("comparing_commands", "grid"),
}
"""Modules and functions of the other commands; imported when asked for, since mending need not wait for them."""
PAIR_OPTIONS = {
    "source": "source",
    "destination": "destination",
    "semitones": "semitones",
    "direction": "direction",
    "shifter": "shifters",
    "rate": "sample_rate",
    "channels": "channels",
    "split_by": "split_by",
    "validation": "validation",
    "test": "test",
    "held_out": "held_out",
    "seed": "seed",
    "workers": "workers",
    "piece_seconds": "piece_seconds",
    "draw": "draw",
}
"""Options of `unshift pairs` and the fields of PairSettings that they are."""


def run(parsed: argparse.Namespace) -> int:
    """Do what the command line asks, and return the exit code.

    Raises:
        EXPECTED: it cannot be done; `one_line` says why.
    """
    here: dict[str, Callable[[argparse.Namespace], int]] = {
        "restore": _restore,
        "shift": _shift,
        "pairs": _pairs,
        "inspect": _inspect,
    }
    if parsed.name not in ("restore", "shift"):  # these look first whether there is anything to do
        fetch_named(parsed)
    if parsed.name in here:
        return here[parsed.name](parsed)
    room, name = ELSEWHERE[parsed.name]
    command: Callable[[argparse.Namespace], int] = getattr(import_module(f"gan.cli.{room}"), name)
    return command(parsed)


def _restore(parsed: argparse.Namespace) -> int:
    work = plan(parsed.input, parsed.output, overwrite=parsed.overwrite)
    mender = _mender(parsed)

    def restore(job: Job, told: Progress) -> list[str]:
        return restore_file(job, mender, parsed.chunk_seconds, told, parsed.strength)

    return work_through(work, restore, "restored")


def _shift(parsed: argparse.Namespace) -> int:
    work = plan(parsed.input, parsed.output, overwrite=parsed.overwrite)
    shifter = load_shifter(parsed.shifter)
    # What is shifted by nothing needs no mending.
    mender = None if parsed.no_restore or not parsed.semitones else _mender(parsed)
    if mender and hasattr(mender, "known_shifted"):
        mender.known_shifted = True

    def shift(job: Job, told: Progress) -> list[str]:
        return shift_file(job, shifter, parsed.semitones, mender, parsed.chunk_seconds, told)

    return work_through(work, shift, "shifted")


def _mender(parsed: argparse.Namespace) -> Mender:
    fetch_named(parsed)
    network, _ = load_network(parsed, shipped=True)
    if not isinstance(network, Mender):
        raise ModelError(f"{parsed.model}: a {type(network).__name__} does not map audio to audio of the same length")
    if isinstance(network, Coder):
        say(f"{parsed.model} is a codec: what comes out is what it would encode and decode, nothing is mended")
    return cast(Mender, network)


def _pairs(parsed: argparse.Namespace) -> int:
    if parsed.check:
        return data_inspection.check(parsed)
    data_inspection.require_destination(parsed)
    given = {name: getattr(parsed, option) for option, name in PAIR_OPTIONS.items()}
    # What was not asked for keeps the default of PairSettings; lists become tuples.
    chosen: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items() if v is not None}
    report = make_pairs(PairSettings(**chosen))
    for remark in report.remarks:
        say(remark)
    for origin, reason in report.left_out[:MOST_REASONS]:
        say(f"left out {origin}: {reason}")
    if more := report.left_out[MOST_REASONS:]:
        say(f"left out {len(more)} more: see left_out.jsonl in {parsed.destination}")
    splits = Counter(record.split for record in report.records)
    parts = ", ".join(f"{splits[name]} {name}" for name in ("train", "validation", "test"))
    earlier = f", {report.kept} from before" if report.kept else ""
    count = len(report.records)
    say(f"{parsed.destination} holds {count} pair{'s' * (count != 1)} ({parts}): {report.made} made now{earlier}")
    return 0 if report.records else NOTHING_DONE


def _hear(parsed: argparse.Namespace) -> tuple[dict[str, float], int]:
    from gan.cli.codec_commands import hear_and_draw  # codecs' parts, which take a second

    return hear_and_draw(parsed)


def _inspect(parsed: argparse.Namespace) -> int:
    if parsed.model.is_file() and (parsed.on or parsed.picture):
        raise ModelError(f"{parsed.model}: is a file; --on and --picture want a codec's folder in its place")
    if not (parsed.model.exists() or is_name(parsed.model)):
        raise ModelError(f"{parsed.model} is not there: name a run, a model's or audio folder, or an encoded file")
    if not (parsed.on or parsed.picture) and data_inspection.holds_data(parsed.model):
        return data_inspection.inspect_data(parsed)
    found = inspect_file(parsed.model) if parsed.model.is_file() else inspect(parsed.model, trust=parsed.trust)
    heard, failed = _hear(parsed) if parsed.on or parsed.picture else ({}, 0)
    told = read_facts(found.folder) if isinstance(found, Inspection) else None
    if parsed.json:
        more = (told.as_dict() if told else {}) | ({"heard": heard} if heard else {})
        print(json.dumps(found.as_dict() | more, indent=2))  # noqa: T201
    else:
        lines = [
            found.table(*(told.lines() if told else ())),
            *(("its card's figures:", *told.figures) if told and told.figures else ()),
        ]
        if heard and isinstance(found, Inspection) and found.coding:
            from gan.cli.hearing import heard_lines

            lines += [f"on {parsed.on}, codes alone, each stream:", aligned(heard_lines(heard, found.coding))]
        # A file's name need not be text.
        print("\n".join(lines).encode(errors="backslashreplace").decode())  # noqa: T201
    return FAILED_IN_PART if failed else 0
