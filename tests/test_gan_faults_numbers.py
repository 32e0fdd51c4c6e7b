"""Numbers that go bad: the run stops, skips or rolls back as the recipe says, and what led to it can be taken again."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from runs import RECIPES, arguments, lines_of, run_stage, tensors_of

from gan import checkpoint
from gan.critics import NonFiniteError
from gan.data.dataset import PairCrops
from gan.faults.record import read_record
from gan.faults.replay import main as replay

RHYTHM = ("--rhythm.journal", "1", "--rhythm.validate", "8", "--rhythm.save", "2", "--steps", "8", "--data.gain", "12")
BAD = 5  # the step, counted from 0, in whose batch the bad example is


def poison(pairs: Path, index: int, value: str = ".nan") -> tuple[str, ...]:
    """A term that is NaN, or very large, where a batch holds an example."""
    crops = PairCrops(pairs, 0.1, 0, None, 12.0)
    samples = crops[index][1][0]
    place = int(samples.abs().argmax())
    words = f"{{key: {float(samples[place])!r}, place: {place}, value: {value}}}"
    return ("--terms.waveform", f"{{class_path: faulty.Poisoned, init_args: {words}}}")


def values_of(run: Path) -> dict[int, dict[str, float]]:
    lines = [json.loads(line) for line in lines_of(run)]
    return {line["step"]: line["values"] for line in lines if line["kind"] == "train"}


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


def test_too_many_skips_in_a_row_stop(pairs: Path, tmp_path: Path) -> None:
    words = (*RHYTHM, "--bad_numbers.do", "skip", "--bad_numbers.skips", "2", "--bad_numbers.limit", "1e-9")
    with pytest.raises(NonFiniteError, match=r"after 2 skipped in a row: .* above the limit of 1e-09"):
        run_stage(1, tmp_path / "run", pairs, *words)
    assert sorted(int(file.stem) for file in (tmp_path / "run/faults").glob("*.json")) == [0, 1, 2]


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
    run_stage(1, run, pairs, *words, "--rate", "gan.schedule.Constant", "--bad_numbers.do", "skip")
    assert sorted(values_of(run)) == list(range(1, 9))


def test_a_gradient_that_explodes_is_above_the_limit(pairs: Path, tmp_path: Path) -> None:
    more = (*poison(pairs, 11, "1.0e+9"), "--bad_numbers.limit", "1.0e+6", "--bad_numbers.do", "skip")
    run = run_stage(1, tmp_path / "run", pairs, *RHYTHM, *more)
    assert [step for step, values in values_of(run).items() if "fault/skipped" in values] == [6]


def test_a_file_that_is_no_record_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("", "{}", "[]", '{"step": 1, "processes": [{"examples": 3}]}'):
        (tmp_path / "a.json").write_text(text)
        code, said = again(tmp_path / "a.json", capsys)
        assert code == 2
        assert said.startswith("unshift: ") and said.count("\n") == 1


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
