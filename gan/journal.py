"""What a run says of itself: one JSON line at a time, and TensorBoard beside it. Only the first process keeps one."""

import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan.audio import write
from gan.files import write_text

Waveform = NDArray[np.float32]
KEYS: dict[str, type | tuple[type, ...]] = {"kind": str, "step": int, "seconds": (int, float), "values": dict}


class JournalError(ValueError):
    """A journal cannot be read; the message is one line that names the line and says what to do."""


def read_journal(run: Path) -> list[dict[str, Any]]:
    """Read a run's lines: {"kind": str, "step": int, "seconds": float, "values": {name: number}}.

    Kinds are "train", "validation" and "verdict" (with a "sentence", see gan.doctor). A last line that a kill cut
    short is left out.

    Raises:
        JournalError: another line is damaged (a run that goes on writes the file anew, and would lose it).
    """
    file = run / "journal.jsonl"
    lines = file.read_bytes().splitlines() if file.exists() else []
    entries = []
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line.decode())
        except ValueError:
            if number < len(lines):
                raise JournalError(_damaged(file, number)) from None
            continue
        if not (isinstance(entry, dict) and all(isinstance(entry.get(key), kind) for key, kind in KEYS.items())):
            raise JournalError(_damaged(file, number))
        entries.append(entry)
    return entries


def _damaged(file: Path, number: int) -> str:
    return f"{file}, line {number} is damaged: mend it or take it out (the run goes on without it)"


class Journal:
    """Writes journal.jsonl and TensorBoard events.

    Args:
        run: the run's folder.
        step: where the run starts or goes on; what an interrupted run wrote at later steps is taken back.

    Raises:
        JournalError: what the run wrote before is damaged; it is left as it is.
    """

    def __init__(self, run: Path, step: int) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter  # a second of imports that --help does not need

        # A run that never came to a checkpoint starts anew, and validates once more before its first step.
        kept = [entry for entry in read_journal(run) if entry["step"] <= step] if step else []
        self.run = run
        file = run / "journal.jsonl"
        write_text(file, "".join(json.dumps(entry) + "\n" for entry in kept))
        self._file = file.open("a")
        self._board = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1 if step else None)
        before = kept[-1]["seconds"] if kept else 0.0
        self._start = time.monotonic() - before

    def write(self, kind: str, step: int, values: Mapping[str, float], sentence: str | None = None) -> None:
        """Write numbers of a step (the count of steps done), and what is to be said of them."""
        seconds = round(time.monotonic() - self._start, 3)
        entry: dict[str, Any] = {"kind": kind, "step": step, "seconds": seconds, "values": dict(values)}
        if sentence:
            entry["sentence"] = sentence
            self._board.add_text(kind, sentence, step)
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(f"{kind}/{name}", value, step)

    def listen(self, number: int, step: int, named: Iterable[tuple[str, Waveform]], sample_rate: int) -> None:
        """Show a clip's waveforms by name, and keep them as files: samples/<number>/<name>.flac, mended_<step>.flac."""
        for name, waveform in named:
            self.show(f"{number}/{name}", step, waveform, sample_rate)
            folder = self.run / "samples" / f"{number}"
            folder.mkdir(parents=True, exist_ok=True)
            suffix = f"_{step:08d}" if name == "mended" else ""
            write(folder / f"{name}{suffix}.flac", waveform, sample_rate)

    def show(self, name: str, step: int, waveform: NDArray[np.float32], sample_rate: int) -> None:
        """Put a waveform, [channels, samples], into TensorBoard: its first channel to hear, its spectrogram to see."""
        mono = waveform[:1]
        self._board.add_audio(name, mono.clip(-1, 1), step, sample_rate=sample_rate)
        self._board.add_image(f"{name}/spectrogram", spectrogram_image(mono[0]), step)
        self._board.flush()

    def sync(self) -> None:
        """Have the disk hold the lines: no checkpoint is newer than what the journal says of the steps before it."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Flush and close both."""
        self._file.close()
        self._board.close()


def spectrogram_image(waveform: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Draw a spectrogram: 2048-sample Hann windows, hop 512, -100 to 0 dB, as [3, frequencies, frames] of 0..255.

    Args:
        waveform: [samples]; the picture's top row is half its sample rate.
    """
    from matplotlib import colormaps  # slow to import, and only needed when something is shown

    frames = np.lib.stride_tricks.sliding_window_view(np.pad(waveform, 1024), 2048)[::512]
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(2048), axis=1)) / 512
    decibels = 20 * np.log10(np.maximum(spectrum, 1e-5))
    picture = colormaps["magma"]((decibels.T[::-1] + 100) / 100)[..., :3]
    return np.ascontiguousarray((picture * 255).astype(np.uint8).transpose(2, 0, 1))
