"""Damaged recipes, pairs and checkpoints through a stage script: one line and exit code 2, or a whole run.

UNSHIFT_DAMAGE=4 in the environment makes the sweeps four times as long.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import damage
import numpy as np
import pytest
import yaml
from accelerate.state import AcceleratorState, GradientState, PartialState
from damage import Tally, cases

from gan import checkpoint
from gan.faults.digests import DIGESTS, seal
from gan.trainer import run_stage

RECIPES = Path(__file__).parents[1] / "recipes"
SMALL = {
    "steps": 2,
    "data": {"batch": 1, "crop": 0.1, "workers": 0},
    "generator": {
        "class_path": "generators.spectral.SpectralRestorer",
        "init_args": {"sample_rate": 48000, "width": 16, "layers": 1},
    },
    "rhythm": {"journal": 1, "validate": 2, "save": 2, "clips": 1, "clip_seconds": 0.1, "listen": 0},
}
LONGEST = 60  # seconds
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


@pytest.fixture(autouse=True)
def _little_memory() -> Iterator[None]:
    with damage.little_memory():
        yield


def forget() -> None:
    """Accelerate remembers its processes for good."""
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()


def small(pairs: Path) -> dict[str, object]:
    """Give stage 1 at a size that takes no time."""
    recipe = yaml.safe_load((RECIPES / "tiny" / "stage1.yaml").read_text())
    recipe |= {name: value for name, value in SMALL.items() if not isinstance(value, dict) or name == "generator"}
    recipe["data"] |= SMALL["data"] | {"pairs": str(pairs)}
    recipe["rhythm"] |= SMALL["rhythm"]
    return recipe


class Stage:
    """Runs a stage in its folder, `run`, and looks at what it said."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.monkeypatch, self.capsys = folder, monkeypatch, capsys
        self.run = folder / "run"

    def take(self, recipe: Path, *more: str) -> tuple[str, str]:
        """Run; give what came of it and what is wrong with that."""
        words = ["stage1.py", "--config", str(recipe), "--folder", str(self.run), *more]
        self.monkeypatch.setattr(sys, "argv", words)
        self.capsys.readouterr()
        damage.alarm(LONGEST)
        code: object = 0
        try:
            run_stage(str(RECIPES / "stage1.py"), None)
        except SystemExit as ended:
            code = ended.code
        except BaseException as error:  # what a user would see as a traceback
            return "raised", f"{type(error).__name__} {error}"
        finally:
            damage.alarm(0)
            forget()
        said = self.capsys.readouterr().err
        if code == 2:
            last = said[said.rfind("unshift: ") :]
            return "refused", damage.one_line(last) + ("Traceback" if "Traceback" in said else "")
        if code in (3, 130):  # numbers that went bad, or a recipe of that many steps
            return "stopped", "" if "Traceback" not in said else said
        whole = (self.run / "latest" / "training.pt").exists()
        return "done", "" if code == 0 and whole else f"exit code {code}, {said[-300:]!r}"


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Stage:
    return Stage(tmp_path, monkeypatch, capsys)


def test_damaged_recipes(stage: Stage, pairs: Path) -> None:
    tally = Tally()
    recipe = stage.folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(small(pairs) | {"terms": {"mel": {}}, "weights": {"mel": 1.0}}))
    assert stage.take(recipe) == ("refused", ""), "what is no loss"
    for case in cases(100):
        rng = np.random.default_rng([6, case])
        values = small(pairs)
        if rng.random() < 0.6:
            content = yaml.safe_dump(damage.reworded(values, rng), sort_keys=False, allow_unicode=False).encode()
        else:
            content = damage.misspelt(yaml.safe_dump(values, sort_keys=False), rng)
        damage.put(recipe, content, rng)
        before = damage.snapshot(pairs)
        result, fault = stage.take(recipe)
        if damage.snapshot(pairs) != before:
            fault += "; the pairs were changed"
        tally.add(f"{case}", result, fault)
        damage.clear(recipe)
        damage.clear(stage.run)
    tally.check(len(cases(100)), "refused", "done", *({"stopped"} & set(tally.became)))


def test_damaged_manifests(stage: Stage, pairs: Path) -> None:
    tally = Tally()
    folder, recipe = stage.folder / "pairs", stage.folder / "recipe.yaml"
    shutil.copytree(pairs, folder)
    recipe.write_text(yaml.safe_dump(small(folder)))
    text = (pairs / "manifest.jsonl").read_text()
    for case in cases(60):
        rng = np.random.default_rng([7, case])
        lines = text.splitlines()
        place = int(rng.integers(len(lines)))
        lines[place] = json.dumps(damage.reworded(json.loads(lines[place]), rng))
        whole = "\n".join(lines) + "\n"
        content = whole.encode() if rng.random() < 0.6 else damage.misspelt(text, rng)
        damage.clear(folder / "manifest.jsonl")
        kind = damage.put(folder / "manifest.jsonl", content, rng)
        tally.add(f"{case} {kind} line {place}: {lines[place][:300]!r}", *stage.take(recipe))
        damage.clear(stage.run)
    tally.check(len(cases(60)), "refused", "done")


def test_damaged_audio_of_pairs(stage: Stage, pairs: Path) -> None:
    """What is met in training is skipped; where that is most of all, or a clip of the validation, it ends the run."""
    tally = Tally()
    folder, recipe = stage.folder / "pairs", stage.folder / "recipe.yaml"
    for case in cases(40):
        rng = np.random.default_rng([8, case])
        shutil.copytree(pairs, folder)
        recipe.write_text(yaml.safe_dump(small(folder)))
        files = sorted(path for path in folder.rglob("*.flac") if path.is_file())
        for file in rng.permutation(files)[: rng.integers(1, len(files))]:
            content = damage.BYTES[rng.integers(len(damage.BYTES))](file.read_bytes(), rng)
            damage.clear(file)
            damage.put(file, content, rng)
        before = damage.snapshot(folder)
        result, fault = stage.take(recipe, "--steps", "6", "--seed", str(case))
        tally.add(f"{case}", result, fault + ("" if damage.snapshot(folder) == before else "the pairs were changed"))
        damage.clear(stage.run)
        damage.clear(folder)
    tally.check(len(cases(40)), "refused", "done")


def test_damaged_checkpoints(stage: Stage, pairs: Path) -> None:
    """The newest of two is spoilt, half of the times by somebody who wrote the digests anew: its contents are read."""
    tally = Tally()
    recipe, whole = stage.folder / "recipe.yaml", stage.folder / "whole"
    recipe.write_text(yaml.safe_dump(small(pairs)))
    words = ("--steps", "3", "--rhythm.validate", "3", "--rhythm.save", "1", "--rhythm.keep", "9")
    assert stage.take(recipe, *words) == ("done", "")
    shutil.rmtree(checkpoint.folder_of(stage.run, 3))
    stage.run.rename(whole)
    newest, before = checkpoint.folder_of(stage.run, 2), checkpoint.folder_of(stage.run, 1)
    files = sorted(path.relative_to(whole) for path in checkpoint.folder_of(whole, 2).rglob("*") if path.is_file())
    for case in cases(60):
        rng = np.random.default_rng([9, case])
        shutil.copytree(whole, stage.run, symlinks=True)
        file = stage.run / files[rng.integers(len(files))]
        content = damage.BYTES[rng.integers(len(damage.BYTES))](file.read_bytes(), rng)
        damage.clear(file)
        kind = damage.put(file, content, rng)
        sealed = bool(rng.random() < 0.5) and kind == "file" and file.name != DIGESTS
        if sealed:
            seal(newest)
        old = damage.snapshot(before)
        result, fault = stage.take(recipe, *words)
        if not sealed and result != "done":
            fault += "; the checkpoint before is whole"
        tally.add(f"{case} {kind} {file.name} {sealed}", result, fault)
        assert damage.snapshot(before) == old
        damage.clear(stage.run)
    tally.check(len(cases(60)), "refused", "done", *({"stopped"} & set(tally.became)))
