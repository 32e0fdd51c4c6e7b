"""Twenty times the sound takes no more memory: of torch's tensors in a stream, of the whole process with files."""

import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny_codec
import torch
from torch import Tensor

from gan.coding.files import decode_file, encode_file
from gan.planning import Job
from gan.restoring import restore_file
from generators.streaming import decode_stream, encode_stream, restore_stream

RATE = 16000
MIB = 2**20
MINUTES = 10  # 37 MiB of float32, 14 MiB of codes
FILES = ("restore", "encode", "decode")


def alive() -> int:
    """Count the bytes behind all tensors; what a view keeps alive counts whole."""
    # Of these very types: a compiler, of another test in this process, leaves tensors that stand for none.
    tensors = [thing for thing in gc.get_objects() if type(thing) in (Tensor, torch.nn.Parameter)]
    return sum({(it := tensor.untyped_storage()).data_ptr(): it.nbytes() for tensor in tensors}.values())


def blocks(count: int) -> Iterator[Tensor]:
    for _ in range(count):
        yield torch.zeros(1, 1, 1000)


def most_alive(pieces: Iterator[Tensor], every: int) -> int:
    """Take a stream; give the most bytes that were alive at some of its pieces, over those before it."""
    gc.collect()
    before = alive()
    return max(alive() - before for number, _ in enumerate(pieces) if number % every == every - 1)


@pytest.mark.parametrize("work", ["restore", "encode", "decode"])
def test_a_stream_holds_what_a_chunk_needs(work: str) -> None:
    codec = tiny_codec.build()

    def stream(count: int) -> Iterator[Tensor]:
        if work == "restore":
            return restore_stream(codec, (block[0] for block in blocks(count)), 3000)
        if work == "encode":
            return encode_stream(codec, blocks(count), 3000)
        codes = (torch.zeros(1, codec.width, 60, dtype=torch.long) for _ in range(count))
        return decode_stream(codec, codes, count * 60 * codec.frame, 3000)

    few, many = most_alive(stream(40), 2), most_alive(stream(800), 40)
    assert few > 0, "nothing is seen, so nothing can be said"
    assert many < 1.5 * few


def peak() -> int:
    """Give the most bytes that this process ever had."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    for line in lines:
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def growth(folder: Path) -> Iterator[int]:
    """Work on half a minute, then on much more; give the bytes by which each work's peak exceeds all before it."""
    torch.set_num_threads(1)
    codec = tiny_codec.known(folder / "codec")
    sound = np.random.default_rng(0).uniform(-0.3, 0.3, RATE)
    for name, seconds in (("short", 30), ("long", 60 * MINUTES)):
        with soundfile.SoundFile(folder / f"{name}.wav", "w", RATE, 1) as file:
            for _ in range(seconds):
                file.write(sound)

    def works(name: str) -> list[Callable[[], object]]:
        wave, code, back = (folder / f"{name}{ending}" for ending in (".wav", ".unshift", ".back.wav"))
        return [
            lambda: restore_file(Job(wave, back), codec.coder, 2.0),
            lambda: encode_file(Job(wave, code), codec, chunk_seconds=2.0),
            lambda: decode_file(Job(code, back), codec, chunk_seconds=2.0),
        ]

    for work in works("short"):
        work()
    for work in works("long"):
        before = peak()
        work()
        yield peak() - before


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    # A process of its own: what these tests took before would hide what is taken here.
    root = Path(__file__).parents[1]
    ended = subprocess.run(
        [sys.executable, __file__, str(tmp_path_factory.mktemp("memory"))],
        env=os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return dict(zip(FILES, map(int, ended.stdout.split()), strict=True))


@pytest.mark.parametrize("work", FILES)
def test_a_long_file_takes_the_memory_of_a_short_one(grown: dict[str, int], work: str) -> None:
    assert grown[work] < 6 * MIB


if __name__ == "__main__":
    sys.stdout.write(" ".join(str(grew) for grew in growth(Path(sys.argv[1]))))
