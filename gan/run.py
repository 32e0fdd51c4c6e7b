"""A run's folder: it belongs to one configuration, and says where it came from."""

import hashlib
import json
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import yaml

from gan.config import Config, difference
from gan.data.manifest import MANIFEST
from gan.files import refuse_pipe, write_text
from gan.recipe import ConfigError
from generators.store import whole_checkpoints

PACKAGES = ("torch", "torchaudio", "accelerate", "transformers", "vector-quantize-pytorch", "numpy", "python-stretch")


# What says where a run lies, how fast it goes and what it does when it cannot go on may change; all else decides the
# weights, or which of them is best.
PLACE_AND_PACE = {"recipe": {"folder", "compile", "bad_numbers"}, "data": {"pairs", "workers", "accumulate"}}
OF_THE_BEST = {"clips", "clip_seconds"}  # of the rhythm


def open_run(folder: Path, config: Config) -> None:
    """Make a run's folder, or check that it belongs to this configuration; to be called by one process.

    Where a run goes on in another place or at another rhythm, config.yaml says so from then on, and config.first.yaml
    how it began.

    Raises:
        ConfigError: the folder holds a run with another configuration (the difference is named), or something else.
    """
    resolved = config.dump()
    file = folder / "config.yaml"
    if file.exists() and whole_checkpoints(folder):
        _go_on(folder, resolved)
        return
    # A run that stopped before its first checkpoint, at a mistake in its configuration, may start with another.
    if folder.exists() and not file.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty and holds no run: choose another --folder")
    folder.mkdir(parents=True, exist_ok=True)
    pairs = Path(config.values["data"]["pairs"])
    write_text(folder / "provenance.json", json.dumps(provenance() | {"manifest": _digest(pairs)}, indent=1) + "\n")
    write_text(file, resolved)


def _go_on(folder: Path, resolved: str) -> None:
    file, first = folder / "config.yaml", folder / "config.first.yaml"
    new = yaml.safe_load(resolved)
    try:
        before = file.read_text()
        old = yaml.safe_load(before)
        lines = difference(_deciding(old), _deciding(new))
    except (AttributeError, TypeError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{file} is damaged: put it back as it was, or choose another --folder") from error
    if lines:
        raise ConfigError(
            f"{folder} holds a run with another configuration ({'; '.join(lines)}): choose another --folder "
            f"(--initialise.folder {folder} takes its weights over)"
        )
    pairs = new["data"]["pairs"]
    if pairs != old["data"]["pairs"] and _other_pairs(folder, Path(pairs)):
        raise ConfigError(f"{folder} began with other pairs than {pairs} holds: give it those, or another --folder")
    if before != resolved:
        if not first.exists():
            write_text(first, before)
        write_text(file, resolved)


def _deciding(values: dict[str, Any]) -> str:
    """Give what must stay as it is in a run, as YAML."""
    kept = {name: value for name, value in values.items() if name not in PLACE_AND_PACE["recipe"]}
    kept["data"] = {name: value for name, value in values["data"].items() if name not in PLACE_AND_PACE["data"]}
    if begun := kept.get("initialise"):  # runs from before there was `elsewhere` go on
        kept["initialise"] = {name: value for name, value in begun.items() if value}
    kept["rhythm"] = {name: value for name, value in values["rhythm"].items() if name in OF_THE_BEST}
    return yaml.safe_dump(kept, sort_keys=False)


def _other_pairs(folder: Path, pairs: Path) -> bool:
    """Whether a folder of pairs is surely not the one that a run began with: its manifest differs."""
    try:
        known = json.loads((folder / "provenance.json").read_text()).get("manifest")
    except (OSError, ValueError, AttributeError):
        return False
    found = _digest(pairs)
    return known is not None and found is not None and known != found


def _digest(pairs: Path) -> str | None:
    try:
        refuse_pipe(pairs / MANIFEST)
        return hashlib.sha256((pairs / MANIFEST).read_bytes()).hexdigest()
    except (OSError, ValueError):
        return None  # the data's own reader says what is wrong


def provenance() -> dict[str, Any]:
    """Say what a run was made with: commit, versions, command, devices."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "devices": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] or ["cpu"],
        "versions": {name: _version(name) for name in ("unshift", *PACKAGES)},
    }


def _commit() -> str | None:
    try:
        words = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
        found = subprocess.run(words, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return found.stdout.strip() or None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
