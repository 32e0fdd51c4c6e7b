"""What speaks against a recording only beside the others: it is there twice, or has another rate than they."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from gan.audio import AudioError, Reader, resample
from gan.pairs.inspecting.findings import Finding
from gan.pairs.inspecting.portrait import Portrait

CANDIDATE = 0.9
"""Correlation of two recordings' band levels from which on their waveforms are compared."""
MOST_CANDIDATES = 8
MOST_NAMED = 6
"""Files of a group that are named in a line; the finding holds all."""
APART, APART_SHARE = 0.12, 0.005
"""Lengths of the same recording differ by so many seconds, plus a share, at most: coders pad."""
SAME = 0.95
"""Correlation of the waveforms of the same recording; MP3, Vorbis and Opus at 40 kbit/s leave
0.99, Opus at 10 kbit/s 0.91 to 0.97; two strokes of one drum have had 0.94."""
COMPARED, COMPARED_RATE, REACH = 10.0, 8000, 0.15
"""So many seconds are compared, at this rate, moved against each other by so many seconds at most."""
LEAST_OTHERS, MOST_ODD = 4, 0.1
"""A rate is odd in a folder that has so many others at one rate, where one file or at most such a share has it."""


@dataclass(frozen=True)
class Trace:
    """What is kept of a recording to compare it with others: about a kilobyte.

    Attributes:
        file: its name. path: where it is. digest: SHA-256 of its bytes. sample_rate: in Hz. seconds: length.
        bands: see Portrait; float32, flat.
        group: recordings of one group are meant to be alike, and are not compared.
    """

    file: str
    path: Path
    digest: str
    sample_rate: int
    seconds: float
    bands: NDArray[np.float32]
    group: str


def trace(portrait: Portrait, file: str, group: str = "") -> Trace:
    """Keep of a portrait what comparing needs; `group` is the file's own name where none is given."""
    bands = portrait.bands.astype(np.float32).ravel()
    seconds = portrait.seconds
    return Trace(file, portrait.path, portrait.digest, portrait.sample_rate, seconds, bands, group or file)


def odd_rates(traces: Sequence[Trace]) -> Iterator[Finding]:
    """Find recordings whose rate is not that of the others in their folder; a folder of several rates is no fault."""
    folders: defaultdict[str, list[Trace]] = defaultdict(list)
    for one in traces:
        folders[str(PurePosixPath(one.file).parent)].append(one)
    for inside in folders.values():
        rates = Counter(one.sample_rate for one in inside)
        usual, others = rates.most_common(1)[0]
        odd = [one for one in inside if one.sample_rate != usual]
        if others < LEAST_OTHERS or not (len(odd) == 1 or len(odd) <= MOST_ODD * len(inside)):
            continue
        for one in odd:
            figure = f"{one.sample_rate} Hz, where {others} others beside it have {usual} Hz"
            yield Finding("wrong rate", one.file, "its header", figure, one.sample_rate)


def duplicates(traces: Sequence[Trace]) -> Iterator[Finding]:
    """Find recordings that are there twice: the same bytes, or the same sound in another container or at another level.

    However often one is there, it is one finding. Copies that were cut, or played at another speed, are not found.
    """
    groups = _Groups()
    first: dict[str, Trace] = {}
    distinct = []
    for one in traces:
        known = first.setdefault(one.digest, one)
        if known is one:
            distinct.append(one)
        elif known.group != one.group:
            groups.join(known.file, one.file, 1.0, same_bytes=True)
    for one, other in _candidates(sorted((one for one in distinct if one.bands.any()), key=lambda one: one.seconds)):
        # What is known to be the same need not be heard again.
        if not groups.together(one.file, other.file) and (value := _same(one.path, other.path)) >= SAME:
            groups.join(one.file, other.file, value, same_bytes=False)
    for (file, *others), value, same_bytes in groups.found():
        shown = ", ".join(others[:MOST_NAMED]) + f" and {len(others) - MOST_NAMED} more" * (len(others) > MOST_NAMED)
        how = "the same bytes as" if same_bytes else f"the same sound ({value:.3f}) as"
        yield Finding("duplicate", file, "all of it", f"{how} {shown}", value, others=tuple(others))


class _Groups:
    """Files that are the same: whoever is the same as one of a group belongs to it."""

    def __init__(self) -> None:
        self.of: dict[str, list[str]] = {}
        self.values: dict[str, float] = {}
        self.sounding: set[str] = set()  # of groups that were not all joined by their bytes

    def together(self, one: str, other: str) -> bool:
        return other in self.of.get(one, ())

    def join(self, one: str, other: str, value: float, *, same_bytes: bool) -> None:
        whole = sorted({one, other, *self.of.get(one, ()), *self.of.get(other, ())})
        least = min(value, *(self.values.get(file, 1.0) for file in whole))
        self.of |= dict.fromkeys(whole, whole)
        self.values |= dict.fromkeys(whole, least)
        if not same_bytes or self.sounding & set(whole):
            self.sounding |= set(whole)

    def found(self) -> Iterator[tuple[list[str], float, bool]]:
        """Give each group's files, sorted, the least likeness that joined it, and whether all have the same bytes."""
        for file, whole in sorted(self.of.items()):
            if file == whole[0]:
                yield whole, self.values[file], file not in self.sounding


def _candidates(order: Sequence[Trace]) -> Iterator[tuple[Trace, Trace]]:
    """Give pairs, of recordings sorted by length, that are as long as each other and alike in outline."""
    if not order:
        return
    lengths = np.array([one.seconds for one in order])
    bands = np.stack([one.bands for one in order])
    for place, one in enumerate(order):
        stop = int(np.searchsorted(lengths, one.seconds * (1 + APART_SHARE) + APART, side="right"))
        likeness = bands[place + 1 : stop] @ one.bands
        best = [int(k) for k in np.argsort(-likeness)[:MOST_CANDIDATES] if likeness[k] >= CANDIDATE]
        for other in (order[place + 1 + k] for k in best):
            if other.group != one.group:
                yield one, other


def _same(one: Path, other: Path) -> float:
    """Give the largest correlation of two recordings' waveforms, of either sign, over their first seconds."""
    try:
        first, second = _beginning(one), _beginning(other)
    except AudioError:
        return 0.0
    size = 1 << (len(first) + len(second)).bit_length()
    product = np.fft.rfft(first, size) * np.conj(np.fft.rfft(second, size))
    correlation = np.fft.irfft(product, size)
    energy = float(np.sqrt(np.square(first).sum() * np.square(second).sum()))
    reach = round(REACH * COMPARED_RATE)
    around = np.abs(correlation[np.arange(-reach, reach + 1)])
    return float(around.max() / energy) if energy > 0 else 0.0


def _beginning(path: Path) -> NDArray[np.float64]:
    with Reader(path) as reader:
        waveform = reader.read(0, round(COMPARED * reader.sample_rate))
        middle = resample(waveform.mean(axis=0, keepdims=True), reader.sample_rate, COMPARED_RATE)[0]
    wide = middle.astype(np.float64)
    return np.asarray(wide - wide.mean(), dtype=np.float64)
