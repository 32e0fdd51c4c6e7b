"""Where in time and frequency a model mends: DAC's mel distance window by window, before and after, on held-out voices.

    python benchmarks/windows.py MODEL PAIRS
    python benchmarks/windows.py runs/a runs/b PAIRS

The distance is a sum over seven windows. Short ones hear single pulses of a voice, and so the phase, which no network
can know where a shifter has lost it; long ones hear partials. Two columns say what is there to be won: "magnitudes"
are the target's on the input's phases and "phases" the other way round, through a transform of 1024 samples, as far as
there is a waveform of such a spectrum. Means over the shifted clips of the validation split, as training takes them.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from gan.evaluation import Validation
from gan.losses import MelDistance
from generators import store

BANDS = (5, 10, 20, 40, 80, 160, 320)
WINDOWS = (32, 64, 128, 256, 512, 1024, 2048)
FFT, HOP = 1024, 256


def distances(output: Tensor, target: Tensor, rate: int) -> list[float]:
    """Give the distance at every window of two waveforms, [channels, samples]."""
    terms = [MelDistance(rate, [bands], [window]) for bands, window in zip(BANDS, WINDOWS, strict=True)]
    return [float(term.distance(output[None], target[None])) for term in terms]


def crossed(magnitudes: Tensor, phases: Tensor) -> Tensor:
    """Give a waveform of the one's magnitudes and the other's phases, as far as there is one; [channels, samples]."""
    window = torch.hann_window(FFT)
    ours, theirs = (torch.stft(x, FFT, HOP, window=window, return_complex=True) for x in (magnitudes, phases))
    return torch.istft(torch.polar(ours.abs(), theirs.angle()), FFT, HOP, window=window, length=phases.shape[-1])


def table(columns: dict[str, list[float]]) -> str:
    """Give a row a window and one for their sum; in brackets how much less than the first column, in percent."""
    lines = ["| window, samples (bands) | " + " | ".join(columns) + " |", "|" + "---|" * (len(columns) + 1)]
    rows = [f"{window} ({bands})" for window, bands in zip(WINDOWS, BANDS, strict=True)] + ["sum"]
    values = np.array([[*column, sum(column)] for column in columns.values()]).T
    for name, (before, *after) in zip(rows, values, strict=True):
        cells = [f"{value:.4f} ({100 * (value / before - 1):+.1f} %)" for value in after]
        lines.append(f"| {name} | " + " | ".join([f"{before:.4f}", *cells]) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Mend the clips by every model and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL", help="a run, a checkpoint or a model's folder")
    parser.add_argument("pairs", type=Path, metavar="PAIRS", help="what `unshift pairs` wrote")
    parser.add_argument("--clips", type=int, default=12, help="at most (12)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each clip at most, from its middle (2)")
    parsed = parser.parse_args(arguments)
    validation = Validation(parsed.pairs, parsed.clips, parsed.seconds)
    found: dict[str, list[list[float]]] = {}
    for model in parsed.models:
        network = store.load(store.resolve(model))
        _, clips = validation.run(network, Accelerator(cpu=True), listen=parsed.clips)
        for record, clip in zip(validation.records, clips, strict=True):
            source, target, output = map(torch.from_numpy, (clip.source, clip.target, clip.output))
            heard = {str(model): output}
            if model is parsed.models[0]:
                better = {"magnitudes": crossed(target, source), "phases": crossed(source, target)}
                heard = {"unrepaired": source, **better, **heard}
            for name, waveform in heard.items() if record.semitones else ():
                found.setdefault(name, []).append(distances(waveform, target, validation.sample_rate))
    print(table({name: np.mean(rows, axis=0).tolist() for name, rows in found.items()}))


if __name__ == "__main__":
    main()
