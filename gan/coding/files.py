"""Encode audio files and decode them: block by block, in constant memory, each output whole or not there."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gan.audio import AudioError, Reader, Waveform, Writer
from gan.coding.bitstream import (
    BitstreamError,
    BitstreamReader,
    CodecFacts,
    DamagedError,
    Header,
    reading,
)
from gan.coding.codecs import KnownCodec, compare
from gan.coding.header import SUBTYPES, suitable_block
from gan.coding.trimming import check_codebooks
from gan.coding.writing import BitstreamWriter
from gan.containers import FORMATS, similar_subtype
from gan.files import whole_file
from gan.flow import Progress, blocks_of, resampled, section, write_blocks
from gan.planning import Job
from generators.codec import as_streams, from_streams
from generators.contract import ModelError
from generators.streaming import decode_stream, encode_stream, frames_for

# Resampling a section needs so many samples around it, at the lower of the two rates.
MARGIN = 512
# Values that resampling gives at once: a file may say any rate.
MOST_VALUES = 2**22


def encode_file(
    job: Job,
    codec: KnownCodec,
    codebooks: int | None = None,
    chunk_seconds: float = 10.0,
    progress: Progress | None = None,
) -> list[str]:
    """Encode a file: any rate and number of channels that can be read.

    Args:
        job: what to read and write; an existing output is replaced once the new one is whole.
        codec: what encodes.
        codebooks: how many are written, the coarsest first; None writes all.
        chunk_seconds: how much the codec hears at once; more is faster and takes more memory.
        progress: is told after every piece.

    Returns:
        Remarks for the user.

    Raises:
        AudioError: the input cannot be read.
        ModelError: the codec has not so many codebooks.
        OSError: the output cannot be written; none is left then.
    """
    facts = codec.facts
    if codebooks is not None and not facts.codebooks:
        raise ModelError("this codec is continuous: it has no codebooks to leave out; drop --codebooks")
    if codebooks is not None and not 1 <= codebooks <= facts.width:
        raise ModelError(f"this codec has {facts.width} codebooks: --codebooks takes 1 to {facts.width}")
    with Reader(job.source) as reader:
        header = _header(reader, facts, facts.width if codebooks is None else codebooks)
        job.output.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(job.output) as file:
            writer = BitstreamWriter(file, header, codec.priors)
            frames = 0
            for codes in encoded(reader, codec, round(chunk_seconds * facts.sample_rate)):
                writer.append(codes[:, : header.width])
                frames += codes.shape[2]
                if progress:
                    done = min(1.0, frames / header.frames)
                    progress(done * reader.samples / reader.sample_rate, reader.samples / reader.sample_rate)
            writer.close()
    return []


def _header(reader: Reader, facts: CodecFacts, width: int) -> Header:
    return Header(
        sample_rate=reader.sample_rate,
        channels=reader.channels,
        samples=reader.samples,
        subtype=reader.subtype if reader.subtype in SUBTYPES else SUBTYPES[0],
        codec=facts,
        block_frames=suitable_block(facts, -(-reader.channels // facts.channels)),
        width=width,
        prior=None,
    )


def encoded(reader: Reader, codec: KnownCodec, chunk: int) -> Iterator[np.ndarray[Any, Any]]:
    """Encode what a reader reads, so many samples at the codec's rate at once.

    Yields:
        [streams, width, some frames], int64 codes or float32 values.
    """
    heard = resampled(blocks_of(reader), reader.sample_rate, codec.facts.sample_rate, reader.channels)
    streams = (as_streams(_tensor(block, codec)[None], codec.facts.channels) for block in heard)
    for codes in encode_stream(codec.coder, streams, chunk):
        yield (codes if codec.facts.codebooks else codes.float()).cpu().numpy()


def decode_file(
    job: Job,
    codec: KnownCodec,
    codebooks: int | None = None,
    start: float | None = None,
    stop: float | None = None,
    chunk_seconds: float = 10.0,
    progress: Progress | None = None,
) -> list[str]:
    """Decode a file, or a section of it, to the rate and the channels of what was encoded.

    Only the blocks that a section needs are read.

    Args:
        job: what to read and write; the output's ending decides the container, and the samples' coding is that of what
            was encoded as far as the container can hold it.
        codec: what encoded the file.
        codebooks: decode only so many, the coarsest; None decodes all that are there.
        start: of the section, seconds; None is the start of the file.
        stop: of the section, seconds; None, or what is past it, is the end of the file.
        chunk_seconds: see `encode_file`.
        progress: see `encode_file`.

    Returns:
        Remarks for the user.

    Raises:
        BitstreamError: the input is damaged, or holds not so many codebooks.
        AudioError: the output cannot be written (none is left then), or there is no such section.
        ModelError: another codec encoded the file.
        OSError: the input cannot be opened.
    """
    with reading(job.source, mend=True) as reader:
        header = reader.header
        remarks = compare(header, codec.facts, job.source)
        remarks += [f"{reader.fault}; its blocks were found without"] if reader.fault else []
        if codec.priors:
            reader.expect(codec.priors)
        if codebooks is not None:
            check_codebooks(header, codebooks, str(job.source))
        first, samples = _section(header, start, stop, job.source)
        subtype = _subtype(job.output, header)
        job.output.parent.mkdir(parents=True, exist_ok=True)
        with Writer(job.output, header.sample_rate, header.channels, subtype=subtype) as writer:
            blocks = _decoded(reader, codec, codebooks, first, samples, round(chunk_seconds * codec.facts.sample_rate))
            try:
                return remarks + write_blocks(writer, blocks, samples, progress)
            except DamagedError as error:
                raise BitstreamError(f"{error}{_ways_round(error, header, codec)}") from error


def _subtype(output: Path, header: Header) -> str | None:
    """Choose how samples are written: as they were, as far as the container can."""
    ending = output.suffix.lower()
    if ending not in FORMATS:
        raise AudioError(f"{output}: unknown ending; one of {' '.join(FORMATS)} is wanted")
    return similar_subtype(FORMATS[ending], "WAV", header.subtype)


def _section(header: Header, start: float | None, stop: float | None, path: Path) -> tuple[int, int]:
    """Turn seconds into a first sample and a count, at the file's rate."""
    rate, length = header.sample_rate, header.samples / header.sample_rate
    begin, end = start or 0.0, length if stop is None else min(stop, length)
    if begin >= length:
        raise AudioError(f"{path}: is {length:.3f} s long: --from {begin:g} is past its end")
    if not 0 <= begin < end:
        raise AudioError(f"{path}: there is no section from {begin:g} to {end:g} s of {length:.3f} s")
    samples = min(max(1, round((end - begin) * rate)), header.samples)
    # Both are rounded, so together they may lie a sample past the end.
    return min(round(begin * rate), header.samples - samples), samples


def _ways_round(error: DamagedError, header: Header, codec: KnownCodec) -> str:
    """Say how to decode what is before and after a damaged block: what depends on none of its frames."""
    rate = codec.facts.sample_rate
    needed = (codec.coder.decoder_reach + 2 * codec.facts.hop) / rate
    if header.sample_rate != rate:
        # A section begins where both rates have a sample.
        needed += (MARGIN + 2) / min(header.sample_rate, rate) + 1 / math.gcd(header.sample_rate, rate)
    to = math.floor(100 * (error.first * codec.facts.frame / rate - needed)) / 100
    start = math.ceil(100 * (error.last * codec.facts.frame / rate + needed)) / 100
    before = f"--to {to:.2f} decodes what is before" if to > 0 else ""
    after = f"--from {start:.2f} what is after" if before else f"--from {start:.2f} decodes what is after"
    ways = [before, after if start < header.samples / header.sample_rate else ""]
    return "".join(f"{mark} {way}" for mark, way in zip(";,", filter(None, ways), strict=False))


def _decoded(
    reader: BitstreamReader, codec: KnownCodec, codebooks: int | None, first: int, samples: int, chunk: int
) -> Iterator[Waveform]:
    """Decode so many samples from a first one on, at the file's rate."""
    header, coder = reader.header, codec.coder
    rate, codec_rate = header.sample_rate, codec.facts.sample_rate
    common = math.gcd(rate, codec_rate)
    step, codec_step = rate // common, codec_rate // common  # both rates have a sample where these begin
    margin = 0 if step == codec_step else -(-MARGIN * max(rate, codec_rate) // rate)
    begin = max(0, first * codec_step // step - margin) // codec_step * codec_step
    end = min(header.codec_samples, -(-(first + samples) * codec_step // step) + margin)
    front, last = frames_for(coder, begin, end, header.frames)
    codes = (torch.from_numpy(block).to(codec.device) for block in reader.read(front, last, codebooks))
    lead = begin - front * codec.facts.frame
    # To the end of its last frame, or of the file: what follows the section is dropped.
    there = min(header.codec_samples, last * codec.facts.frame) - front * codec.facts.frame
    waves = section(_waves(decode_stream(coder, codes, there, chunk), header.channels), lead, end - begin)
    pieces = _pieces(waves, max(1, MOST_VALUES * codec_rate // (rate * header.channels)))
    back = resampled(pieces, codec_rate, rate, header.channels)
    return section(back, first - begin // codec_step * step, samples)


def _waves(streams: Iterable[Tensor], channels: int) -> Iterator[Waveform]:
    for piece in streams:
        yield from_streams(piece, channels)[0].float().cpu().numpy()


def _pieces(blocks: Iterable[Waveform], size: int) -> Iterator[Waveform]:
    for block in blocks:
        for start in range(0, block.shape[1], size):
            yield block[:, start : start + size]


def _tensor(block: Waveform, codec: KnownCodec) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(block)).to(codec.device)
