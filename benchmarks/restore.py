"""What restoring costs: real-time factor and peak memory of `unshift restore` on a short and a long file, run in turns.

    .venv/bin/python benchmarks/restore.py --model recipes/models/spectral48.yaml --minutes 1 10

The network has fresh weights: its speed does not depend on them. Each run is a process of its own; its start (imports,
loading) is measured by a file of one second and taken off the real-time factor.
"""

import argparse
import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path

import numpy as np
import yaml
from peak import peak

from gan.audio import read, write
from generators import store

CLIP = Path(__file__).parents[1] / "demo" / "clips" / "kathleen" / "speech_en_kathleen_0.flac"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="a YAML file of recipes/models")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 10])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    spec = yaml.safe_load(options.model.read_text())
    room, _, name = spec["class_path"].rpartition(".")
    network = getattr(import_module(room), name)(**spec["init_args"])
    unshift = str(Path(sys.executable).with_name("unshift"))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        store.save(folder / "model", network, spec)
        speech, rate = read(CLIP)
        sizes = [1 / 60, *options.minutes]
        for minutes in sizes:
            samples = round(minutes * 60 * rate)
            write(folder / f"{minutes}.wav", np.resize(speech, (1, samples)), rate)
        rows: dict[float, list[tuple[float, float]]] = {minutes: [] for minutes in sizes}
        for _ in range(options.rounds):
            for minutes in sizes:
                files = [str(folder / f"{minutes}.wav"), str(folder / "out.wav")]
                rows[minutes].append(
                    peak([unshift, "restore", *files, "--overwrite", "--model", str(folder / "model")])
                )
    start = float(np.median([seconds for seconds, _ in rows[sizes[0]]]))
    print(f"{options.model.stem}, {os.cpu_count()} cores, start {start:.1f} s")
    print("minutes   real-time factor (spread)   peak MiB")
    for minutes in options.minutes:
        factors = [(seconds - start) / (60 * minutes) for seconds, _ in rows[minutes]]
        most = max(memory for _, memory in rows[minutes])
        print(f"{minutes:7g}   {np.median(factors):.3f} ({min(factors):.3f} to {max(factors):.3f})   {most:12.0f}")


if __name__ == "__main__":
    main()
