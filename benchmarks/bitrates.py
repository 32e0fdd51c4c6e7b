"""What a trained codec sounds like at each number of codebooks, next to Opus at its bitrates, on held-out recordings.

    .venv/bin/python benchmarks/bitrates.py --model runs/codec1 --heldout recordings/ --out bitrates.json

Every recording is brought to the codec's rate; all are measured against that. Bitrates are of whole files on disk, with
and without what does not grow with the length (our header, Ogg's headers). Opus is libsndfile's (libopus at some of its
levels); what it writes at 48 kHz is brought back to the codec's rate, aligned by cross-correlation. Intervals are 95 %
bootstraps over recordings. A second table says, recording by recording, what further codebooks change, and what parts
ours from the Opus nearest in bitrate: for all codebooks, and wherever ours is at 0.9 of Opus's lowest or above.

ViSQOL (speech mode, codecs at 16 kHz) has two mappings to a mark: the lattice that its authors' program uses, and a
polynomial, said to be 1 to 2 points too high. Both are measured where visqol-python is found:

    pip install --no-deps --target visqol visqol-python libsvm-official ai-edge-litert; export PYTHONPATH=visqol
"""

import argparse
import io
import json
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from gan.audio import find_audio, read, write
from gan.coding.bitstream import reading
from gan.coding.codecs import KnownCodec, know
from gan.coding.files import decode_file, encode_file
from gan.coding.trimming import trim
from gan.losses import MelDistance, MultiScaleSTFTDistance, si_sdr
from gan.planning import Job
from generators import store

Sound = NDArray[np.float32]
OPUS_RATE = 48000
LEVELS = (1.0, 0.995, 0.99, 0.98, 0.96, 0.93)
LATTICE, POLYNOMIAL = "visqol, lattice", "visqol, polynomial"
MEASURES = ("mel", "stft", "si_sdr", LATTICE, POLYNOMIAL)
COLUMNS = ("kbit/s", "kbit/s without header", *MEASURES)
HIGHER_IS_BETTER = {"si_sdr", LATTICE, POLYNOMIAL}


def visqol(rate: int) -> dict[str, Callable[[Sound, Sound], float]]:
    """Give ViSQOL's speech model with each of its mappings that is installed, where it fits the rate."""
    try:
        from visqol import VisqolApi
    except ImportError:
        return {}
    judges: dict[str, Callable[[Sound, Sound], float]] = {}
    for name in (LATTICE, POLYNOMIAL) if rate == 16000 else ():
        judge = VisqolApi()
        try:
            judge.create(mode="speech", use_lattice_model=name == LATTICE)
        except ImportError:
            continue
        judges[name] = partial(_mark, judge, rate)
    return judges


def _mark(judge: Any, rate: int, reference: Sound, degraded: Sound) -> float:
    return float(judge.measure_from_arrays(reference.astype(np.float64), degraded.astype(np.float64), rate).moslqo)


def opus(sound: Sound, rate: int, level: float) -> tuple[Sound, int, int]:
    """Send [samples] through Opus; give what comes back, the file's bytes, and those of a file of 20 ms."""
    wide = soxr.resample(sound, rate, OPUS_RATE)
    sizes = []
    for part in (wide, wide[: OPUS_RATE // 50]):
        file = io.BytesIO()
        soundfile.write(file, part, OPUS_RATE, format="OGG", subtype="OPUS", compression_level=level)
        sizes.append(len(file.getvalue()))
        if len(sizes) == 1:
            file.seek(0)
            back = soundfile.read(file, dtype="float32")[0]
    return aligned(soxr.resample(back, OPUS_RATE, rate), sound), sizes[0], sizes[1]


def aligned(sound: Sound, reference: Sound, furthest: int = 1000) -> Sound:
    """Shift a sound by up to so many samples to where it correlates best with the reference, and fit its length."""
    size = 1 << (2 * len(reference) + furthest).bit_length()
    lags = np.fft.irfft(np.fft.rfft(sound, size) * np.conj(np.fft.rfft(reference, size)), size)
    lag = int(np.argmax(np.concatenate([lags[-furthest:], lags[:furthest]]))) - furthest
    moved = np.concatenate([np.zeros(max(0, -lag), np.float32), sound[max(0, lag) :]])[: len(reference)]
    return np.pad(moved, (0, len(reference) - len(moved)))


def ours(sound: Sound, codec: KnownCodec, books: list[int], folder: Path) -> dict[int, tuple[Sound, int, int]]:
    """Encode once, trim and decode for each number of codebooks: sound, bytes, bytes of the header."""
    write(folder / "in.wav", sound[None], codec.facts.sample_rate, subtype="FLOAT")
    encode_file(Job(folder / "in.wav", folder / "all.unshift"), codec)
    found = {}
    for count in books:
        trim(folder / "all.unshift", folder / "some.unshift", count)
        decode_file(Job(folder / "some.unshift", folder / "out.wav"), codec)
        with reading(folder / "some.unshift") as reader:
            header = len(reader.header.to_bytes())
        found[count] = (read(folder / "out.wav")[0][0], (folder / "some.unshift").stat().st_size, header)
    return found


class Table:
    """Rows of measures, a list of figures over recordings for each system."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.rows: dict[str, list[dict[str, float]]] = {}
        self.mel, self.stft, self.visqol = MelDistance(rate), MultiScaleSTFTDistance(), visqol(rate)

    def add(self, system: str, sound: Sound, reference: Sound, size: int, fixed: int) -> None:
        """Measure one recording under one system."""
        one, other = (torch.from_numpy(np.ascontiguousarray(x))[None, None] for x in (sound, reference))
        bits = 8 / (len(reference) / self.rate) / 1000
        row = {"kbit/s": size * bits, "kbit/s without header": (size - fixed) * bits}
        row |= {"mel": float(self.mel.distance(one, other)), "stft": float(self.stft.distance(one, other))}
        row["si_sdr"] = float(si_sdr(one, other))
        row |= {name: judge(reference, sound) for name, judge in self.visqol.items()}
        self.rows.setdefault(system, []).append(row)

    def summary(self) -> dict[str, dict[str, Any]]:
        """Mean and 95 % interval of every column of every system."""
        return {
            system: {c: interval([row[c] for row in rows]) for c in COLUMNS if c in rows[0]}
            for system, rows in self.rows.items()
        }


def interval(values: list[float]) -> dict[str, Any]:
    """Give the mean of figures over recordings, its 95 % bootstrap interval, and the figures."""
    found = np.array(values)
    means = found[np.random.default_rng(0).integers(len(found), size=(4000, len(found)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {"mean": found.mean(), "low": low, "high": high, "values": values}


def steps(summary: dict[str, dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Give pairs of systems to compare: from fewer codebooks to more, and from ours to the nearest Opus."""
    mine = [system for system in summary if "codebooks" in system]
    yield from pairwise(mine)
    rates = {system: row["kbit/s without header"]["mean"] for system, row in summary.items()}
    peers = [system for system in summary if system.startswith("Opus")]
    lowest = min(rates[peer] for peer in peers)
    for one in mine:
        if one == mine[-1] or rates[one] >= 0.9 * lowest:
            yield one, min(peers, key=lambda peer, rate=rates[one]: abs(rates[peer] - rate))


def compare(one: dict[str, Any], other: dict[str, Any], measure: str) -> str:
    """Say in a cell how another system differs from one, and on how many recordings it is worse."""
    changes = [b - a for a, b in zip(one[measure]["values"], other[measure]["values"], strict=True)]
    worse = sum(change < 0 if measure in HIGHER_IS_BETTER else change > 0 for change in changes)
    mean = interval(changes)
    return f"{mean['mean']:+.3f} ({mean['low']:+.3f} to {mean['high']:+.3f}), worse in {worse}"


def report(summary: dict[str, dict[str, Any]]) -> None:
    """Print both tables."""
    columns = [column for column in COLUMNS if column in next(iter(summary.values()))]
    print(f"| system | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")
    for system, row in summary.items():
        cells = [f"{row[c]['mean']:.3g} ({row[c]['low']:.3g} to {row[c]['high']:.3g})" for c in columns]
        print(f"| {system} | {' | '.join(cells)} |")
    measures = [measure for measure in MEASURES if measure in columns]
    print(f"\n| from | to | {' | '.join(measures)} |\n|{'---|' * (len(measures) + 2)}")
    for one, other in steps(summary):
        cells = [compare(summary[one], summary[other], measure) for measure in measures]
        print(f"| {one} | {other} | {' | '.join(cells)} |")


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="a trained codec: a run, a checkpoint or its folder")
    parser.add_argument("--heldout", type=Path, required=True, help="folder of recordings that training never met")
    parser.add_argument("--files", type=int, default=24, help="how many recordings, spread over the folder")
    parser.add_argument("--seconds", type=float, default=8.0, help="the most of each recording")
    parser.add_argument("--books", type=int, nargs="+", help="numbers of codebooks (default: all)")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    options = parser.parse_args()
    folder = store.resolve(options.model)
    network: Any = store.load(folder)
    codec = know(network, store.describe(folder))
    rate, books = codec.facts.sample_rate, options.books or list(range(1, codec.facts.width + 1))
    files = find_audio(options.heldout)
    files = [files[i] for i in np.linspace(0, len(files) - 1, min(options.files, len(files))).round().astype(int)]
    table = Table(rate)
    with tempfile.TemporaryDirectory() as scratch:
        for file in tqdm(files):
            samples, own = read(file)
            sound = soxr.resample(samples.mean(axis=0), own, rate)[: round(options.seconds * rate)]
            table.add("the recording itself (16 bits)", sound, sound, 2 * len(sound), 0)
            for count, found in ours(sound, codec, books, Path(scratch)).items():
                table.add(f"{count} codebooks", found[0], sound, found[1], found[2])
            for level in LEVELS:
                table.add(f"Opus, level {level}", *_order(opus(sound, rate, level), sound))
    summary = table.summary()
    if options.out:
        options.out.write_text(json.dumps({"files": [f.name for f in files], "systems": summary}, indent=1))
    print(f"{len(files)} recordings, {sum(len(r) for r in table.rows.values())} measurements")
    report(summary)


def _order(found: tuple[Sound, int, int], reference: Sound) -> tuple[Sound, Sound, int, int]:
    return found[0], reference, found[1], found[2]


if __name__ == "__main__":
    main()
