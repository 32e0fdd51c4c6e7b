"""A run's folder: it belongs to one configuration, and says where it came from."""

import json
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from gan.config import Config, ConfigError, difference
from gan.files import write_text

PACKAGES = ("torch", "torchaudio", "accelerate", "transformers", "vector-quantize-pytorch", "numpy", "python-stretch")


def open_run(folder: Path, config: Config) -> None:
    """Make a run's folder, or check that it belongs to this configuration; to be called by one process.

    Raises:
        ConfigError: the folder holds a run with another configuration (the difference is named), or something else.
    """
    resolved = config.dump()
    file = folder / "config.yaml"
    begun = any((folder / name).exists() for name in ("journal.jsonl", "checkpoints"))
    if file.exists() and begun:
        if lines := difference(file.read_text(), resolved):
            raise ConfigError(
                f"{folder} holds a run with another configuration ({'; '.join(lines)}): choose another --folder"
            )
        return
    # A run that stopped before its first step, at a mistake in its configuration, may start with another.
    if folder.exists() and not file.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty and holds no run: choose another --folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "provenance.json", json.dumps(provenance(), indent=1) + "\n")
    write_text(file, resolved)


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
