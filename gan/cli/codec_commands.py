"""What `unshift encode`, `decode`, `trim` and `import` do, once the command line is read."""

import argparse
from typing import cast

from gan.audio import AudioError
from gan.cli.hearing import check_picture, draw, hear
from gan.cli.networks import load_network
from gan.cli.worker import say, work_through
from gan.coding.bitstream import reading
from gan.coding.codecs import KnownCodec, know
from gan.coding.files import decode_file, encode_file
from gan.coding.trimming import trim
from gan.flow import Progress
from gan.planning import TO_DECODE, TO_ENCODE, TO_TRIM, Job, plan
from generators import store
from generators.contract import Coder, ModelError
from generators.published import convert


def encode(parsed: argparse.Namespace) -> int:
    """Do what `unshift encode` asks, and return the exit code."""
    work = plan(parsed.input, parsed.output, overwrite=parsed.overwrite, kind=TO_ENCODE)
    codec = _codec(parsed)

    def one(job: Job, told: Progress) -> list[str]:
        return encode_file(job, codec, parsed.codebooks, parsed.chunk_seconds, told)

    return work_through(work, one, "encoded")


def decode(parsed: argparse.Namespace) -> int:
    """Do what `unshift decode` asks, and return the exit code."""
    if parsed.start is not None and parsed.stop is not None and parsed.start >= parsed.stop:
        raise AudioError(f"--from {parsed.start:g} is not before --to {parsed.stop:g}: there is nothing between them")
    work = plan(parsed.input, parsed.output, overwrite=parsed.overwrite, kind=TO_DECODE)
    codec = _codec(parsed)

    def one(job: Job, told: Progress) -> list[str]:
        return decode_file(job, codec, parsed.codebooks, parsed.start, parsed.stop, parsed.chunk_seconds, told)

    return work_through(work, one, "decoded")


def trim_files(parsed: argparse.Namespace) -> int:
    """Do what `unshift trim` asks, and return the exit code."""
    work = plan(parsed.input, parsed.output, overwrite=parsed.overwrite, kind=TO_TRIM)

    def one(job: Job, told: Progress) -> list[str]:
        job.output.parent.mkdir(parents=True, exist_ok=True)
        trim(job.source, job.output, parsed.codebooks)
        with reading(job.output) as reader:
            seconds = reader.header.samples / reader.header.sample_rate
        told(seconds, seconds)
        return []

    return work_through(work, one, "trimmed")


def import_weights(parsed: argparse.Namespace) -> int:
    """Do what `unshift import` asks, and return the exit code."""
    if parsed.output.exists() and not (parsed.overwrite and (parsed.output / store.DESCRIPTION).is_file()):
        hint = "--overwrite replaces it" if (parsed.output / store.DESCRIPTION).is_file() else "name another folder"
        raise ModelError(f"{parsed.output}: is there already; {hint}")
    convert(parsed.input, parsed.output)
    say(f"{parsed.output} is a model now: `unshift inspect {parsed.output}` says of what kind")
    return 0


def hear_and_draw(parsed: argparse.Namespace) -> tuple[dict[str, float], int]:
    """Do what `unshift inspect MODEL --on AUDIO --picture FILE` asks besides: see gan.cli.hearing.hear."""
    codec = _codec(parsed)
    if parsed.picture:
        check_picture(codec.coder, parsed.picture)
    heard = hear(codec, parsed.on) if parsed.on else ({}, 0)
    if parsed.picture:
        draw(codec.coder, parsed.picture)
    return heard


def _codec(parsed: argparse.Namespace) -> KnownCodec:
    network, folder = load_network(parsed)
    if not isinstance(network, Coder):
        raise ModelError(f"{parsed.model}: a {type(network).__name__} is no codec: it cannot encode and decode")
    return know(cast(Coder, network), store.describe(folder))
