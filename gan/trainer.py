"""The loop: load, step, average, and now and then speak, validate and save. What a step does stands in gan/step.py."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from gan import checkpoint
from gan.assembly import Assembly, assemble, meet
from gan.config import Config, load_for_command
from gan.data.loading import micro_batches
from gan.data.skipped import Skipped
from gan.doctor.verdicts import Doctor, tell
from gan.evaluation import Clip, Validation, waveforms
from gan.faults.agreement import first_alone, together
from gan.faults.bad_steps import BadSteps
from gan.faults.damage import mend_links, newest_whole
from gan.faults.exits import told_in_one_line
from gan.faults.mistakes import MISTAKES
from gan.faults.stopping import Stop, StoppedError, held_back
from gan.faults.watchdog import Watchdog
from gan.fitting import open_crops, share_of
from gan.journal import Journal, read_journal
from gan.recipe import ConfigError
from gan.run import open_run
from gan.schedule import set_rate
from gan.step import BadStepError
from gan.tally import Tally
from generators.contract import Pair


def run_stage(file: str, description: str | None) -> None:
    """Run a stage script: read its recipe from the command line, train, and end with an exit code.

    0: the run is complete. 2: a mistake in what was given, or a disk that is full. 3: the numbers went bad. 75: stopped
    by SIGTERM or Ctrl-C after a step, which is saved; the same command goes on from there. See gan/faults/exits.py.

    `accelerate launch` and torchrun make 1 of every code but 0: where a scheduler has to tell them apart, one process
    is started by `python` alone. torchrun hands a signal on and ends what is left after 30 seconds; `accelerate launch`
    with one process does not hand SIGTERM on: there the signal has to go to the script itself.
    """
    with told_in_one_line():
        train(load_for_command(file, description), last=True)


def train(config: Config, last: bool = False) -> Path:
    """Train a stage from its start, or from its newest checkpoint where its folder has one.

    Args:
        config: the recipe.
        last: the process ends with the run, see gan.faults.stopping.

    Returns:
        The run's folder.

    Raises:
        ConfigError, ManifestError, CheckpointError, ModelError, EarError, WeightError: something that was given cannot
            be used; one line says what to do.
        NonFiniteError: a gradient went bad, and the recipe says to stop.
        StoppedError: SIGTERM or SIGINT came; what was done until then is saved.
    """
    accelerator = meet()
    run = Path(config.values["folder"])
    first_alone(accelerator, lambda: open_run(run, config), MISTAKES)
    newest = newest_whole(accelerator, run)
    assembly = assemble(config.without_start() if newest else config, accelerator)
    trainer = Trainer(assembly, accelerator, run)
    stop = Stop(accelerator, last)
    try:
        with stop:
            stopped = trainer.work(newest, stop)
    finally:
        trainer.close()
    accelerator.end_training()
    if stopped:
        raise StoppedError(f"stopped after step {stopped} of {trainer.recipe.steps}; the same command goes on there")
    return run


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
        self.share = share_of(data, accelerator.num_processes, accelerator.process_index)
        self.crops = together(accelerator, lambda: open_crops(data, self.recipe.seed, self.state.generator), MISTAKES)
        clips = Path(data.pairs), rhythm.clips, rhythm.clip_seconds, data.semitones
        self.validation = together(accelerator, lambda: Validation(*clips), MISTAKES)
        self.tally = Tally(accelerator)
        self.bad = BadSteps(self.recipe, run, self.state, self.share, accelerator)
        self.watchdog = Watchdog(rhythm.patience, rhythm.give_up, accelerator.process_index, accelerator.num_processes)
        self.journal: Journal | None = None

    def work(self, newest: Path | None, stop: Stop) -> int:
        """Take the steps that are left.

        Args:
            newest: the checkpoint to go on from, or None.
            stop: what may ask to stop after a step.

        Returns:
            After how many the run was stopped; 0 where it is complete.
        """
        steps, self.stop = self.recipe.steps, stop
        self.step.read = stop.read
        with self.watchdog:
            self.start = self._resume(newest)
            self._open_journal()
            if self.start >= steps:
                self.accelerator.print(f"{self.run} is complete: {steps} steps")
                return 0
            if self.start == 0:
                self._validate(0)
            while self.start < steps and not stop.agreed:  # once, but for roll-backs
                self._take_steps()
            self._name_skipped(self.tally.files.over_all())
        return self.start if self.start < steps else 0

    def _name_skipped(self, files: Skipped) -> None:
        """Name the files that could not be read, once."""
        if (line := files.line()) and self.accelerator.is_main_process:
            print(f"unshift: {line}", file=sys.stderr)  # noqa: T201
        self.tally.files = Skipped()

    def _take_steps(self) -> None:
        """Go on from the start to the end, a stop or a roll-back; the start is then where that left the run."""
        steps, shown = self.recipe.steps, self.accelerator.is_main_process
        self.watchdog.at(self.start, "starting")
        with held_back():
            workers = self.recipe.data.workers
            batches = micro_batches(self.crops, self.share, self.start, steps, workers, self.tally.files)
        first = self.start
        bar = tqdm(range(first, steps), initial=first, total=steps, desc=self.run.name, disable=not shown)
        for step in bar:
            self._set_rates(step)
            self.watchdog.at(step, "loading")
            pairs = [self._pair(batches) for _ in range(self.recipe.data.accumulate)]
            self.watchdog.at(step, "taking the step")
            if not self._take(pairs, step):
                return
            self._after(step + 1, bar)
            self.start = step + 1
            if self.stop.agreed:
                return

    def _take(self, pairs: list[Pair], step: int) -> bool:
        """Take a step; say whether the run goes on from it."""
        random = checkpoint.random_state()
        try:
            self.tally.add(self.step(pairs, step))
        except BadStepError as error:
            if self.bad.meet(error, step, random) == "roll_back":
                self._roll_back(error)
                return False
            self.tally.skip()
            return True
        self.bad.good()
        if self.state.average:
            self.state.average.update(self.state.generator)
        return True

    def _roll_back(self, error: BadStepError) -> None:
        self.watchdog.at(self.start, "rolling back")
        newest, faults = newest_whole(self.accelerator, self.run), self.state.faults
        if newest is None:
            raise error
        self.start = self._resume(newest)
        self.bad.rolled_back(faults)
        self._close_journal()
        self._open_journal()

    def _open_journal(self) -> None:
        """Open the journal, and have the doctor hear what it says so far."""
        self.journal = first_alone(self.accelerator, lambda: Journal(self.run, self.start), MISTAKES)
        self.doctor = Doctor(self.recipe)
        if self.journal:
            self.doctor.recall(read_journal(self.run))

    def close(self) -> None:
        """Close the journal; where the run broke off, this process names what it skipped."""
        self._name_skipped(self.tally.files)
        self._close_journal()

    def _close_journal(self) -> None:
        if self.journal:
            self.journal.close()

    def _resume(self, newest: Path | None) -> int:
        if newest is None:
            return 0
        self.watchdog.at(int(newest.name), "resuming")
        processes = self.accelerator.process_index, self.accelerator.num_processes
        resume = lambda: checkpoint.resume(newest, self.state, *processes)  # noqa: E731
        step, tally = together(self.accelerator, resume, MISTAKES)
        self.tally.load_state(tally)
        first_alone(self.accelerator, lambda: mend_links(self.run, newest, self.state.best))
        self.accelerator.print(f"going on with {self.run} after step {step}")
        return step

    def _pair(self, batches: Iterator[list[Tensor]]) -> Pair:
        source, target = (x.to(self.accelerator.device, non_blocking=True) for x in next(batches))
        return Pair(source, target, self.crops.sample_rate)

    def _set_rates(self, step: int) -> None:
        factor = self.recipe.rate(step, self.recipe.steps) * self.bad.factor()
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
            bar.set_postfix(loss=f"{values.get('loss/total', float('nan')):.4f}")
            together(self.accelerator, lambda: self._write("train", done, values), MISTAKES)
        better = (last or done % rhythm.validate == 0) and self._validate_or_save(done)
        if last or better or done % rhythm.save == 0 or self.stop.agreed:
            self._save(done, better)

    def _write(self, kind: str, done: int, values: Mapping[str, float]) -> None:
        """Write a line, and what the doctor says to it."""
        if self.journal:
            self.journal.write(kind, done, values)
            tell(self.doctor.hear(kind, done, values), self.journal)

    def _save(self, done: int, better: bool) -> None:
        self.watchdog.at(done - 1, "saving")
        together(self.accelerator, lambda: self.journal.sync() if self.journal else None)
        folder = checkpoint.save(self.run, done, self.state, self.tally.state(), self.accelerator)

        def tidy() -> None:
            if better:
                checkpoint.point(self.run / "best", folder)
            checkpoint.prune(self.run, self.recipe.rhythm.keep)

        first_alone(self.accelerator, tidy)

    def _validate_or_save(self, done: int) -> bool:
        """Validate; where that cannot be done, the steps so far are kept before the run ends."""
        try:
            return self._validate(done)
        except ConfigError:  # on all processes alike
            self._save(done, better=False)
            raise

    def _validate(self, done: int) -> bool:
        """Validate; say whether this was the best so far (never so before the first step)."""
        model = self.state.average.module if self.state.average else self.state.generator
        told = lambda: self.watchdog.at(max(0, done - 1), "validating")  # noqa: E731
        values, clips = self.validation.run(model, self.accelerator, self.recipe.rhythm.listen, told)
        together(self.accelerator, lambda: self._tell(done, values, clips) if self.journal else None, MISTAKES)
        # Not a number is never the best.
        if done == 0 or not values["mel"] < self.state.best.get("mel", float("inf")):
            return False
        self.state.best = {"mel": values["mel"], "step": done}
        return True

    def _tell(self, done: int, values: Mapping[str, float], clips: list[Clip]) -> None:
        # A codec is given what it is to give back: there is nothing to hold it against.
        unrepaired = values["mel_baseline"]
        beside = f", unrepaired input {unrepaired:.4f}" if unrepaired else ""
        tqdm.write(f"step {done}: mel distance {values['mel']:.4f}{beside}", file=sys.stderr)
        self._write("validation", done, values)
        assert self.journal  # the first process's
        for number, clip in enumerate(clips):
            named = [(name, wave) for name, wave in waveforms(clip) if name == "mended" or done == 0]
            self.journal.listen(number, done, named, self.crops.sample_rate)
