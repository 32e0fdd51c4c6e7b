"""The unshift command: restore, shift, encode, decode, trim, import, pairs, inspect, report, evaluate, compare, grid.

Only the standard library is imported at the top, so that `unshift --help` answers at once.
"""

import argparse
import math
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from gan.cli import help as words
from gan.cli.comparing_options import add_compare, add_grid, model

REFUSED = 2
LONGEST = 10_000_000  # seconds: four months of sound
TERMINATED = 128 + signal.SIGTERM
INTERRUPTED = 128 + signal.SIGINT


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one line, and that guesses at no shortened option."""

    def __init__(self, **words: Any) -> None:
        super().__init__(allow_abbrev=False, **words)

    def error(self, message: str) -> NoReturn:
        """Print the complaint on one line and leave with exit code 2."""
        self.exit(REFUSED, f"unshift: {' '.join(message.split())} (see `{self.prog} --help`)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code. What a user can put right becomes one line on stderr."""
    parsed = parser().parse_args(arguments)
    # A terminated command cleans up behind itself like an interrupted one.
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        return _obey(parsed)
    except KeyboardInterrupt:
        print("unshift: interrupted", file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    except BrokenPipeError:
        # Who read our output has gone (`unshift inspect ... | head -1`): Python must not flush to it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    finally:
        signal.signal(signal.SIGTERM, before)


def _obey(parsed: argparse.Namespace) -> int:
    from gan.cli import commands

    try:
        code = commands.run(parsed)
        sys.stdout.flush()
    except commands.EXPECTED as error:
        if parsed.debug or isinstance(error, BrokenPipeError):
            raise
        print(f"unshift: {commands.one_line(error)}", file=sys.stderr)  # noqa: T201
        return REFUSED
    return code


def parser() -> Parser:
    """Build the command line."""
    top = Parser(
        prog="unshift", description=words.ABOUT, epilog=words.COURSE, formatter_class=argparse.RawTextHelpFormatter
    )
    top.add_argument("--version", action=Version, help="print the version")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    restore = _command(commands, "restore", "mend shifted audio", words.RESTORE, words.RESTORE_EXAMPLES)
    strength = "how much of the mending is taken, 0 to 1 (default: 1); 0 gives the input back, bit for bit"
    restore.add_argument("--strength", type=_strength, default=1.0, metavar="S", help=strength)
    shift = _command(commands, "shift", "shift the pitch and mend the result", words.SHIFT, words.SHIFT_EXAMPLES)
    shift.add_argument("--semitones", type=_semitones, required=True, help="how far; 12 is an octave up, -12 down")
    shift.add_argument("--shifter", default="Signalsmith", help=f"the DSP shifter {words.SHIFTERS}")
    shift.add_argument("--no-restore", action="store_true", help="the plain shifter: mend nothing")
    coders = _add_coding(commands)
    for command, otherwise in ((restore, words.SHIPPED), (shift, words.SHIPPED), *((one, "") for one in coders)):
        _add_files(command)
        _add_network(command, otherwise)
    pairs = _command(commands, "pairs", "make training pairs", words.PAIRS, words.PAIRS_EXAMPLES)
    _add_pairs(pairs)
    adopt = _command(commands, "import", "read published DAC weights", words.IMPORT, words.IMPORT_EXAMPLES)
    adopt.add_argument("input", type=Path, metavar="WEIGHTS", help="a .pth file of descript-audio-codec, or a folder")
    adopt.add_argument("output", type=Path, metavar="MODEL", help="the model's folder to write")
    adopt.add_argument("--overwrite", action="store_true", help="replace a model that is there already")
    inspect = _command(
        commands,
        "inspect",
        "say what a model is, or what is wrong with a folder of audio",
        words.INSPECT,
        words.INSPECT_EXAMPLES,
    )
    inspect.add_argument("model", type=model, metavar="MODEL|FOLDER", help=words.INSPECTED)
    inspect.add_argument("--json", action="store_true", help="as JSON")
    on = "encode this file or folder with the codec, and say how it uses its codes: entropy, bitrate, components"
    inspect.add_argument("--on", type=Path, metavar="AUDIO", help=on)
    picture = "draw the codebooks to this file, where they lie on a grid (self-organising maps)"
    inspect.add_argument("--picture", type=Path, metavar="FILE", help=picture)
    inspect.set_defaults(device="auto")
    _add_report(commands)
    judge = _command(commands, "evaluate", "measure a model on pairs", words.EVALUATE, words.EVALUATE_EXAMPLES)
    _add_evaluation(judge)
    add_compare(_command(commands, "compare", "compare two models", words.COMPARE, words.COMPARE_EXAMPLES))
    add_grid(_command(commands, "grid", "lay a model out by shifter and shift", words.GRID, words.GRID_EXAMPLES))
    for command in (restore, shift, *coders, inspect, judge):
        trust = "load a network class from outside the generators package, running its code"
        command.add_argument("--trust", action="store_true", help=trust)
    return top


def _command(commands: Any, name: str, summary: str, about: str, examples: str) -> Parser:
    form = argparse.RawDescriptionHelpFormatter
    command: Parser = commands.add_parser(name, help=summary, description=about, epilog=examples, formatter_class=form)
    command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    command.set_defaults(name=name)
    return command


def _add_coding(commands: Any) -> tuple[Parser, Parser]:
    """Add encode, decode and trim; the first two need a network."""
    encode = _command(commands, "encode", "encode audio with a codec", words.ENCODE, words.ENCODE_EXAMPLES)
    decode = _command(commands, "decode", "decode encoded audio", words.DECODE, words.DECODE_EXAMPLES)
    trim = _command(commands, "trim", "make encoded audio smaller", words.TRIM, words.TRIM_EXAMPLES)
    _add_files(trim)
    for command, required in ((encode, False), (decode, False), (trim, True)):
        count = "how many codebooks, the coarsest first" + ("" if required else " (default: all)")
        command.add_argument("--codebooks", type=_count, metavar="N", required=required, help=count)
    decode.add_argument("--from", dest="start", type=_time, metavar="S", help="start here, seconds (default: 0)")
    decode.add_argument("--to", dest="stop", type=_time, metavar="S", help="stop here, seconds (default: the end)")
    return encode, decode


def _add_report(commands: Any) -> None:
    report = _command(commands, "report", "write a page to listen to", words.REPORT, words.REPORT_EXAMPLES)
    add = report.add_argument
    add("input", type=Path, metavar="RUN|RESULTS", help="a run's folder, or what `unshift evaluate` wrote")
    add("--output", type=Path, metavar="FILE", help="the page (default: report.html in the run's or results' folder)")
    add("--overwrite", action="store_true", help="replace a page that is there already")
    add("--model", type=model, help="what mends the clips (default: the model that the results name)")
    add("--pairs", type=Path, metavar="FOLDER", help="where the clips are (default: what the results name)")
    add("--clips", type=_count, metavar="N", default=6, help="how many there are to hear (default: 6)")
    add(
        "--seconds", type=_seconds, default=10.0, metavar="S", help="of each clip at most, from its start (default: 10)"
    )
    add("--megabytes", type=_count, default=32, metavar="N", help="what all clips may take of the page (default: 32)")
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="default: a GPU if there is")
    add("--trust", action="store_true", help="load a network class from outside the generators package")


def _add_files(command: Parser) -> None:
    command.add_argument("input", type=Path, metavar="IN", help="a file, or a folder of them")
    command.add_argument("output", type=Path, metavar="OUT", help="the file to write, or the folder for IN's tree")
    command.add_argument("--overwrite", action="store_true", help="replace outputs that are there already")
    command.epilog = f"{command.epilog}{words.FAILURES}"


def _add_network(command: Parser, otherwise: str) -> None:
    command.add_argument("--model", type=model, help=f"{words.MODEL}{otherwise}")
    _add_device(command)


def _add_device(command: Parser) -> None:
    command.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="default: a GPU if there is")
    chunk = "what the network hears at once, seconds (default: 10); less takes less memory"
    command.add_argument("--chunk-seconds", type=_seconds, default=10.0, help=chunk)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan  # refused by whoever asked, in its own words


def _count(text: str) -> int:
    value = _number(text)
    if not (value >= 1 and value.is_integer()):
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1")
    return int(value)


def _time(text: str) -> float:
    value = _number(text)
    if not 0 <= value <= LONGEST:
        raise argparse.ArgumentTypeError(f"{text or 'nothing'} is not a time from 0 to {LONGEST:,} seconds")
    return value


def _semitones(text: str) -> float:
    value = _number(text)
    if not abs(value) <= 48:
        raise argparse.ArgumentTypeError(f"{text} is not between -48 and 48 semitones")
    return value


def _strength(text: str) -> float:
    value = _number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text or 'nothing'} is not a strength from 0 to 1")
    return value


def _seconds(text: str) -> float:
    value = _number(text)
    if not 0 < value <= LONGEST:
        raise argparse.ArgumentTypeError(f"{text or 'nothing'} is not a length above 0, up to {LONGEST:,} seconds")
    return value


def _add_pairs(command: Parser) -> None:
    add = command.add_argument
    add("source", type=Path, metavar="SRC", help="folder of clean recordings; a folder below it is a speaker")
    add(
        "destination",
        type=Path,
        nargs="?",
        metavar="DST",
        help="folder for the pairs: new, or of the same command begun earlier",
    )
    semitones = "the shifts (default: -12 -7 -3 0 3 7 12); 0 teaches to leave clean audio alone"
    add("--semitones", type=_semitones, nargs="+", metavar="K", help=semitones)
    ways = "shift there and back, to train a restorer (default), or one way, to train the network to undo a shift"
    add("--direction", choices=["there_and_back", "one_way"], help=ways)
    add("--shifter", action="append", help=f"a DSP shifter, repeat it for several {words.SHIFTERS}")
    add("--rate", type=int, metavar="HZ", help="sample rate of the pairs (default: 48000)")
    channels = "channels of the pairs: 1 mixes all (default), 2 keeps left and right apart, for a codec of two channels"
    add("--channels", type=int, choices=[1, 2], help=channels)
    add("--split-by", choices=["speaker", "file"], help="what the splits are made of (default: speaker)")
    add("--validation", type=float, metavar="SHARE", help="share of the speakers for validation (default: 0.1)")
    add("--test", type=float, metavar="SHARE", help="share of the speakers for the test (default: 0.1)")
    add("--held-out", nargs="+", metavar="NAME", help="speakers that are for the test")
    add("--seed", type=int, help="of the splits (default: 0)")
    add("--workers", type=int, metavar="N", help="processes (default: one a core)")
    add("--piece-seconds", type=_seconds, help="longer recordings are cut into pieces (default: 20)")
    add("--draw", type=int, metavar="N", help="N pairs of each piece, drawn of all shifters and shifts (default: all)")
    add("--check", action="store_true", help="make nothing; say what is wrong with SRC's recordings and DST's pairs")


def _add_evaluation(command: Parser) -> None:
    add = command.add_argument
    add("model", type=model, metavar="MODEL", help=words.MODEL)
    add("pairs", type=Path, metavar="PAIRS", help="a folder that `unshift pairs` wrote")
    add("--out", type=Path, required=True, metavar="FOLDER", help="the folder for the results")
    add("--split", choices=["test", "validation"], default="test", help="of the pairs (default: test)")
    add(
        "--files", type=_count, metavar="N", help="so many pairs of each corpus at most, always the same (default: all)"
    )
    add("--corpus", nargs="+", metavar="NAME", help="these corpora alone (default: all)")
    add("--measures", nargs="+", metavar="NAME", help="these measures alone (default: all that are installed)")
    speech = "the corpora that are speech, the only ones that measures of speech are taken of; without a name: all are"
    add("--speech", nargs="*", metavar="CORPUS", help=speech)
    beside = "measure these shifters too: each shifts the originals as the pairs' did (and one-way pairs back: undo)"
    add("--beside", nargs="+", default=[], metavar="SHIFTER", help=beside)
    ways = "one-way shifts are undone by the model, or stay and are repaired (default: undo)"
    add("--one-way", choices=["undo", "repair"], default="undo", help=ways)
    add("--name", dest="system", help="what the model is called in the results (default: its folder's name)")
    add("--workers", type=_count, default=1, metavar="N", help="processes that measure (default: 1)")
    add("--overwrite", action="store_true", help="replace results that are there already, and begin anew")
    _add_device(command)


class Version(argparse.Action):
    """Print the installed version and leave."""

    def __init__(self, **options: Any) -> None:
        super().__init__(nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Do it."""
        from importlib.metadata import version  # 20 ms that only this needs

        print(f"unshift {version('unshift')}")  # noqa: T201
        parser.exit()
