"""What several tests share: a folder of real pairs, made once, a restorer, and speech."""

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import soundfile

os.environ["HF_HUB_OFFLINE"] = "1"
# A shell's background jobs ignore Ctrl-C, and so would the programs that tests start to interrupt them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
CLIPS = Path(__file__).parents[1] / "demo" / "clips"


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of real speech, an octave up and down and the identity; sms_male is the test speaker."""
    from gan.pairs.make import PairSettings, make_pairs

    root = tmp_path_factory.mktemp("pairs")
    clips = root / "clips"
    for speaker in ("kathleen", "nathalie", "kerstin", "sms_male"):
        (clips / speaker).mkdir(parents=True)
        for file in sorted((CLIPS / speaker).glob("*.flac"))[:1]:
            (clips / speaker / file.name).symlink_to(file)
    settings = PairSettings(clips, root / "pairs", semitones=(-12.0, 0.0, 12.0), held_out=("sms_male",), workers=1)
    make_pairs(settings, progress=False)
    return root / "pairs"


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a restorer that is the identity; see tests/tiny_restorer.py."""
    import tiny_restorer

    return tiny_restorer.save(tmp_path_factory.mktemp("run") / "generator")


@pytest.fixture(scope="session")
def voice() -> np.ndarray:
    """A second of speech, [samples], 48 kHz."""
    wave, _ = soundfile.read(CLIPS / "kathleen/speech_en_kathleen_1.flac", dtype="float32", start=24000, frames=48000)
    return wave


@pytest.fixture
def made(pairs: Path, tmp_path: Path) -> Path:
    """The pairs again, to put faults into."""
    return Path(shutil.copytree(pairs, tmp_path / "made"))


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """Speech as `gan.audio.read` gives it, [1, samples], 2.5 s at 48 kHz."""
    from gan.audio import read

    return read(CLIPS / "nathalie/speech_nl_nathalie_0.flac")[0][:, 24_000:144_000]


@pytest.fixture(scope="module")
def noisy(speech: np.ndarray) -> np.ndarray:
    """The speech with a little white noise."""
    return (speech + 0.01 * np.random.default_rng(0).standard_normal(speech.shape)).astype(np.float32)
