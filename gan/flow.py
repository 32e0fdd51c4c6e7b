"""Sound on its way from file to file: blocks [channels, samples] that are resampled, fitted and written."""

from collections.abc import Callable, Iterable, Iterator

from gan.audio import Reader, StreamResampler, Waveform, Writer

BLOCK_SECONDS = 1.0

Progress = Callable[[float, float], object]
"""Is told how many seconds are done, and of how many."""


def blocks_of(reader: Reader) -> Iterator[Waveform]:
    """Read a file in blocks of a second."""
    return reader.blocks(round(BLOCK_SECONDS * reader.sample_rate))


def resampled(blocks: Iterable[Waveform], from_rate: int, to_rate: int, channels: int) -> Iterator[Waveform]:
    """Resample blocks; together they become ceil(samples x to_rate / from_rate) samples."""
    resampler = StreamResampler(from_rate, to_rate, channels)
    held: Waveform | None = None
    for block in blocks:
        if held is not None:
            yield resampler.process(held)
        held = block
    # Only the end shows which block was the last one.
    if held is not None:
        yield resampler.process(held, last=True)


def section(blocks: Iterable[Waveform], start: int, samples: int) -> Iterator[Waveform]:
    """Cut a section out of consecutive blocks; no block is empty, and no sample may be missing."""
    skip, left = start, samples
    for block in blocks:
        piece = block[:, skip : skip + left]
        skip = max(0, skip - block.shape[1])
        left -= piece.shape[1]
        if piece.shape[1]:
            yield piece
        if not left:
            return
    raise RuntimeError(f"{left} of {samples} samples are missing")


def write_blocks(
    writer: Writer, blocks: Iterable[Waveform], samples: int, progress: Progress | None = None
) -> list[str]:
    """Write the first so many samples of consecutive blocks.

    Returns:
        Remarks for the user.

    Raises:
        AudioError: as `Writer.write`.
    """
    written = channels = 0
    for block in section(blocks, 0, samples):
        writer.write(block)
        channels = len(block)
        written += block.shape[1]
        if progress:
            progress(written / writer.sample_rate, samples / writer.sample_rate)
    if not writer.clipped:
        return []
    percent = 100 * writer.clipped / (samples * channels)
    return [f"{writer.path}: {writer.clipped} samples ({percent:.2g} %) were over full scale and were clipped"]
