"""What tells one evaluation's figures from another's: the model's files, its device, our code, packages, conditions."""

import ast
import re
import shutil
import sys
import tomllib
from dataclasses import fields, replace
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import torch
from torch import nn

from gan.evaluating.evaluate import Plan
from gan.evaluating.measures import JUDGES
from gan.evaluating.origin import CODE, PACKAGES, ROOT, digest_of_code, identify, versions

PLAN = Plan(Path("pairs"), "mine")
CHANGED: dict[str, object] = {
    "system": "other",
    "speech": ["speech"],
    "beside": ("PhaseVocoder",),
    "one_way": "repair",
    "chunk_seconds": 5.0,
    "identity": ["other"],
}
# A pair's figures are the same whichever other pairs are measured, by whom, and kept where.
APART: dict[str, object] = {
    "folder": Path("others"),
    "split": "validation",
    "files": 3,
    "corpora": ["speech"],
    "workers": 2,
    "keep": Path("kept"),
    "afresh": True,
}
# Only needed to import or to install what measures and shifts.
HELPING = {"setuptools", "requests"}


def test_every_field_of_a_plan_is_a_condition_or_none() -> None:
    assert {field.name for field in fields(Plan)} == CHANGED.keys() | APART.keys() | {"measures"}
    assert replace(PLAN, **APART).conditions(["mel"]) == PLAN.conditions(["mel"])
    assert PLAN.conditions(["mel", "stft"]) != PLAN.conditions(["mel"])
    assert replace(PLAN, speech=()).conditions(["mel"]) != PLAN.conditions(["mel"])


@pytest.mark.parametrize("name", CHANGED)
def test_every_condition_counts(name: str) -> None:
    changed = replace(PLAN, **{name: CHANGED[name]})
    assert changed.conditions(["mel"]) != PLAN.conditions(["mel"])


@pytest.mark.parametrize("name", ["generator.yaml", "weights.safetensors"])
def test_another_model_is_told(name: str, model: Path, tmp_path: Path) -> None:
    network = nn.Linear(1, 1)
    other = Path(shutil.copytree(model, tmp_path / "other"))
    before = identify(network, model)
    assert identify(network, other) == before
    assert identify(network.to(torch.device("meta")), other) != before
    (other / name).write_bytes((other / name).read_bytes() + b"\n")
    assert identify(nn.Linear(1, 1), other) != before


@pytest.mark.parametrize("name", ["gan/evaluating/spectra.py", "gan/pairs/shifters.py", "generators/streaming.py"])
def test_other_code_is_told(name: str, model: Path, tmp_path: Path) -> None:
    for pattern in CODE:
        files = list(ROOT.glob(pattern))
        assert files, pattern
        for file in files:
            copy = tmp_path / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
    network = nn.Linear(1, 1)
    before = identify(network, model)
    assert identify(network, model, root=tmp_path) == before
    (tmp_path / "gan/evaluating/notes.txt").write_text("no code")
    assert identify(network, model, root=tmp_path) == before
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes() + b"\n")
    assert identify(network, model, root=tmp_path) != before
    shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / name).rename((tmp_path / name).with_stem("another"))
    assert digest_of_code(tmp_path) != digest_of_code()


def imported(file: Path) -> set[Path]:
    """The files of ours that a file imports, at its top or inside functions."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {path for name in names if (path := ROOT / f"{name.replace('.', '/')}.py").is_file()}


def test_all_code_that_measures_is_digested() -> None:
    digested = {file for pattern in CODE for file in ROOT.glob(pattern)}
    beside = {ROOT / f"gan/{name}.py" for name in ("files", "pool", "data/dataset", "data/manifest")}
    for file in digested:
        if file.parent != ROOT / "gan/pairs" or "shift" in file.name or file.name == "procedure.py":
            assert imported(file) <= digested | beside, file


@pytest.mark.parametrize("package", ["pesq", "scipy", "speechmos"])
def test_another_version_of_a_package_is_told(
    package: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some are not installed here: that one is now is told as well."""
    before = identify(nn.Linear(1, 1), model)
    there = tmp_path / f"{package}-0.0.0.dist-info"
    there.mkdir()
    (there / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.0.0\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert versions()[package] == "0.0.0"
    assert identify(nn.Linear(1, 1), model) != before


def test_every_package_of_measures_and_shifters_is_named() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    needed = [
        one for extra in ("evaluation", "dnsmos", "aesthetics", "shifters", "shifters-gpl") for one in extras[extra]
    ]
    assert {re.split(r"[^\w-]", one)[0] for one in needed} <= {*PACKAGES, *HELPING}
    installed = packages_distributions()
    for judge in JUDGES:
        for package in set(judge.packages) - HELPING:
            assert set(installed.get(package, PACKAGES)) & set(PACKAGES), package
