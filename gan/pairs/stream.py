"""Shift a file of any length in constant memory: section by section, the sections joined where they agree."""

from collections.abc import Iterator

import numpy as np

from gan.audio import Reader, Waveform
from gan.pairs.pieces import Piece, even_borders, read_pieces
from gan.pairs.procedure import shift_wide
from gan.pairs.shift import Shifter, fitted

WHOLE = 60.0
"""Files of up to so many seconds are shifted in one call."""
SECTION = 30.0
MARGIN = 0.5
FADE = 0.05
SEARCH = 0.005
"""Two sections may be moved against each other by so many seconds at most, always counted from the true place."""


def shift_blocks(reader: Reader, semitones: float, shifter: Shifter) -> Iterator[Waveform]:
    """Shift an open file, block by block, [channels, any]; together the blocks are as long as the file.

    Args:
        reader: the file.
        semitones: how far.
        shifter: what shifts, at twice the rate or more, as in training pairs.

    Raises:
        AudioError: the file is damaged.
        PairError: the shifter's package is missing, or it cannot shift this.
    """
    rate = reader.sample_rate
    long = reader.samples > WHOLE * rate
    borders = even_borders(reader.samples, round(SECTION * rate) if long else reader.samples)
    join = _Join(rate)
    for piece in read_pieces(reader, borders, round(MARGIN * rate)):
        shifted = shift_wide(piece.waveform, rate, semitones, shifter)
        yield from join.add(piece, shifted, last=piece.start + piece.samples == reader.samples)


class _Join:
    """Lays shifted sections one behind the other.

    A shifter's phases depend on where it began, so two sections are out of phase where they meet and a plain
    cross-fade would be hollow there. So the later section is moved by up to SEARCH to where the two correlate best
    (SOLA: Roucos and Wilgus 1985), and the fade keeps the power at the correlation that is left.
    """

    def __init__(self, sample_rate: int) -> None:
        self.half = round(FADE / 2 * sample_rate)
        self.reach = round(SEARCH * sample_rate)
        self.tail: Waveform | None = None

    def add(self, piece: Piece, shifted: Waveform, *, last: bool) -> Iterator[Waveform]:
        """Give what is certain after one more section; `shifted` has the shape of the piece's waveform."""
        begin, end = piece.lead, piece.lead + piece.samples
        if self.tail is not None:
            offset = self._best_offset(self.tail, shifted[:, begin - self.half - self.reach :])
            begin, end = begin + offset, end + offset
            yield _fade(self.tail, shifted[:, begin - self.half : begin + self.half])
            begin += self.half
        if last:
            yield fitted(shifted[:, begin:], end - begin if self.tail is None else piece.samples - self.half)
            return
        yield shifted[:, begin : end - self.half]
        self.tail = shifted[:, end - self.half : end + self.half]

    def _best_offset(self, tail: Waveform, head: Waveform) -> int:
        """Find by how many samples, -reach..reach, the head has to be read later to agree with the tail."""
        weight = _overlap(tail.shape[1])
        old, new = tail.sum(axis=0) * weight, head[:, : tail.shape[1] + 2 * self.reach].sum(axis=0)
        energy = np.correlate(np.square(new), weight, "valid")
        likeness = np.correlate(new, old, "valid") / np.sqrt(np.maximum(energy, 0) + 1e-9)
        return int(np.argmax(likeness)) - self.reach


def _rise(samples: int) -> Waveform:
    return (0.5 - 0.5 * np.cos(np.pi * (np.arange(samples) + 0.5) / samples)).astype(np.float32)


def _overlap(samples: int) -> Waveform:
    """How much both sides of a fade of this length are heard at once, over time."""
    return _rise(samples) * (1 - _rise(samples))


def _fade(old: Waveform, new: Waveform) -> Waveform:
    """Cross-fade two waveforms of one shape at constant power, whatever their correlation."""
    rise, weight = _rise(old.shape[1]), _overlap(old.shape[1])
    energy = float(np.sqrt((weight * np.square(old)).sum() * (weight * np.square(new)).sum()))
    likeness = float((weight * old * new).sum()) / energy if energy > 0 else 1.0
    power = rise**2 + (1 - rise) ** 2 + 2 * max(0.0, likeness) * weight
    return np.asarray(((1 - rise) * old + rise * new) / np.sqrt(power), dtype=np.float32)
