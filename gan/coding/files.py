"""Encode audio files and decode them: block by block, in constant memory, each output whole or not there."""

import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gan.audio import AudioError, Reader, Waveform, Writer
from gan.coding.bitstream import BitstreamReader, BitstreamWriter, CodecFacts, Header, Priors, reading
from gan.coding.header import SUBTYPES, suitable_block
from gan.coding.trimming import check_codebooks
from gan.containers import FORMATS, similar_subtype
from gan.files import whole_file
from gan.flow import Progress, blocks_of, resampled, section, write_blocks
from gan.planning import Job
from generators import store
from generators.codec import as_streams, from_streams
from generators.contract import Coder, ModelError
from generators.streaming import decode_stream, encode_stream, frames_for

# Resampling a section needs so many samples around it, at the lower of the two rates.
MARGIN = 512
# Values that resampling gives at once: a file may say any rate.
MOST_VALUES = 2**22


@dataclass(frozen=True, slots=True)
class KnownCodec:
    """A coder, and what an encoded file says of it.

    Attributes:
        coder: in eval mode, on the device that it is to run on.
        facts: what is written into a file, and what a file has to say to be decoded.
        priors: for range coding; None packs only.
    """

    coder: Coder
    facts: CodecFacts
    priors: Priors | None

    @property
    def device(self) -> torch.device:
        """Where the coder runs."""
        tensor = next(self.coder.parameters(), None) if isinstance(self.coder, nn.Module) else None
        return torch.device("cpu") if tensor is None else tensor.device


def know(coder: Coder, folder: Path) -> KnownCodec:
    """Put together what is to be known of a coder.

    Args:
        coder: what was loaded from the folder. Where it has a `usage` with `shares` of its codebooks' entries (see
            generators.usage.Usage), these are what range coding expects.
        folder: the generator's own.

    Raises:
        ModelError: the folder's files are not there, or its shares are none.
    """
    facts = CodecFacts(
        class_path=str(store.describe(folder)["class_path"]),
        sha256=fingerprint(folder),
        sample_rate=coder.sample_rate,
        channels=coder.channels,
        frame=coder.frame,
        hop=coder.hop,
        codebooks=tuple(int(entries) for entries in coder.codebooks),
        width=coder.width,
    )
    shares = [share.detach().double().cpu().numpy() for share in getattr(getattr(coder, "usage", None), "shares", [])]
    if not shares or tuple(map(len, shares)) != facts.codebooks:
        return KnownCodec(coder, facts, None)
    try:
        return KnownCodec(coder, facts, Priors(shares))
    except ValueError as error:
        raise ModelError(f"{folder}: {error}") from error


def fingerprint(folder: Path) -> str:
    """Give the SHA-256 of a generator's weights and description, one after the other, in hexadecimal.

    Raises:
        ModelError: they cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for name in (store.WEIGHTS, store.DESCRIPTION):
            with (folder / name).open("rb") as file:
                while content := file.read(2**20):
                    digest.update(content)
    except OSError as error:
        raise ModelError(f"{folder} is no model folder: cannot read {name} ({error.strerror})") from error
    return digest.hexdigest()


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
        stop: of the section, seconds; None is the end of the file.
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
    with reading(job.source) as reader:
        header = reader.header
        _check_codec(header, codec.facts, job.source)
        if codec.priors:
            reader.expect(codec.priors)
        if codebooks is not None:
            check_codebooks(header, codebooks, str(job.source))
        first, samples = _section(header, start, stop, job.source)
        if job.output.suffix.lower() not in FORMATS:
            raise AudioError(f"{job.output}: unknown ending; one of {' '.join(FORMATS)} is wanted")
        subtype = similar_subtype(FORMATS[job.output.suffix.lower()], "WAV", header.subtype)
        job.output.parent.mkdir(parents=True, exist_ok=True)
        with Writer(job.output, header.sample_rate, header.channels, subtype=subtype) as writer:
            blocks = _decoded(reader, codec, codebooks, first, samples, round(chunk_seconds * codec.facts.sample_rate))
            return write_blocks(writer, blocks, samples, progress)


def _check_codec(header: Header, facts: CodecFacts, path: Path) -> None:
    if header.codec == facts:
        return
    theirs, ours = header.codec, facts
    raise ModelError(
        f"{path}: was encoded by another codec ({theirs.class_path}, SHA-256 {theirs.sha256[:12]}...) than this model "
        f"({ours.class_path}, {ours.sha256[:12]}...): name that one with --model"
    )


def _section(header: Header, start: float | None, stop: float | None, path: Path) -> tuple[int, int]:
    """Turn seconds into a first sample and a count, at the file's rate."""
    rate, length = header.sample_rate, header.samples / header.sample_rate
    begin, end = start or 0.0, length if stop is None else stop
    if not (math.isfinite(begin) and math.isfinite(end) and 0 <= begin < end):
        raise AudioError(f"{path}: there is no section from {begin:g} to {end:g} s of {length:.3f} s")
    first, samples = round(begin * rate), round((end - begin) * rate)
    # Both are rounded, so together they may lie a sample past the end.
    if first + samples == header.samples + 1 and first:
        first -= 1
    if samples < 1 or first + samples > header.samples:
        raise AudioError(f"{path}: there is no section from {begin:g} to {end:g} s of {length:.3f} s")
    return first, samples


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
