"""The wheel: all that runs is in it, the shipped restorer too, and what is unpacked from it works from any folder."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tiny_restorer import VOICE, files

ROOT = Path(__file__).parents[1]
ROOMS = ("gan", "generators", "discriminators", "features", "recipes")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an installation is made of; built from a copy, since building leaves things behind."""
    work = tmp_path_factory.mktemp("wheel")
    for room in ROOMS:
        shutil.copytree(ROOT / room, work / "source" / room, ignore=shutil.ignore_patterns("__pycache__", "*.partial"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, work / "source")
    build = ["pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", str(work), "."]
    subprocess.run([sys.executable, "-m", *build], cwd=work / "source", check=True)
    with zipfile.ZipFile(next(work.glob("*.whl"))) as wheel:
        wheel.extractall(work / "installed")
    return work / "installed"


@pytest.mark.slow
def test_every_module_and_the_whole_model_are_in_it(unpacked: Path) -> None:
    there = set(files(unpacked))
    modules = {str(file.relative_to(ROOT)) for room in ROOMS for file in (ROOT / room).rglob("*.py")}
    assert not modules - there
    shipped = {str(file.relative_to(ROOT)) for file in (ROOT / "generators/voice48").rglob("*") if file.is_file()}
    critics = {name for name in shipped if name.startswith("generators/voice48/critics/")}
    assert critics and not critics & there, "half as much again, for who has the recipes, and so a clone"
    assert len(shipped) > 6 and not shipped - critics - there
    assert sum((unpacked / name).stat().st_size for name in shipped - critics) < 15_000_000
    assert not {str(file.relative_to(ROOT)) for file in (ROOT / "recipes").rglob("*.yaml")} - there


@pytest.mark.slow
def test_it_mends_from_any_folder(unpacked: Path, tmp_path: Path) -> None:
    shutil.copy(VOICE, tmp_path / "in.flac")
    code = "import sys, generators, gan.cli; print(generators.__file__); sys.exit(gan.cli.main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "restore", "in.flac", "out.flac"]
    environment = os.environ | {"PYTHONPATH": str(unpacked)}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert Path(ended.stdout.strip()).is_relative_to(unpacked), "not the working tree's"
    assert "taking voice48" in ended.stderr
    assert (tmp_path / "out.flac").stat().st_size > 10_000
