"""What making pairs costs: `gan.pairs` on one process and more, and the seeds' procedure written plainly, in turns.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/pairs.py --folder demo/clips --rounds 5 --workers 1 2

Both shift there and back at 96 kHz with Signalsmith Stretch and write 48 kHz FLAC files. The procedure that the first
experiments used: torchaudio's kaiser resampling (width 6 on the way up, 100 on the way down), one stretcher a file, one
process; it checks nothing. Ours also listens through each recording, measures every pair, hashes, and syncs its files.

The unit is seconds of shifted audio made in a second on one core: once by the clock, where other work on the machine
counts, and once by processor time. More workers than one are processes of their own, whose start is counted. Ratios are
taken round by round, with their least and most. A last, profiled run tells where our processor time goes.
"""

import argparse
import cProfile
import os
import pstats
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from features.torchaudio_extension import allow_torchaudio_without_extension
from gan.audio import Reader, find_audio
from gan.pairs.make import PairSettings, make_pairs

CLIPS = Path(__file__).parents[1] / "demo" / "clips"
RATE = 48000
# Functions of gan.pairs that do not call each other, and what their time is spent on.
PARTS = {
    "the shifter": ("apply_shifter",),
    "measuring the pairs": ("check_sides",),
    "resampling": ("widen", "narrow", "resample"),
    "reading, writing, hashing": ("_write_flac", "_listen_through", "_digest", "read_pieces", "write_text"),
}
# Seconds by the clock and of processor time, in that order.
Times = tuple[float, float]


def plainly(files: Sequence[Path], folder: Path, semitones: Sequence[float]) -> float:
    """Make pairs as the first experiments did; gives the processor seconds inside the shifter."""
    allow_torchaudio_without_extension()
    import torch
    from python_stretch.Signalsmith import Stretch
    from torchaudio.transforms import Resample

    shifting = 0.0
    for number, file in enumerate(files):
        stretch = Stretch(0)
        stretch.preset(1, 2.0 * RATE)
        audio, rate = soundfile.read(file, dtype="float32", always_2d=True)
        clean = torch.from_numpy(np.ascontiguousarray(audio.mean(axis=1)[None]))
        wide = Resample(rate, 2 * RATE, resampling_method="sinc_interp_kaiser")(clean).numpy()
        down = Resample(2 * RATE, RATE, resampling_method="sinc_interp_kaiser", lowpass_filter_width=100)
        for shift in semitones:
            begun = time.process_time()
            stretch.setTransposeSemitones(shift)
            there = stretch.process(wide)
            stretch.setTransposeSemitones(-shift)
            back = stretch.process(there)
            shifting += time.process_time() - begun
            soundfile.write(folder / f"{number}_shifted_{shift:+g}.flac", down(torch.from_numpy(back))[0].numpy(), RATE)
        target = Resample(rate, RATE, resampling_method="sinc_interp_kaiser", lowpass_filter_width=100)(clean)
        soundfile.write(folder / f"{number}_baseline.flac", target[0].numpy(), RATE)
    return shifting


def timed(work: Callable[[Path], object]) -> Times:
    """Time work in a new folder, with that of the processes it starts and waits for."""
    with tempfile.TemporaryDirectory() as scratch:
        before, begun = processor(), time.perf_counter()
        work(Path(scratch) / "pairs")
        return time.perf_counter() - begun, processor() - before


def processor() -> float:
    """Give the processor seconds of this process so far, and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Give the median, the least and the most."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def where(work: Callable[[Path], object]) -> dict[str, float]:
    """Give the shares of our processor time, on one process."""
    profile = cProfile.Profile(time.process_time)
    with tempfile.TemporaryDirectory() as scratch:
        profile.runcall(work, Path(scratch) / "pairs")
    rows = pstats.Stats(profile).stats.items()  # type: ignore[attr-defined]
    ours = {name: spent[3] for (file, _, name), spent in rows if "gan" in Path(file).parts}
    shares = {part: sum(ours.get(name, 0.0) for name in names) / ours["make_pairs"] for part, names in PARTS.items()}
    return shares | {"the rest": 1 - sum(shares.values())}


def race(folder: Path, semitones: tuple[float, ...], workers: list[int], rounds: int) -> None:
    """Print the tables."""
    files, made = find_audio(folder), 0.0
    for file in files:
        with Reader(file) as reader:
            made += len(semitones) * reader.samples / reader.sample_rate

    def peer(destination: Path) -> None:
        destination.mkdir()
        inside.append(plainly(files, destination, semitones))

    def ours(count: int) -> Callable[[Path], object]:
        plan = {"source": folder, "sample_rate": RATE, "semitones": semitones, "workers": count}
        return lambda destination: make_pairs(PairSettings(destination=destination, **plan), progress=False)  # type: ignore[arg-type]

    inside: list[float] = []
    works = {"plainly, one process": peer} | {f"gan.pairs, {n} worker{'s'[: n > 1]}": ours(n) for n in workers}
    cores = dict(zip(works, [1, *workers], strict=True))
    plainly(files[:1], Path(tempfile.mkdtemp()), semitones[:1])  # imports, which are not to be timed
    times: dict[str, list[Times]] = {name: [] for name in works}
    for turn in tqdm(range(rounds), desc="rounds"):
        # Who comes first changes: the machine's other work must not always meet the same one.
        for name in list(works)[:: 1 if turn % 2 else -1]:
            times[name].append(timed(works[name]))
    print(f"{len(files)} recordings, {made:.0f} s of shifted audio, {rounds} rounds in turns, {os.cpu_count()} cores\n")
    print("| | by the clock, a core | by processor time | times plainly, by processor time | times one worker |")
    print("|---|---|---|---|---|")
    plain, *mine = times.values()
    for name, rows in times.items():
        clock = [made / wall / cores[name] for wall, _ in rows]
        ratio = spread([theirs[1] / own[1] for theirs, own in zip(plain, rows, strict=True)])
        scale = spread([one[0] / own[0] for one, own in zip(mine[0], rows, strict=True)]) if rows is not plain else "-"
        print(f"| {name} | {spread(clock, 1)} | {spread([made / cpu for _, cpu in rows], 1)} | {ratio} | {scale} |")
    shares = [shift / cpu for shift, (_, cpu) in zip(inside, plain, strict=True)]
    print(f"\nThe shifter's share of the plain procedure: {spread(shares)}")
    print(f"The plain procedure with nothing but the shifter: {spread([1 / share for share in shares])} times\n")
    print("| where ours goes | share |\n|---|---|")
    for part, share in where(ours(1)).items():
        print(f"| {part} | {100 * share:.0f} % |")


def main() -> None:
    """Measure what is asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=CLIPS, help="recordings")
    parser.add_argument("--semitones", type=float, nargs="+", default=[-12, -7, -3, 3, 7, 12])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a core is to be a core; torch is imported later
    race(options.folder, tuple(options.semitones), options.workers, options.rounds)


if __name__ == "__main__":
    main()
