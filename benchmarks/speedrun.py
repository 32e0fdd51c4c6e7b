"""Which recipe mends best in the same time: real trainings of equal wall time, and what they do to held-out voices.

    unshift pairs demo/clips pairs --semitones -12 -7 7 12 --held-out sms_male
    python benchmarks/speedrun.py --pairs pairs --seconds 150 --seeds 0 1

Every file of benchmarks/speedrun/ is an option: a recipe. Each is first run for some steps to learn its speed, and then
for as many as fit into the time, so that its learning rate decays to the end. (With --steps it has so many, whatever
they cost: a clock says nothing where other programs come and go.) Held-out mel and STFT distance are
validated eight times on the way; the time of validations counts for all alike. Prints a table and draws the curves.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from gan.journal import read_journal

OPTIONS = Path(__file__).parent / "speedrun"
STAGE = Path(__file__).parents[1] / "recipes" / "stage1.py"
PILOT = 20  # steps, of which the first half warms up
LOOKS = 8
MEASURES = {"mel": "mel distance", "stft": "STFT distance"}


def train(option: str, run: Path, pairs: Path, seed: int, steps: int, validate: int, journal: int) -> None:
    """Run an option's recipe in a process of its own."""
    words = {"folder": run, "data.pairs": pairs, "seed": seed, "steps": steps}
    words |= {"rhythm.journal": journal, "rhythm.validate": validate, "rhythm.save": validate}
    words |= {"rhythm.clips": 12, "rhythm.clip_seconds": 2.0, "rhythm.listen": 0, "rhythm.keep": 1}
    command = [sys.executable, str(STAGE), "--config", str(OPTIONS / f"{option}.yaml")]
    command += [f"--{name}={value}" for name, value in words.items()]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"{option} ended with {ended.returncode}: {ended.stderr.splitlines()[-1]}")


def race(option: str, seed: int, parsed: argparse.Namespace) -> Path:
    """Run an option for the wall time; gives its run."""
    run: Path = parsed.folder / f"{option}_{seed}"
    if (run / "best").exists():
        return run
    if parsed.steps:
        every = max(1, parsed.steps // LOOKS)
        train(option, run, parsed.pairs, seed, LOOKS * every, every, every)
        return run
    pilot = parsed.folder / f"{option}_{seed}_pilot"
    train(option, pilot, parsed.pairs, seed, PILOT, PILOT, PILOT // 2)
    warm, end = (entry for entry in read_journal(pilot) if entry["kind"] == "train")
    speed = (end["step"] - warm["step"]) / (end["seconds"] - warm["seconds"])
    every = max(1, round(parsed.seconds * speed / LOOKS))
    train(option, run, parsed.pairs, seed, LOOKS * every, every, every)
    return run


def curve(run: Path) -> dict[str, list[float]]:
    """Read the seconds and the measures of a run's validations, the first one's end as second 0."""
    looks = [entry for entry in read_journal(run) if entry["kind"] == "validation"]
    found = {name: [entry["values"][name] for entry in looks] for name in MEASURES}
    return {"seconds": [entry["seconds"] - looks[0]["seconds"] for entry in looks], **found}


def reached(line: dict[str, list[float]], goal: float, name: str) -> float:
    """Say after how many seconds of training a measure was first as low as the goal; infinity if never."""
    looks = zip(line["seconds"][1:], line[name][1:], strict=True)  # the first look is before the first step
    return next((second for second, value in looks if value <= goal), np.inf)


def table(curves: dict[str, list[dict[str, list[float]]]]) -> str:
    """Give the last validation of every option (mean and each seed), and when it was as good as the baseline's last."""
    lines = ["| option | steps' time, s | mel | STFT | baseline's last mel after |", "|---|---|---|---|---|"]
    goal = float(np.mean([line["mel"][-1] for line in curves["baseline"]]))
    for option, seeds in curves.items():
        cells = []
        for name in MEASURES:
            last = [line[name][-1] for line in seeds]
            cells.append(f"{np.mean(last):.4f} ({', '.join(f'{value:.4f}' for value in last)})")
        after = [reached(line, goal, "mel") for line in seeds]
        when = ", ".join("never" if np.isinf(second) else f"{second:.0f} s" for second in after)
        seconds = np.mean([line["seconds"][-1] for line in seeds])
        lines.append(f"| {option} | {seconds:.0f} | {cells[0]} | {cells[1]} | {when} |")
    return "\n".join(lines)


def draw(curves: dict[str, list[dict[str, list[float]]]], file: Path) -> None:
    """Draw every option's curves, a panel a measure."""
    from matplotlib import pyplot  # slow to import

    figure, panels = pyplot.subplots(1, len(MEASURES), figsize=(12, 5), layout="constrained")
    for panel, (name, words) in zip(panels, MEASURES.items(), strict=True):
        for number, (option, seeds) in enumerate(curves.items()):
            for line in seeds:
                label = option if line is seeds[0] else None
                panel.plot(line["seconds"], line[name], color=f"C{number}", label=label, marker=".")
        panel.set(xlabel="seconds of training", ylabel=f"{words} of held-out voices (lower is better)")
    panels[0].legend()
    figure.savefig(file, dpi=120)


def main(arguments: Sequence[str] | None = None) -> None:
    """Race, print the table, draw the picture."""
    known = sorted(file.stem for file in OPTIONS.glob("*.yaml"))
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pairs", type=Path, required=True, help="what `unshift pairs` wrote")
    parser.add_argument("--seconds", type=float, default=150.0, help="of training, for each run (150)")
    parser.add_argument("--steps", type=int, help="of each run, for a machine whose time is not one's own alone")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="runs of each option (0 1)")
    parser.add_argument("--options", nargs="+", choices=known, default=known, help="which (all; baseline always)")
    parser.add_argument("--folder", type=Path, default=Path("runs/speedrun"), help="for the runs; those there are kept")
    parser.add_argument("--at-once", type=int, default=1, help="runs side by side, each on its share of threads (1)")
    parsed = parser.parse_args(arguments)
    options = ["baseline", *(option for option in parsed.options if option != "baseline")]
    jobs = [(option, seed) for seed in parsed.seeds for option in options]
    with ThreadPoolExecutor(parsed.at_once) as pool:
        futures = [pool.submit(race, option, seed, parsed) for option, seed in jobs]
        runs = [future.result() for future in tqdm(futures, desc="runs", disable=None)]
    curves: dict[str, list[dict[str, Any]]] = {option: [] for option in options}
    for (option, _), run in zip(jobs, runs, strict=True):
        curves[option].append(curve(run))
    (parsed.folder / "curves.json").write_text(json.dumps(curves))
    draw(curves, parsed.folder / "speedrun.png")
    print(table(curves))


if __name__ == "__main__":
    main()
