"""How soon discriminators tell what a restorer made from the clean original, and what a step of each costs.

    python benchmarks/judges.py MODEL PAIRS --panels recipes/critics/frames.yaml recipes/critics/cpu.yaml

The restorer stays as it is; every member of the panels learns alone, all from the same batches of shifted training
pairs (least squares, AdamW). A member is right of an example where it scores the original higher than what was made of
its shifted side: 0.5 is chance.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import nn
from tqdm import tqdm

from discriminators.ensemble import Ensemble, normalised
from gan.data.dataset import PairCrops
from generators import store

SHIFTS = [float(k) for k in range(-12, 13) if k]


def main(arguments: Sequence[str] | None = None) -> None:
    """Let all members learn, and print how often each was right."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path, help="a run, a checkpoint or a generator's folder")
    parser.add_argument("pairs", type=Path, help="what `unshift pairs` wrote")
    parser.add_argument("--panels", type=Path, nargs="+", required=True, help="files of recipes/critics")
    parser.add_argument("--steps", type=int, default=100, help="(100)")
    parser.add_argument("--batch", type=int, default=8, help="examples a step (8)")
    parser.add_argument("--rate", type=float, default=1e-3, help="the learning rate (1e-3)")
    parser.add_argument("--every", type=int, default=20, help="steps that a figure is the mean of (20)")
    parsed = parser.parse_args(arguments)
    torch.manual_seed(0)
    members: dict[str, nn.Module] = {}
    for file in parsed.panels:
        panel = store.build(yaml.safe_load(file.read_text()), trust=True)
        assert isinstance(panel, Ensemble)
        members |= {f"{file.stem}/{name}": member for name, member in panel.members.items()}
    optimisers = {
        name: torch.optim.AdamW(member.parameters(), parsed.rate, (0.8, 0.99)) for name, member in members.items()
    }
    restorer = store.load(store.resolve(parsed.model))
    crops = PairCrops(parsed.pairs, 0.853, 0, SHIFTS, gain=6.0)
    right: dict[str, list[float]] = {name: [] for name in members}
    seconds = dict.fromkeys(members, 0.0)
    for step in tqdm(range(parsed.steps), disable=None):
        examples = [crops[step * parsed.batch + place] for place in range(parsed.batch)]
        source, target = (torch.stack(side) for side in zip(*examples, strict=True))
        with torch.no_grad():
            made = restorer.restore(source)
        for name, member in members.items():
            begun = time.process_time()
            real, fake = (member(normalised(waveform)).score for waveform in (target, made))
            loss = (1 - real).square().mean() + fake.square().mean()
            optimisers[name].zero_grad()
            loss.backward()
            optimisers[name].step()
            seconds[name] += time.process_time() - begun
            right[name].append(float((real.flatten(1).mean(1) > fake.flatten(1).mean(1)).double().mean()))
    print(table(right, seconds, parsed.every))


def table(right: dict[str, list[float]], seconds: dict[str, float], every: int) -> str:
    """Give how often each was right, over so many steps each, and the processor's seconds a step."""
    count = len(next(iter(right.values())))
    ends = range(every, count + 1, every)
    lines = [f"| | {' | '.join(f'steps {end - every + 1} to {end}' for end in ends)} | seconds a step |"]
    lines.append("|---" * (len(ends) + 2) + "|")
    for name, values in right.items():
        cells = [f"{np.mean(values[end - every : end]):.2f}" for end in ends]
        lines.append(f"| {name} | {' | '.join(cells)} | {seconds[name] / count:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
