"""The records of bad steps: what is no record is told, and the newest states stay."""

import json
import math
import os
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from test_gan_faults_numbers import again

from gan import checkpoint
from gan.data.loading import Share
from gan.faults.record import record
from gan.step import BadStepError

PART = {"examples": [[10, 11]], "values": {"loss/total": 1.0}}


def test_a_file_that_is_no_record_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["", "{}", "[]", '{"step": 1, "processes": [{"examples": 3}]}', "[" * 9999]
    whole = {"step": 5, "why": "", "state": "00000005", "device": "cpu", "processes": [PART]}
    wrong = [{"processes": []}, {"state": "../../away"}, {"state": ""}, {"step": -5}, {"step": "5"}]
    wrong += [{"processes": [PART | {"examples": e}]} for e in ([[-5, 3]], [[]], [], [[10], []], [["x"]], [[1.5]], [3])]
    wrong += [{"processes": [PART | {"values": v}]} for v in ({}, {"norm/generator": 1}, [], {"loss/a": 10**999})]
    texts += [json.dumps(whole | change) for change in wrong]
    for text in texts:
        (tmp_path / "a.json").write_text(text)
        code, said = again(tmp_path / "a.json", capsys)
        assert code == 2
        assert said.startswith("unshift: ") and said.count("\n") == 1, text
        assert "is no record of a bad step" in said, text
    (tmp_path / "a.json").write_text(json.dumps(whole))
    assert "00000005 is gone" in again(tmp_path / "a.json", capsys)[1]


@pytest.mark.parametrize(
    ("keep", "steps", "kept"), [(2, (200, 100, 60), {100, 60}), (2, (100, 200, 60), {200, 60}), (1, (9, 8), {8})]
)
def test_the_newest_states_stay_whatever_their_steps(
    keep: int, steps: tuple[int, ...], kept: set[int], tmp_path: Path
) -> None:
    """A roll-back goes to lower steps; what a kill left torn counts for nothing, and goes."""
    net = torch.nn.Linear(2, 2)
    spec = {"class_path": "torch.nn.Linear", "init_args": {"in_features": 2, "out_features": 2}}
    state = checkpoint.State(net, spec, torch.optim.SGD(net.parameters(), lr=0.1))
    faults, error = tmp_path / "faults", BadStepError("it is nan", {"loss/total": torch.tensor(math.nan)})
    (faults / "99999999.partial").mkdir(parents=True)
    (faults / "00000003.json.partial").touch()
    for number, step in enumerate(steps):
        record(tmp_path, keep, error, step, checkpoint.random_state(), state, Share(2), Accelerator(cpu=True))
        os.utime(faults / f"{step:08d}", (number, number))
    assert {path.name for path in faults.iterdir() if path.is_dir()} == {f"{step:08d}" for step in kept}
    assert {path.name for path in faults.iterdir() if path.is_file()} == {f"{step:08d}.json" for step in steps}
