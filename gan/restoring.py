"""Mend and shift audio files: block by block, in constant memory, each output whole or not there."""

import shutil
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from gan.audio import Reader, Waveform, Writer
from gan.containers import FORMATS
from gan.files import whole_file
from gan.flow import Progress, blocks_of, resampled, write_blocks
from gan.pairs.shift import Shifter, ShiftError
from gan.pairs.stream import shift_blocks
from gan.planning import Job
from generators.contract import Mender
from generators.streaming import restore_stream

# Longer headers of the same container, as libsndfile names them.
PLAIN = {"WAVEX": "WAV", "RF64": "WAV"}


def restore_file(
    job: Job, mender: Mender, chunk_seconds: float = 10.0, progress: Progress | None = None, strength: float = 1.0
) -> list[str]:
    """Mend a file with the network; length, rate, channels and sample format stay.

    Where the file's rate is not the network's it is resampled on the way in and back on the way out, so nothing above
    half the lower of the two rates is left.

    Args:
        job: what to read and write; an existing output is replaced once the new one is whole.
        mender: the network, on the device that it is to run on.
        chunk_seconds: how much the network hears at once; more is faster and takes more memory.
        progress: is told after every block.
        strength: how much of the mending is taken, 0 to 1: the output is input + strength x (mended - input), at the
            network's rate. At 0 nothing is resampled or mixed: where the container stays the file is copied byte for
            byte, else its samples are, exactly up to 24 bits as far as the new container holds them.

    Returns:
        Remarks for the user.

    Raises:
        AudioError: the input cannot be read or the output not written; no output is left then.
        OSError: a copy cannot be written; no output is left then either.
    """
    with Reader(job.source) as reader:
        if strength == 0:
            return _copy(job, reader, progress)
        mended = _mended(blocks_of(reader), reader, mender, chunk_seconds, strength)
        return _write(job, reader, mended, mender.sample_rate, progress)


def shift_file(
    job: Job,
    shifter: Shifter,
    semitones: float,
    mender: Mender | None,
    chunk_seconds: float = 10.0,
    progress: Progress | None = None,
) -> list[str]:
    """Shift a file's pitch, then mend it with the network (None: only shift).

    Args:
        job: see `restore_file`.
        shifter: of gan.pairs.shifters.
        semitones: how far.
        mender: see `restore_file`.
        chunk_seconds: see `restore_file`.
        progress: see `restore_file`.

    Returns:
        Remarks for the user.

    Raises:
        AudioError: see `restore_file`.
        PairError: the shifter's package is missing, or it cannot shift this; no output is left then either.
    """
    with Reader(job.source) as reader:
        shifted = shift_blocks(reader, semitones, shifter)
        try:
            if mender is None:
                return _write(job, reader, shifted, reader.sample_rate, progress)
            return _write(job, reader, _mended(shifted, reader, mender, chunk_seconds), mender.sample_rate, progress)
        except ShiftError as error:
            raise ShiftError(f"{job.source}: {error}") from error


def _mended(
    blocks: Iterator[Waveform], reader: Reader, mender: Mender, chunk_seconds: float, strength: float = 1.0
) -> Iterator[Waveform]:
    heard = resampled(blocks, reader.sample_rate, mender.sample_rate, reader.channels)
    device = next(mender.parameters()).device if isinstance(mender, nn.Module) else torch.device("cpu")
    tensors = (torch.from_numpy(block).to(device) for block in heard)
    for mended in _at_strength(mender, tensors, round(chunk_seconds * mender.sample_rate), strength):
        yield mended.float().cpu().numpy()


def _at_strength(mender: Mender, blocks: Iterable[Tensor], chunk: int, strength: float) -> Iterator[Tensor]:
    """Mend a stream and go only so far from the input to what came out, sample by sample."""
    if strength == 1:
        yield from restore_stream(mender, blocks, chunk)
        return
    waiting: list[Tensor] = []  # input whose output has not come yet: a chunk and its context at most

    def remembered() -> Iterator[Tensor]:
        for block in blocks:
            waiting.append(block)
            yield block

    for mended in restore_stream(mender, remembered(), chunk):
        held = torch.cat(waiting, dim=-1)
        samples = mended.shape[-1]
        waiting[:] = [held[..., samples:].clone()]
        yield torch.lerp(held[..., :samples], mended.to(held.dtype), strength)


def _copy(job: Job, reader: Reader, progress: Progress | None) -> list[str]:
    """Give the input as it is; one that cannot be read to its end is refused as ever."""
    container = PLAIN.get(reader.format, reader.format)
    other_coding = job.output.suffix.lower() == ".opus" and reader.subtype != "OPUS"
    if other_coding or FORMATS.get(job.output.suffix.lower()) != container:
        return _write(job, reader, blocks_of(reader), reader.sample_rate, progress)
    done = 0
    for block in blocks_of(reader):
        done += block.shape[1]
        if progress:
            progress(done / reader.sample_rate, reader.samples / reader.sample_rate)
    job.output.parent.mkdir(parents=True, exist_ok=True)
    with job.source.open("rb") as original, whole_file(job.output) as copy:
        shutil.copyfileobj(original, copy)
    return []


def _write(job: Job, reader: Reader, blocks: Iterator[Waveform], rate: int, progress: Progress | None) -> list[str]:
    """Write blocks of a rate as a file like the one that is read, of exactly its length."""
    job.output.parent.mkdir(parents=True, exist_ok=True)
    with Writer(job.output, reader.sample_rate, reader.channels, like=reader) as writer:
        back = resampled(blocks, rate, reader.sample_rate, reader.channels)
        return write_blocks(writer, back, reader.samples, progress)
