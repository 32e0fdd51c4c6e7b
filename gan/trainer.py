"""The loop: load, step, average, and now and then speak, validate and save. What a step does stands in gan/step.py."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor
from tqdm import tqdm

from features.contract import EarError
from gan import checkpoint
from gan.assembly import Assembly, assemble, meet
from gan.audio import AudioError, write
from gan.checkpoint import CheckpointError
from gan.config import Config, load_for_command
from gan.critics import NonFiniteError
from gan.data.dataset import PairCrops, Share, micro_batches
from gan.data.manifest import ManifestError
from gan.evaluation import Clip, Validation, waveforms
from gan.journal import Journal, JournalError
from gan.recipe import ConfigError
from gan.run import open_run
from gan.schedule import set_rate
from gan.tally import Tally
from gan.weighing import WeightError
from generators.contract import ModelError, Pair

MISTAKES = (
    *(AudioError, CheckpointError, ConfigError, EarError, JournalError, ManifestError, ModelError, WeightError),
    OSError,
)
T = TypeVar("T")


def run_stage(file: str, description: str | None) -> None:
    """Run a stage script: read its recipe from the command line, train, and end with an exit code.

    0: the run is complete. 2: a mistake in what was given, one line on standard error. 3: the numbers went bad. 130:
    interrupted; the same command goes on after the newest checkpoint.
    """
    try:
        train(load_for_command(file, description))
    except MISTAKES as error:
        print(f"unshift: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    except NonFiniteError as error:
        print(f"unshift: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(3)
    except KeyboardInterrupt:
        print("unshift: interrupted; the same command goes on after the newest checkpoint", file=sys.stderr)  # noqa: T201
        sys.exit(130)


def train(config: Config) -> Path:
    """Train a stage from its start, or from its newest checkpoint where its folder has one.

    Returns:
        The run's folder.

    Raises:
        ConfigError, ManifestError, CheckpointError, ModelError, EarError, WeightError: something that was given cannot
            be used; one line says what to do.
        NonFiniteError: a gradient went bad.
    """
    accelerator = meet()
    run = Path(config.values["folder"])
    first_alone(accelerator, lambda: open_run(run, config))
    goes_on = bool(checkpoint.whole_checkpoints(run))
    assembly = assemble(config.without_start() if goes_on else config, accelerator)
    trainer = Trainer(assembly, accelerator, run)
    try:
        trainer.work()
    finally:
        trainer.close()
    accelerator.end_training()
    return run


def first_alone(accelerator: Accelerator, work: Callable[[], T]) -> T | None:
    """Let the first process do what one alone may do; the others wait for it, and end as it does.

    Returns:
        What the work gives, on the first process; None on the others.

    Raises:
        ConfigError: on every process, with the line of the mistake that the first one met.
    """
    result: T | None = None
    said: list[str | None] = [None]
    if accelerator.is_main_process:
        try:
            result = work()
        except MISTAKES as error:
            said = [str(error)]
    broadcast_object_list(said)
    if said[0] is not None:
        raise ConfigError(said[0])
    return result


class Trainer:
    """One process's part of a run.

    Args:
        assembly: the parts.
        accelerator: of the run.
        run: the run's folder.
    """

    def __init__(self, assembly: Assembly, accelerator: Accelerator, run: Path) -> None:
        self.recipe, self.state, self.step = assembly.recipe, assembly.state, assembly.step
        self.accelerator = accelerator
        self.run = run
        data, rhythm = self.recipe.data, self.recipe.rhythm
        folder = Path(data.pairs)
        try:
            self.share = Share(data.batch, data.accumulate, accelerator.num_processes, accelerator.process_index)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        self.crops = PairCrops(folder, data.crop, self.recipe.seed, data.semitones, data.gain)
        self.validation = Validation(folder, rhythm.clips, rhythm.clip_seconds, data.semitones)
        rate = getattr(self.state.generator, "sample_rate", None)
        if rate != self.crops.sample_rate:
            raise ConfigError(
                f"the generator works at {rate} Hz, but {folder} holds pairs at {self.crops.sample_rate} Hz"
            )
        self._compare_channels(folder)
        self.start = self._resume()
        self.journal = first_alone(accelerator, lambda: Journal(run, self.start))
        self.tally = Tally(accelerator)

    def _compare_channels(self, folder: Path) -> None:
        """See that a codec gets as many channels as it codes together; restorers work channel by channel."""
        wanted, there = getattr(self.state.generator, "channels", None), self.crops.channels
        if isinstance(wanted, int) and wanted != there:
            raise ConfigError(
                f"the generator codes {wanted} channel{'s' * (wanted != 1)}, but {folder} holds pairs of {there}: make "
                f"some with `unshift pairs --channels {wanted}`, or give its encoder and decoder `audio: {there}`"
            )

    def work(self) -> None:
        """Take the steps that are left."""
        steps = self.recipe.steps
        if self.start >= steps:
            self.accelerator.print(f"{self.run} is complete: {steps} steps")
            return
        batches = micro_batches(self.crops, self.share, self.start, steps, self.recipe.data.workers)
        if self.start == 0:
            self._validate(0)
        shown = self.accelerator.is_main_process
        bar = tqdm(range(self.start, steps), initial=self.start, total=steps, desc=self.run.name, disable=not shown)
        for step in bar:
            self._set_rates(step)
            pairs = [self._pair(batches) for _ in range(self.recipe.data.accumulate)]
            self.tally.add(self.step(pairs, step))
            if self.state.average:
                self.state.average.update(self.state.generator)
            self._after(step + 1, bar)

    def close(self) -> None:
        """Close the journal."""
        if self.journal:
            self.journal.close()

    def _resume(self) -> int:
        whole = checkpoint.whole_checkpoints(self.run)
        if not whole:
            return 0
        step = checkpoint.resume(whole[-1], self.state, self.accelerator.process_index)
        first_alone(self.accelerator, lambda: self._mend_links(whole))
        self.accelerator.print(f"going on with {self.run} after step {step}")
        return step

    def _mend_links(self, whole: list[Path]) -> None:
        """Let the links say what the newest checkpoint says; a kill may have come between, and `prune` goes by them."""
        wanted = {"latest": whole[-1]}
        if "step" in self.state.best:
            wanted["best"] = checkpoint.folder_of(self.run, int(self.state.best["step"]))
        for name, folder in wanted.items():
            if folder in whole and (self.run / name).resolve() != folder.resolve():
                checkpoint.point(self.run / name, folder)

    def _pair(self, batches: Iterator[list[Tensor]]) -> Pair:
        source, target = (x.to(self.accelerator.device, non_blocking=True) for x in next(batches))
        return Pair(source, target, self.crops.sample_rate)

    def _set_rates(self, step: int) -> None:
        factor = self.recipe.rate(step, self.recipe.steps)
        set_rate(self.state.optimiser, factor)
        if self.state.critics_optimiser:
            set_rate(self.state.critics_optimiser, factor)

    def _after(self, done: int, bar: "tqdm[int]") -> None:
        rhythm, last = self.recipe.rhythm, done == self.recipe.steps
        if last or done % rhythm.journal == 0:
            values = self.tally.take()
            values["rate/generator"] = self.state.optimiser.param_groups[0]["lr"]
            values["speed/seconds_of_audio_per_second"] = (
                values.pop("speed/steps") * self.recipe.data.batch * (self.recipe.data.crop)
            )
            bar.set_postfix(loss=f"{values['loss/total']:.4f}")
            if self.journal:
                self.journal.write("train", done, values)
        better = (last or done % rhythm.validate == 0) and self._validate(done)
        if last or better or done % rhythm.save == 0:
            folder = checkpoint.save(self.run, done, self.state, self.accelerator)
            if self.accelerator.is_main_process:
                if better:
                    checkpoint.point(self.run / "best", folder)
                checkpoint.prune(self.run, rhythm.keep)

    def _validate(self, done: int) -> bool:
        """Validate; say whether this was the best so far (never so before the first step)."""
        model = self.state.average.module if self.state.average else self.state.generator
        values, clips = self.validation.run(model, self.accelerator, self.recipe.rhythm.listen)
        if self.journal:
            # A codec is given what it is to give back: there is nothing to hold it against.
            unrepaired = values["mel_baseline"]
            beside = f", unrepaired input {unrepaired:.4f}" if unrepaired else ""
            tqdm.write(
                f"step {done}: mel distance {values['mel']:.4f}{beside}",
                file=sys.stderr,
            )
            self.journal.write("validation", done, values)
            for number, clip in enumerate(clips):
                self._show(number, clip, done)
        if done == 0 or values["mel"] >= self.state.best.get("mel", float("inf")):
            return False
        self.state.best = {"mel": values["mel"], "step": done}
        return True

    def _show(self, number: int, clip: Clip, done: int) -> None:
        if not self.journal:
            return
        for name, waveform in waveforms(clip):
            if name == "mended" or done == self.start:
                self.journal.show(f"{number}/{name}", done, waveform, self.crops.sample_rate)
                folder = self.run / "samples" / f"{number}"
                folder.mkdir(parents=True, exist_ok=True)
                suffix = f"_{done:08d}" if name == "mended" else ""
                write(folder / f"{name}{suffix}.flac", waveform, self.crops.sample_rate)
