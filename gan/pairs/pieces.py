"""A recording in pieces of bounded length, each with a little of what goes before and after."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from gan.audio import Reader, Waveform


@dataclass(frozen=True)
class Piece:
    """A section of a recording.

    Attributes:
        start: its first sample in the recording.
        samples: its length.
        lead: how many samples of `waveform` go before it.
        waveform: the section and its surroundings, [channels, >= lead + samples].
    """

    start: int
    samples: int
    lead: int
    waveform: Waveform


def even_borders(samples: int, longest: int) -> list[int]:
    """Cut a length into the fewest equal parts of at most `longest`; gives the borders, both ends included."""
    parts = max(1, -(-samples // longest))
    return [samples * part // parts for part in range(parts + 1)]


def read_pieces(reader: Reader, borders: Sequence[int], margin: int) -> Iterator[Piece]:
    """Read a recording piece by piece, from its start to its end without going back: some formats seek badly.

    Args:
        reader: the recording.
        borders: rising, in samples; piece i lies from border i to border i + 1.
        margin: so many samples come along before and after each piece, less at the recording's ends.

    Raises:
        AudioError: the recording is damaged.
    """
    held, at = np.zeros((reader.channels, 0), np.float32), 0
    for start, end in pairwise(borders):
        first, last = max(0, start - margin), min(reader.samples, end + margin)
        if first > at:
            held, at = held[:, :0], first
        kept = held[:, held.shape[1] - (at - first) :]
        held = np.concatenate([kept, reader.read(at, last - at)], axis=1)
        at = last
        yield Piece(start, end - start, start - first, held)
