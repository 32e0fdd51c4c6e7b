"""Mend and shift audio files: block by block, in constant memory, each output whole or not there."""

from collections.abc import Iterator

import torch
from torch import nn

from gan.audio import Reader, Waveform, Writer
from gan.flow import Progress, blocks_of, resampled, write_blocks
from gan.pairs.shift import Shifter, ShiftError
from gan.pairs.stream import shift_blocks
from gan.planning import Job
from generators.contract import Mender
from generators.streaming import restore_stream


def restore_file(job: Job, mender: Mender, chunk_seconds: float = 10.0, progress: Progress | None = None) -> list[str]:
    """Mend a file with the network; length, rate, channels and sample format stay.

    Where the file's rate is not the network's it is resampled on the way in and back on the way out, so nothing above
    half the lower of the two rates is left.

    Args:
        job: what to read and write; an existing output is replaced once the new one is whole.
        mender: the network, on the device that it is to run on.
        chunk_seconds: how much the network hears at once; more is faster and takes more memory.
        progress: is told after every block.

    Returns:
        Remarks for the user.

    Raises:
        AudioError: the input cannot be read or the output not written; no output is left then.
    """
    with Reader(job.source) as reader:
        mended = _mended(blocks_of(reader), reader, mender, chunk_seconds)
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


def _mended(blocks: Iterator[Waveform], reader: Reader, mender: Mender, chunk_seconds: float) -> Iterator[Waveform]:
    heard = resampled(blocks, reader.sample_rate, mender.sample_rate, reader.channels)
    device = next(mender.parameters()).device if isinstance(mender, nn.Module) else torch.device("cpu")
    tensors = (torch.from_numpy(block).to(device) for block in heard)
    for mended in restore_stream(mender, tensors, round(chunk_seconds * mender.sample_rate)):
        yield mended.float().cpu().numpy()


def _write(job: Job, reader: Reader, blocks: Iterator[Waveform], rate: int, progress: Progress | None) -> list[str]:
    """Write blocks of a rate as a file like the one that is read, of exactly its length."""
    job.output.parent.mkdir(parents=True, exist_ok=True)
    with Writer(job.output, reader.sample_rate, reader.channels, like=reader) as writer:
        back = resampled(blocks, rate, reader.sample_rate, reader.channels)
        return write_blocks(writer, back, reader.samples, progress)
