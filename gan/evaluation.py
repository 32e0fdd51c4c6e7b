"""Validation: the average model on clips that it never learned from, beside the unrepaired input."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from gan.audio import read_section
from gan.data.dataset import select
from gan.data.manifest import PairRecord
from gan.faults.agreement import together
from gan.faults.mistakes import MISTAKES
from gan.metrics import mean_of, measure_pair
from generators.contract import Pair

Waveform = NDArray[np.float32]


@dataclass(frozen=True)
class Clip:
    """One validation clip and what the model made of it; all [channels, samples]."""

    name: str
    source: Waveform
    target: Waveform
    output: Waveform


class Validation:
    """Clips from the validation split, spread evenly over the manifest, always the same.

    Args:
        folder: what `unshift pairs` wrote.
        clips: how many at most.
        seconds: length of a clip at most, from the middle.
        semitones: which shifts to use; None for all.
    """

    def __init__(self, folder: Path, clips: int, seconds: float, semitones: Sequence[float] | None = None) -> None:
        records = select(folder, "validation", semitones)
        places = np.linspace(0, len(records) - 1, min(clips, len(records))).round().astype(int)
        self.folder = folder
        self.records = [records[place] for place in places]
        if not any(record.semitones for record in self.records):
            # Of what was not shifted nothing is learned about mending: one that was takes the first one's place.
            self.records[:1] = [record for record in records if record.semitones][:1] or self.records[:1]
        self.sample_rate = records[0].sample_rate
        self.samples = round(seconds * self.sample_rate)
        self._baseline: dict[str, Mapping[str, float]] = {}

    def run(
        self,
        generator: nn.Module,
        accelerator: Accelerator,
        listen: int,
        told: Callable[[], object] = lambda: None,
    ) -> tuple[dict[str, float], list[Clip]]:
        """Validate; every process takes its share of the clips and all get the result.

        Args:
            generator: the bare network, or its average.
            accelerator: of the run.
            listen: how many clips to give back.
            told: is called before every clip.

        Returns:
            Mean of every measure over the shifted clips, and the same of the unrepaired input as "<measure>_baseline";
            over the clips that were not shifted, where all that is done is harm, as "<measure>_unshifted"; and, on the
            first process, the first clips.

        Raises:
            ConfigError: on every process, where one of them cannot read a clip.
        """
        modes = {module: module.training for module in generator.modules()}  # frozen parts are in eval mode for good
        generator.eval()
        try:
            rows, clips = together(accelerator, lambda: self._share(generator, accelerator, listen, told), MISTAKES)
        finally:
            for module, training in modes.items():
                module.training = training
        return _means(gather_object(rows)), clips[:listen]

    def _share(
        self, generator: nn.Module, accelerator: Accelerator, listen: int, told: Callable[[], object]
    ) -> tuple[list[tuple[bool, dict[str, float]]], list[Clip]]:
        mine = range(accelerator.process_index, len(self.records), accelerator.num_processes)
        rows, clips = [], []
        for place in tqdm(mine, desc="validate", leave=False, disable=not accelerator.is_main_process):
            told()
            clip = self._work(generator, self.records[place], accelerator.device)
            rows.append((self.records[place].semitones != 0, self._measure(clip)))
            if place < listen * accelerator.num_processes:
                clips.append(clip)
        return rows, clips

    def _work(self, generator: nn.Module, record: PairRecord, device: torch.device) -> Clip:
        samples = min(self.samples, record.samples)
        start = (record.samples - samples) // 2
        source, target = (read_section(self.folder / name, start, samples) for name in (record.source, record.target))
        with torch.inference_mode():
            ours, theirs = (torch.from_numpy(x)[None].to(device) for x in (source, target))
            estimate = generator(Pair(ours, theirs, record.sample_rate))
        return Clip(record.source, source, target, estimate.output[0].float().cpu().numpy())

    def _measure(self, clip: Clip) -> dict[str, float]:
        if clip.name not in self._baseline:
            self._baseline[clip.name] = measure_pair(clip.source, clip.target, self.sample_rate)
        values = measure_pair(clip.output, clip.target, self.sample_rate)
        return values | {f"{name}_baseline": value for name, value in self._baseline[clip.name].items()}


def _means(rows: Sequence[tuple[bool, Mapping[str, float]]]) -> dict[str, float]:
    shifted, unshifted = ([row for was_shifted, row in rows if was_shifted is kind] for kind in (True, False))
    if not shifted or not unshifted:
        return mean_of(shifted or unshifted)
    harm = {f"{name}_unshifted": value for name, value in mean_of(unshifted).items() if "_baseline" not in name}
    return mean_of(shifted) | harm


def waveforms(clip: Clip) -> Iterator[tuple[str, Waveform]]:
    """Give a clip's waveforms with the names under which they are shown."""
    yield from (("shifted", clip.source), ("clean", clip.target), ("mended", clip.output))
