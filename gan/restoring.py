"""Mend and shift audio files: block by block, in constant memory, each output whole or not there."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from gan.audio import AudioError, Reader, StreamResampler, Waveform, Writer, find_audio
from gan.pairs.shift import Shifter
from gan.pairs.stream import shift_blocks
from generators.contract import Mender
from generators.streaming import restore_stream

BLOCK_SECONDS = 1.0

Progress = Callable[[float, float], object]
"""Is told how many seconds are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Job:
    """A file to work on and where the result goes."""

    source: Path
    output: Path


@dataclass(frozen=True, slots=True)
class Plan:
    """What a command is going to do.

    Attributes:
        jobs: the files, in order.
        kept: outputs of a folder that are there already and are left alone.
        ignored: how many files of a folder are not audio.
        folder: whether a folder was given.
    """

    jobs: list[Job]
    kept: list[Path]
    ignored: int
    folder: bool


def plan(source: Path, output: Path, *, overwrite: bool = False) -> Plan:
    """Decide which file goes where: a file to a file (or into a folder), a folder's tree to the same tree below output.

    Raises:
        AudioError: the source is not there or holds no audio; the output is the source, lies inside it, is there
            already (a file, unless overwrite is set), or has no folder to be in.
    """
    if not source.exists():
        raise AudioError(f"{source}: no such file or folder")
    if source.is_dir():
        return _plan_folder(source, output, overwrite=overwrite)
    target = output / source.name if output.is_dir() else output
    if target.exists() and target.samefile(source):
        raise AudioError(f"{target}: input and output are the same file")
    if target.is_dir():
        raise AudioError(f"{target}: is a folder; name a file")
    if target.exists() and not overwrite:
        raise AudioError(f"{target}: is there already; --overwrite replaces it")
    if not target.parent.is_dir():
        raise AudioError(f"{target.parent}: no such folder; make it first")
    return Plan([Job(source, target)], [], 0, folder=False)


def _plan_folder(source: Path, output: Path, *, overwrite: bool) -> Plan:
    if output.exists() and not output.is_dir():
        raise AudioError(f"{output}: is a file, but {source} is a folder; name a folder")
    if output.resolve().is_relative_to(source.resolve()):
        raise AudioError(f"{output}: is inside the input folder {source}; name one outside it")
    found = find_audio(source)
    if not found:
        raise AudioError(f"{source}: no audio files in this folder")
    jobs = [Job(path, output / path.relative_to(source)) for path in found]
    kept = set() if overwrite else {job.output for job in jobs if job.output.exists()}
    others = sum(path.is_file() and not path.name.startswith(".") for path in source.rglob("*")) - len(found)
    return Plan([job for job in jobs if job.output not in kept], sorted(kept), max(0, others), folder=True)


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
        mended = _mended(_blocks(reader), reader, mender, chunk_seconds)
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
        shifter: of gan.pairs.shift.
        semitones: how far.
        mender: see `restore_file`.
        chunk_seconds: see `restore_file`.
        progress: see `restore_file`.

    Returns:
        Remarks for the user.

    Raises:
        AudioError: see `restore_file`.
        PairError: the shifter cannot work on this.
    """
    with Reader(job.source) as reader:
        shifted = shift_blocks(reader, semitones, shifter)
        if mender is None:
            return _write(job, reader, shifted, reader.sample_rate, progress)
        return _write(job, reader, _mended(shifted, reader, mender, chunk_seconds), mender.sample_rate, progress)


def _blocks(reader: Reader) -> Iterator[Waveform]:
    return reader.blocks(round(BLOCK_SECONDS * reader.sample_rate))


def _mended(blocks: Iterator[Waveform], reader: Reader, mender: Mender, chunk_seconds: float) -> Iterator[Waveform]:
    heard = _resampled(blocks, reader.sample_rate, mender.sample_rate, reader.channels)
    device = next(mender.parameters()).device if isinstance(mender, nn.Module) else torch.device("cpu")
    tensors = (torch.from_numpy(block).to(device) for block in heard)
    for mended in restore_stream(mender, tensors, round(chunk_seconds * mender.sample_rate)):
        yield mended.float().cpu().numpy()


def _write(job: Job, reader: Reader, blocks: Iterator[Waveform], rate: int, progress: Progress | None) -> list[str]:
    """Write blocks of a rate as a file like the one that is read, of exactly its length."""
    job.output.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with Writer(job.output, reader.sample_rate, reader.channels, like=reader) as writer:
        for block in _fitted(_resampled(blocks, rate, reader.sample_rate, reader.channels), reader.samples):
            writer.write(block)
            written += block.shape[1]
            if progress:
                progress(written / reader.sample_rate, reader.samples / reader.sample_rate)
    if not writer.clipped:
        return []
    percent = 100 * writer.clipped / (reader.samples * reader.channels)
    return [f"{job.output}: {writer.clipped} samples ({percent:.2g} %) were over full scale and were clipped"]


def _resampled(blocks: Iterable[Waveform], from_rate: int, to_rate: int, channels: int) -> Iterator[Waveform]:
    resampler = StreamResampler(from_rate, to_rate, channels)
    held: Waveform | None = None
    for block in blocks:
        if held is not None:
            yield resampler.process(held)
        held = block
    # Only the end shows which block was the last one.
    if held is not None:
        yield resampler.process(held, last=True)


def _fitted(blocks: Iterable[Waveform], samples: int) -> Iterator[Waveform]:
    """Cut what rounding up at two rates has added; no sample may be missing."""
    left = samples
    for block in blocks:
        if left and block.shape[1]:
            yield block[:, :left]
            left = max(0, left - block.shape[1])
    if left:
        raise RuntimeError(f"{left} of {samples} samples are missing after restoring")
