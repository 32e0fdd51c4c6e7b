"""What figures come of besides the sounds: the model, and the code and packages that ran it and measured."""

from hashlib import file_digest, sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from torch import nn

from generators.store import DESCRIPTION, WEIGHTS

ROOT = Path(__file__).parents[2]
CODE = (
    *("features/**/*.py", "generators/**/*.py", "gan/evaluating/**/*.py", "gan/pairs/*.py"),
    *("gan/audio.py", "gan/containers.py", "gan/losses.py", "gan/metrics.py", "gan/resampling.py"),
)
"""Our own files that take part in a figure."""
PACKAGES = (
    *("unshift", "torch", "torchaudio", "numpy", "scipy", "soxr", "soundfile", "vector-quantize-pytorch"),
    *("python-stretch", "pyworld", "pedalboard", "psola", "praat-parselmouth"),
    *("visqol-python", "ai-edge-litert", "pesq", "pystoi", "distillmos", "speechmos", "onnxruntime", "librosa"),
    "audiobox-aesthetics",
)
"""Those that measures, shifters and networks are made of, by the names that they are installed under."""


def identify(network: nn.Module, folder: Path, *, root: Path = ROOT) -> list[str]:
    """Tell a model and what runs and measures it from others.

    Args:
        network: on its device.
        folder: that it was loaded from.
        root: that holds our packages.

    Raises:
        OSError: one of the files cannot be read.
    """
    digests = [_digest(folder / name) for name in (DESCRIPTION, WEIGHTS)]
    device = next((weights.device.type for weights in network.parameters()), "cpu")
    return [*digests, device, digest_of_code(root), *(f"{name} {number}" for name, number in versions().items())]


def versions() -> dict[str, str]:
    """Give the version of each of `PACKAGES` that is installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def digest_of_code(root: Path = ROOT) -> str:
    """Digest `CODE` below a folder: the version of a checkout that is worked on never changes.

    Raises:
        OSError: a file cannot be read.
    """
    files = sorted(file for pattern in CODE for file in root.glob(pattern))
    parts = [f"{file.relative_to(root).as_posix()} {_digest(file)}" for file in files]
    return sha256("\n".join(parts).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
