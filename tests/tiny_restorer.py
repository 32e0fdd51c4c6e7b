"""A restorer that has not learned yet, which is the identity, and how tests run the command with it."""

from pathlib import Path

from gan.cli import main
from generators import store
from generators.spectral import SpectralRestorer

CLIPS = Path(__file__).parents[1] / "demo/clips"
VOICE = CLIPS / "kathleen/speech_en_kathleen_1.flac"
SMALL = {"sample_rate": 48000, "width": 16, "layers": 1}


def save(folder: Path) -> Path:
    """Save it as a generator's folder."""
    spec = {"class_path": "generators.spectral.SpectralRestorer", "init_args": SMALL}
    store.save(folder, SpectralRestorer(**SMALL), spec)
    return folder


def restore(source: Path, output: Path, model: Path, *more: str) -> int:
    """Run `unshift restore`; give the exit code."""
    return main(["restore", str(source), str(output), "--model", str(model), "--device", "cpu", *more])


def files(folder: Path) -> dict[str, bytes]:
    """Give every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
