"""Numbers that go bad: the run stops, skips or rolls back as the recipe says, and what led to it can be taken again."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import faulty
import pytest
import torch
from faulty import Poisoned
from runs import RECIPES, arguments, differences, lines_of, run_stage, tensors_of
from torch import Tensor

from gan import checkpoint
from gan.critics import NonFiniteError
from gan.data.dataset import PairCrops, select
from gan.faults.record import read_record
from gan.faults.replay import main as replay
from gan.faults.stopping import StoppedError
from gan.recipe import ConfigError
from generators.contract import Estimate

RHYTHM = ("--rhythm.journal", "1", "--rhythm.validate", "8", "--rhythm.save", "2", "--steps", "8", "--data.gain", "12")
BAD = 5  # the step, counted from 0, in whose batch the bad example is


class Once(Poisoned):
    """Poisoned the first time that it is met since `faulty.now` is another; a signal may come then, too."""

    def forward(self, estimate: Estimate) -> Tensor:
        self.value = 1.0 if faulty.now.calls else math.nan
        loss = super().forward(estimate)
        if loss.isnan():
            faulty.now.calls += 1
            for number in faulty.now.at.values():
                os.kill(os.getpid(), number)
        return loss


def poison(
    pairs: Path, index: int, value: str = ".nan", term: str = "waveform", kind: str = "faulty.Poisoned"
) -> tuple[str, ...]:
    """A term that is NaN, or very large, where a batch holds an example."""
    crops = PairCrops(pairs, 0.1, 0, None, 12.0)
    samples = crops[index][1][0]
    place = int(samples.abs().argmax())
    words = f"{{key: {float(samples[place])!r}, place: {place}, value: {value}}}"
    return (f"--terms.{term}", f"{{class_path: {kind}, init_args: {words}}}")


def train_lines(run: Path) -> list[tuple[int, dict[str, float]]]:
    lines = [json.loads(line) for line in lines_of(run)]
    return [(line["step"], line["values"]) for line in lines if line["kind"] == "train"]


def values_of(run: Path) -> dict[int, dict[str, float]]:
    lines = train_lines(run)
    assert len(dict(lines)) == len(lines), "a step is told twice"
    return dict(lines)


def again(file: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    from accelerate.state import AcceleratorState, GradientState, PartialState

    try:
        code = replay([str(file)])
    finally:
        for state in (AcceleratorState, GradientState, PartialState):
            state._reset_state()
    told = capsys.readouterr()
    return code, told.out + told.err


@pytest.mark.parametrize("stage", [1, 3])
def test_a_bad_step_stops_and_is_taken_again(
    stage: int, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, more = tmp_path / "run", poison(pairs, 2 * BAD + 1)
    if stage == 3:
        more += ("--initialise", "null", "--adversary.judge_from", "2", "--data.accumulate", "2")
    with pytest.raises(NonFiniteError, match="step 5: the generator's gradient is nan"):
        run_stage(stage, run, pairs, *RHYTHM, *more)
    file = run / "faults" / "00000005.json"
    record = read_record(file)
    assert record.step == BAD
    assert [part.examples for part in record.processes] == [[[10], [11]] if stage == 3 else [[10, 11]]]
    values = record.processes[0].values
    assert math.isnan(values["loss/waveform"])
    assert 0 < values["loss/mel"] < 100
    code, said = again(file, capsys)
    assert code == 0, said
    assert "loss/mel" in said and "the same" in said
    # With other numbers in the file it is not.
    words = json.loads(file.read_text())
    words["processes"][0]["values"]["loss/mel"] *= 1 + 1e-6
    file.write_text(json.dumps(words))
    code, said = again(file, capsys)
    assert code == 1
    assert said.count("differs") == 1
    assert "then on" not in said
    # On another device it may well be so.
    file.write_text(json.dumps(words | {"device": "cuda"}))
    code, said = again(file, capsys)
    assert said.splitlines()[-1].endswith("(then on cuda, now on cpu)")


def test_skipping_goes_on_as_if_the_step_had_not_been(pairs: Path, tmp_path: Path) -> None:
    run = run_stage(1, tmp_path / "run", pairs, *RHYTHM, *poison(pairs, 11), "--bad_numbers.do", "skip")
    values = values_of(run)
    assert sorted(values) == list(range(1, 9))
    assert values[6]["fault/skipped"] == 1
    assert "loss/mel" not in values[6]
    assert all("fault/skipped" not in values[step] for step in (1, 2, 3, 4, 5, 7, 8))
    assert (run / "faults" / "00000005.json").exists()
    weights = tensors_of(checkpoint.folder_of(run, 8))
    assert all(torch.isfinite(x).all() for x in weights.values() if x.is_floating_point())
    taken = {float(x) for name, x in weights.items() if name.startswith("training.pt/optim") and name.endswith("step")}
    assert taken == {7.0}, "of the optimiser's steps"
    before, after = (tensors_of(folder) for folder in (run / "faults/00000005", checkpoint.folder_of(run, 6)))
    moved = [name for name, x in before.items() if not x.equal(after[name])]
    assert [name for name in moved if name.startswith(("generator", "average", "training.pt/optim"))] == []


def test_too_many_skips_in_a_row_stop(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (*RHYTHM, "--bad_numbers.do", "skip", "--bad_numbers.skips", "2", "--bad_numbers.limit", "1e-9")
    with pytest.raises(NonFiniteError, match=r"after 2 skipped in a row: .* above the limit of 1e-09"):
        run_stage(1, tmp_path / "run", pairs, *words)
    faults = tmp_path / "run/faults"
    assert sorted(path.name for path in faults.iterdir()) == ["00000000", *(f"0000000{n}.json" for n in (0, 1, 2))]
    # Of a row the first has the state, which is that of all; the others name it.
    capsys.readouterr()
    code, said = again(faults / "00000002.json", capsys)
    assert code == 2
    assert said.count("\n") == 1
    assert f"step 2 has no state of its own, as it came after other bad steps: take {faults / '00000000'}.json" in said
    code, said = again(faults / "00000000.json", capsys)
    assert code == 0, said


def test_bad_steps_in_a_row_are_counted_from_the_last_good_one(pairs: Path, tmp_path: Path) -> None:
    """Steps 2 and 4 are bad and one may be skipped: the run goes on; of steps 2 and 3 the second is one too many."""
    skip = (*RHYTHM, "--bad_numbers.do", "skip", "--bad_numbers.skips", "1", *poison(pairs, 5))
    run = run_stage(1, tmp_path / "apart", pairs, *skip, *poison(pairs, 9, term="mel"))
    assert [step for step, values in train_lines(run) if "fault/skipped" in values] == [3, 5]
    with pytest.raises(NonFiniteError, match="step 3, after 1 skipped in a row"):
        run_stage(1, tmp_path / "beside", pairs, *skip, *poison(pairs, 7, term="mel"))


def test_rolling_back_lowers_the_rate_and_stops_in_the_end(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bad example is met again each time: after two roll-backs the run stops; then it is told to skip, and ends."""
    run, words = tmp_path / "run", (*RHYTHM, *poison(pairs, 11))
    back = ("--bad_numbers.do", "roll_back", "--bad_numbers.rolls", "2", "--rate", "gan.schedule.Constant")
    with pytest.raises(NonFiniteError, match="after all roll-backs"):
        run_stage(1, run, pairs, *words, *back)
    rates = [values["rate/generator"] for values in values_of(run).values()]
    assert rates == pytest.approx([1e-3 * step / 11 for step in (1, 2, 3, 4, 0.25 * 5)]), "it warms up for 10 steps"
    said = capsys.readouterr().err
    assert said.count("back to the newest checkpoint with 0.5 of the learning rates") == 2
    # What has been tried is not forgotten, though no checkpoint has been saved since.
    assert json.loads((run / "faults/rolled.json").read_text()) == {"rolled": 2, "factor": 0.25}
    with pytest.raises(NonFiniteError, match="after all roll-backs"):
        run_stage(1, run, pairs, *words, *back)
    assert "back to the newest checkpoint" not in capsys.readouterr().err
    run_stage(1, run, pairs, *words, "--rate", "gan.schedule.Constant", "--bad_numbers.do", "skip")
    assert sorted(values_of(run)) == list(range(1, 9))
    assert checkpoint.load_tensors(run / "latest/training.pt")["faults"] == {"rolled": 2, "factor": 0.25}


def test_a_roll_back_takes_up_what_was_half_summed_up(pairs: Path, tmp_path: Path) -> None:
    """Step 5 is bad once; the line after it is the mean of steps 4 and 5, as they were taken last."""
    lines = {}
    for every in ("1", "2"):
        faulty.now = faulty.Now()
        more = (*poison(pairs, 11, kind=f"{__name__}.Once"), "--bad_numbers.do", "roll_back")
        run = run_stage(1, tmp_path / every, pairs, *RHYTHM, *more, "--rhythm.journal", every)
        lines[every] = train_lines(run)
    assert [step for step, _ in lines["1"]] == list(range(1, 9))
    assert [step for step, _ in lines["2"]] == [2, 4, 6, 8]
    single, double = dict(lines["1"]), dict(lines["2"])
    for step in (2, 4, 6, 8):
        mean = (single[step - 1]["loss/mel"] + single[step]["loss/mel"]) / 2
        assert double[step]["loss/mel"] == pytest.approx(mean, rel=1e-6)


def test_a_roll_back_forgets_no_file_that_was_skipped_and_counts_none_twice(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = shutil.copytree(pairs, tmp_path / "pairs")
    gone = next(one for one in select(broken, "train") if one.semitones)
    (broken / gone.source).write_bytes(b"")
    told = []
    for calls in (1, 0):  # 1: it is never bad
        faulty.now = faulty.Now(calls=calls)
        more = (*poison(broken, 11, kind=f"{__name__}.Once"), "--bad_numbers.do", "roll_back")
        run_stage(1, tmp_path / f"run{calls}", broken, *RHYTHM, *more)
        assert faulty.now.calls == 1
        told.append([line for line in capsys.readouterr().err.splitlines() if "skipped" in line])
    (straight,), rolled = told
    assert rolled == [straight]


def test_a_stop_at_a_roll_back_does_not_forget_it(pairs: Path, tmp_path: Path) -> None:
    more = (*RHYTHM, *poison(pairs, 11, kind=f"{__name__}.Once"), "--bad_numbers.do", "roll_back")
    faulty.now = faulty.Now()
    straight = run_stage(1, tmp_path / "straight", pairs, *more)
    faulty.now = faulty.Now(at={0: signal.SIGTERM})
    with pytest.raises(StoppedError, match="after step 4 of 8"):
        run_stage(1, tmp_path / "stopped", pairs, *more)
    stopped = run_stage(1, tmp_path / "stopped", pairs, *more)
    assert checkpoint.load_tensors(stopped / "latest/training.pt")["faults"] == {"rolled": 1, "factor": 0.5}
    assert differences(straight, stopped, 8) == []


def test_without_a_checkpoint_there_is_nothing_to_roll_back_to(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faults = tmp_path / "run/faults"
    with pytest.raises(NonFiniteError, match=r"step 1, before the first checkpoint, .* is nan") as caught:
        run_stage(1, tmp_path / "run", pairs, *RHYTHM, *poison(pairs, 3), "--bad_numbers.do", "roll_back")
    assert "\n" not in str(caught.value)
    assert "back to the newest" not in capsys.readouterr().err
    # What an older run in this folder has rolled back does not count; where there is a checkpoint it has to be whole.
    (faults / "rolled.json").write_text("{")
    run_stage(1, tmp_path / "run", pairs, *RHYTHM)
    for text in ("{", "[]", '{"rolled": 1}', '{"rolled": 0.5, "factor": 0.5}', '{"rolled": 1, "factor": NaN}'):
        (faults / "rolled.json").write_text(text)
        with pytest.raises(ConfigError, match=r"rolled\.json is damaged: remove it"):
            run_stage(1, tmp_path / "run", pairs, *RHYTHM)


@pytest.mark.parametrize("factor", ["0", "1", "2.0", ".nan", ".inf", "-0.5"])
def test_a_factor_that_lowers_nothing_is_refused(factor: str, pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"bad_numbers\.factor must be greater than 0 and less than 1"):
        run_stage(1, tmp_path / "run", pairs, *RHYTHM, "--bad_numbers.factor", factor)


def test_a_gradient_that_explodes_is_above_the_limit(pairs: Path, tmp_path: Path) -> None:
    more = (*poison(pairs, 11, "1.0e+9"), "--bad_numbers.limit", "1.0e+6", "--bad_numbers.do", "skip")
    run = run_stage(1, tmp_path / "run", pairs, *RHYTHM, *more)
    assert [step for step, values in values_of(run).items() if "fault/skipped" in values] == [6]


@pytest.mark.slow
def test_what_is_bad_on_one_of_two_is_skipped_by_both(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second process alone meets it; both write what they had, and one process alone takes both parts again."""
    run = tmp_path / "run"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    more = (*RHYTHM, *poison(pairs, 11), "--bad_numbers.do", "skip")
    recipe = ["--config", str(RECIPES / "tiny" / "stage1.yaml"), *arguments(run, pairs, *more)]
    path = {"PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    words = [*launcher, str(RECIPES / "stage1.py"), *recipe]
    done = subprocess.run(words, env=os.environ | path, capture_output=True, text=True, check=False, timeout=200)
    assert done.stderr.count("step 5: the generator's gradient is nan; skipped") == 1, done.stderr[-2000:]
    assert values_of(run)[6]["fault/skipped"] == 1
    assert 8 in values_of(run)
    parts = read_record(run / "faults/00000005.json").processes
    assert [part.examples for part in parts] == [[[10]], [[11]]]
    assert [math.isnan(part.values["loss/waveform"]) for part in parts] == [False, True]
    code, said = again(run / "faults/00000005.json", capsys)
    assert code == 0, said
    assert "process 1  loss/mel" in said
    assert "norm/" not in said
