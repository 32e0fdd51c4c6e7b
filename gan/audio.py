"""Audio files: the only place that knows soundfile and soxr. Waveforms are [channels, samples] float32 throughout."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import soundfile

from gan.containers import FORMATS, LARGEST, AudioError, Sink, find_audio, is_cut_short, quiet, similar_subtype
from gan.files import PARTIAL, refuse_pipe
from gan.resampling import StreamResampler, Waveform, resample, resampled_length

__all__ = [
    "AudioError",
    "Reader",
    "StreamResampler",
    "Waveform",
    "Writer",
    "find_audio",
    "read",
    "read_section",
    "resample",
    "resampled_length",
    "write",
]

# What lies beyond is a damaged header; such rates crash shifters, or ask for all memory to resample.
RATES = range(2000, 768_001)
LOUDEST = 1e12  # times full scale; beyond are damaged floats, of which no sum of squares can be had


class Reader:
    """An audio file opened for reading; a context manager.

    Args:
        path: the file.

    Attributes:
        path: the file.
        sample_rate: in Hz, 2000 to 768,000.
        channels: how many.
        samples: how many a channel, as the file's header says; `blocks` gives exactly so many or fails.
        format: container, "WAV", "FLAC", "OGG", "MP3", "AIFF" ...
        subtype: coding of the samples, "PCM_16", "PCM_24", "FLOAT", "VORBIS" ...

    Raises:
        AudioError: missing, a folder, unreadable, empty, not audio, cut short, without a sample, or of a rate that no
            recording has.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            refuse_pipe(path)
            # Opened here for clear errors, and read by its number: a Ctrl-C in a callback of libsndfile would be lost.
            self._handle = path.open("rb")
        except OSError as error:
            raise AudioError(f"{path}: {error.strerror or error}") from error
        except ValueError as error:  # a name that no system has
            raise AudioError(f"{str(path)!a}: no file has such a name") from error
        if os.fstat(self._handle.fileno()).st_size == 0:
            self._handle.close()
            raise AudioError(f"{path}: is empty")
        try:
            with quiet(path):
                self._file = soundfile.SoundFile(self._handle.fileno(), closefd=False)
        except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
            self._handle.close()
            raise AudioError(f"{path}: is not audio that can be read, or is damaged") from error
        self.sample_rate: int = self._file.samplerate
        self.channels: int = self._file.channels
        self.samples: int = self._file.frames
        self.format: str = self._file.format
        self.subtype: str = self._file.subtype
        if self.samples == 0 or is_cut_short(self._file.extra_info):
            self._close()
            raise AudioError(f"{path}: {'is cut short' if self.samples else 'holds no sample'}")
        if self.sample_rate not in RATES:
            self._close()
            wrong = f"a rate of {self.sample_rate} Hz is not in {RATES.start}..{RATES.stop - 1}"
            raise AudioError(f"{path}: {wrong}; its header is wrong: write it anew")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        self._file.close()
        self._handle.close()

    def read(self, start: int, samples: int) -> Waveform:
        """Read a section.

        Args:
            start: first sample.
            samples: how many; less come back at the end of the file.

        Returns:
            [channels, <= samples].

        Raises:
            AudioError: the section is damaged, cut short, or holds NaN, infinite or impossibly loud samples.
        """
        wanted = max(0, min(samples, self.samples - start))
        try:
            with quiet(self.path):
                if start != self._file.tell():
                    self._file.seek(min(start, self.samples))
                waveform: Waveform = self._file.read(wanted, dtype="float32", always_2d=True).T
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise AudioError(f"{self.path}: is damaged or cut short") from error
        if waveform.shape[1] < wanted:
            raise AudioError(f"{self.path}: is cut short at {(start + waveform.shape[1]) / self.sample_rate:.2f} s")
        sound = (np.abs(waveform) <= LOUDEST).all(axis=0)
        if not sound.all():
            first = int(sound.argmin())
            kind = f"samples beyond {LOUDEST:g}" if np.isfinite(waveform[:, first]).all() else "NaN or infinite samples"
            raise AudioError(f"{self.path}: holds {kind}, the first at {(start + first) / self.sample_rate:.2f} s")
        return np.ascontiguousarray(waveform)

    def blocks(self, size: int) -> Iterator[Waveform]:
        """Read the file from its start in blocks, [channels, <= size]; none is empty.

        Raises:
            AudioError: as `read`.
        """
        for start in range(0, self.samples, size):
            yield self.read(start, size)


def read(path: Path, *, sample_rate: int | None = None) -> tuple[Waveform, int]:
    """Read a whole file.

    Args:
        path: the file.
        sample_rate: resample to this rate, Hz; None keeps the file's.

    Returns:
        Waveform [channels, samples] and its rate in Hz.

    Raises:
        AudioError: as `Reader`.
    """
    with Reader(path) as reader:
        waveform, rate = reader.read(0, reader.samples), reader.sample_rate
    if sample_rate is None:
        return waveform, rate
    return resample(waveform, rate, sample_rate), sample_rate


def read_section(path: Path, start: int, samples: int) -> Waveform:
    """Read part of a file at its own rate, [channels, samples], silence past its end.

    Raises:
        AudioError: as `Reader`.
    """
    with Reader(path) as reader:
        waveform = reader.read(start, samples)
    return np.pad(waveform, ((0, 0), (0, samples - waveform.shape[1])))


class Writer:
    """An audio file being written; a context manager. The file appears under its name once it is whole.

    It grows under a name that ends in ".partial" beside it. After an exception that is removed, and what stood under
    the file's own name before is untouched.

    Args:
        path: the file; its ending decides the container.
        sample_rate: in Hz.
        channels: how many.
        subtype: coding of the samples, such as "PCM_16"; None takes that of `like`, or the container's usual one.
        like: write samples like those of this file, as far as the container can hold them.

    Attributes:
        clipped: how many samples lay outside -1..1 and were clipped, in a format that cannot hold them.

    Raises:
        AudioError: unknown ending, a coding, rate or number of channels that the container cannot hold, no such
            folder, not allowed, the file that is being read, samples that are not finite, a full disk.
    """

    def __init__(
        self, path: Path, sample_rate: int, channels: int, *, subtype: str | None = None, like: Reader | None = None
    ) -> None:
        self.path = path
        self.sample_rate = sample_rate
        self.clipped = 0
        self._partial = path.with_name(path.name + PARTIAL)
        if path.suffix.lower() not in FORMATS:
            raise AudioError(f"{path}: unknown ending; one of {' '.join(FORMATS)} is wanted")
        self._format = FORMATS[path.suffix.lower()]
        if path.is_dir() or (like and path.exists() and path.samefile(like.path)):
            raise AudioError(f"{path}: {'is a folder' if path.is_dir() else 'input and output are the same file'}")
        if subtype is None and like is not None:
            subtype = similar_subtype(self._format, like.format, like.subtype)
        self._subtype = "OPUS" if path.suffix.lower() == ".opus" else subtype
        self._keeps_peaks = self._subtype in ("FLOAT", "DOUBLE")
        try:
            # Read and write: libsndfile goes back to complete the header.
            self._sink = Sink(self._partial, "w+b")
        except OSError as error:
            raise AudioError(f"{path}: {error.strerror or error}") from error
        self._file: Any = None
        try:
            self._file = soundfile.SoundFile(
                self._sink, "w", sample_rate, channels, format=self._format, subtype=self._subtype
            )
        except (soundfile.LibsndfileError, ValueError, TypeError) as error:
            self._discard()
            what = f"{self._subtype or self._format} at {sample_rate} Hz with {channels} channels"
            raise AudioError(f"{path}: cannot be written as {what}") from error
        except BaseException:  # a signal before the file is handed over
            self._discard()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._discard()
            return
        try:
            self._file.close()
            self._check()
            os.fsync(self._sink.fileno())
            self._sink.close()
            self._partial.replace(self.path)
        except OSError as problem:
            self._discard()
            raise AudioError(f"{self.path}: {problem.strerror or problem}") from problem
        except BaseException:
            self._discard()
            raise

    def write(self, block: Waveform) -> None:
        """Append a block, [channels, samples]; what an integer format cannot hold is clipped, never wrapped.

        Raises:
            AudioError: samples that are not finite, the wrong number of channels, or a full disk.
        """
        if block.ndim != 2 or len(block) != self._file.channels:
            raise AudioError(f"{self.path}: {block.shape} was to be written, [{self._file.channels}, samples] is held")
        if not np.isfinite(block).all():
            raise AudioError(f"{self.path}: NaN or infinite samples were to be written")
        if not self._keeps_peaks:
            self.clipped += int(np.count_nonzero(np.abs(block) > 1))
            block = np.clip(block, -1, 1)
        # libsndfile's Vorbis encoder keeps a call's samples on the stack: a minute in one call ends the process.
        for start in range(0, block.shape[1], self.sample_rate):
            try:
                self._file.write(block[:, start : start + self.sample_rate].T)
            except (soundfile.LibsndfileError, AssertionError, RuntimeError) as error:
                self._check()
                raise AudioError(f"{self.path}: could not be written") from error
            self._check()

    def _check(self) -> None:
        if self._sink.error is not None:
            raise AudioError(f"{self.path}: {self._sink.error.strerror}") from self._sink.error
        if self._sink.tell() > LARGEST.get(self._format, 2**63):
            raise AudioError(f"{self.path}: over 4 GB, more than {self._format} can hold; write FLAC")

    def _discard(self) -> None:
        if self._file is not None and not self._file.closed:
            self._file.close()
        with suppress(OSError):
            self._sink.close()
        self._partial.unlink(missing_ok=True)


def write(path: Path, waveform: Waveform, sample_rate: int, *, subtype: str | None = None) -> None:
    """Write a whole file from [channels, samples].

    Raises:
        AudioError: as `Writer`.
    """
    with Writer(path, sample_rate, len(waveform), subtype=subtype) as writer:
        writer.write(waveform)
