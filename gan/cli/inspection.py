"""What `unshift inspect` says of a model, or of an encoded file."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from gan.coding.bitstream import Header, reading
from gan.coding.codecs import know
from generators import store
from generators.contract import Coder
from generators.measure import Measures, measure


@dataclass(frozen=True)
class Coding:
    """A coder in numbers.

    Attributes:
        channels: coded together.
        frame: samples that a frame stands for.
        codebooks: how many entries each has; empty in continuous coders.
        width: numbers that a frame is written down as.
        sample_rate: in Hz.
        codes_sha256: fingerprint of what it writes: files with the same are read by it.
        model_sha256: fingerprint of all of it.
    """

    channels: int
    frame: int
    codebooks: tuple[int, ...]
    width: int
    sample_rate: int
    codes_sha256: str
    model_sha256: str

    @property
    def bitrate(self) -> float:
        """Nominal bits a second, of each stream: of packed codes, or of 32-bit values."""
        bits = sum((entries - 1).bit_length() for entries in self.codebooks) if self.codebooks else 32 * self.width
        return bits * self.sample_rate / self.frame

    def lines(self) -> list[tuple[str, str]]:
        """Give names and values for a table."""
        each = "channel" if self.channels == 1 else _channels(self.channels)
        return [
            ("channels", "1" if self.channels == 1 else f"{self.channels}, coded together"),
            ("frame", f"{self.frame:,} samples ({self.sample_rate / self.frame:.4g} a second)"),
            ("codebooks", _books(self.codebooks, self.width)),
            ("nominal bitrate", f"{number(self.bitrate / 1000)} kbit/s for every {each}"),
            ("codes' SHA-256", self.codes_sha256),
            ("model's SHA-256", self.model_sha256),
        ]


@dataclass(frozen=True)
class Inspection:
    """A model in numbers.

    Attributes:
        folder: the generator's folder that was found.
        class_path: of the network.
        init_args: what the network was built with.
        measures: its size, reach and cost.
        bytes: of the weights on disk.
        coding: what it encodes to, None if it is no codec.
    """

    folder: Path
    class_path: str
    init_args: dict[str, Any]
    measures: Measures
    bytes: int
    coding: Coding | None = None

    @property
    def receptive_field(self) -> int:
        """Input samples that an output sample can depend on."""
        return 2 * self.measures.reach + 1

    def table(self, *more: tuple[str, str]) -> str:
        """Give the model as aligned lines of text, and more names and values below."""
        found = self.measures
        milliseconds = 1000 / found.sample_rate
        lines = [
            ("model", str(self.folder)),
            ("class", self.class_path),
            *_arguments(self.init_args),
            ("parameters", f"{found.parameters:,} ({_size(self.bytes)} on disk)"),
            ("sample rate", f"{found.sample_rate} Hz"),
            ("receptive field", f"{self.receptive_field:,} samples ({self.receptive_field * milliseconds:.0f} ms)"),
            ("hop", f"{found.hop:,} samples ({found.hop * milliseconds:.1f} ms)"),
            ("MACs per second", f"{number(found.macs_per_second / 1e6)} million, for {_together(found.channels)}"),
            *(self.coding.lines() if self.coding else ()),
            *more,
        ]
        return aligned(lines)

    def as_dict(self) -> dict[str, Any]:
        """Give the model as plain values, for JSON."""
        coding = {"coding": {**asdict(self.coding), "bitrate": self.coding.bitrate}} if self.coding else {}
        return {
            "model": str(self.folder),
            "class_path": self.class_path,
            "init_args": self.init_args,
            "parameters": self.measures.parameters,
            "bytes": self.bytes,
            "sample_rate": self.measures.sample_rate,
            "receptive_field": self.receptive_field,
            "hop": self.measures.hop,
            "macs_per_second": self.measures.macs_per_second,
            **coding,
        }


@dataclass(frozen=True)
class FileInspection:
    """An encoded file in numbers.

    Attributes:
        path: the file.
        header: what it says of itself.
        bytes: its size.
        framing: bytes of it that are no codes: the header, the index, blocks' own.
    """

    path: Path
    header: Header
    bytes: int
    framing: int

    @property
    def bitrate(self) -> float:
        """Bits a second, of the whole file."""
        return 8 * self.bytes * self.header.sample_rate / self.header.samples

    def _sizes(self) -> dict[str, float]:
        return {"bytes": self.bytes, "framing": self.framing, "bitrate": self.bitrate}

    def table(self, *more: tuple[str, str]) -> str:
        """Give the file as aligned lines of text, and more names and values below."""
        header, codec = self.header, self.header.codec
        left_out = f", of the codec's {codec.width}" if header.width < codec.width else ""
        return aligned(
            [
                ("file", str(self.path)),
                ("length", f"{header.samples / header.sample_rate:.3f} s ({header.samples:,} samples)"),
                ("sample rate", f"{header.sample_rate} Hz"),
                ("channels", str(header.channels)),
                ("sample format", header.subtype),
                (
                    "bitrate",
                    f"{number(self.bitrate / 1000)} kbit/s ({self.bytes:,} bytes, {self.framing:,} of them framing)",
                ),
                ("band", f"up to {min(codec.sample_rate, header.sample_rate) // 2} Hz"),
                ("codebooks", _books(codec.codebooks[: header.width], header.width) + left_out),
                ("frames", f"{header.frames:,} of {codec.frame:,} samples, {header.block_frames:,} a block"),
                ("codec", f"{codec.class_path}, {codec.sample_rate} Hz, {_channels(codec.channels)} at a time"),
                ("  codes' SHA-256", codec.codes_sha256),
                ("  model's SHA-256", codec.model_sha256),
                *more,
            ]
        )

    def as_dict(self) -> dict[str, Any]:
        """Give the file as plain values, for JSON."""
        more = {"streams": self.header.streams, "frames": self.header.frames, "blocks": self.header.blocks}
        return {"file": str(self.path), **asdict(self.header), **more, **self._sizes()}


def inspect_file(path: Path) -> FileInspection:
    """Read an encoded file through: its header, and every block's checksum.

    Raises:
        BitstreamError: it is no encoded file, or damaged.
        OSError: it cannot be opened.
    """
    with reading(path) as reader:
        codes = sum(len(row) for number in range(reader.header.blocks) for _, row in reader.rows(number))
        return FileInspection(path, reader.header, reader.size, reader.size - codes)


def inspect(path: Path, *, trust: bool = False) -> Inspection:
    """Load a model and measure it.

    Args:
        path: a run, a checkpoint or a generator's folder.
        trust: see generators.store.load.

    Raises:
        ModelError: there is no model, it is damaged, or it does not map waveforms to waveforms.
    """
    folder = store.resolve(path)
    words = store.describe(folder)
    network = store.load(folder, trust=trust)
    size = (folder / store.WEIGHTS).stat().st_size
    coding = None
    if isinstance(network, Coder):
        facts = know(cast(Coder, network), words).facts
        coding = Coding(
            facts.channels,
            facts.frame,
            facts.codebooks,
            facts.width,
            facts.sample_rate,
            facts.codes_sha256,
            facts.model_sha256,
        )
    return Inspection(folder, words["class_path"], words.get("init_args") or {}, measure(network), size, coding)


def _books(codebooks: tuple[int, ...], width: int) -> str:
    if not codebooks:
        return f"none: {width} continuous values"
    alike = len(set(codebooks)) == 1
    return f"{len(codebooks)} of {codebooks[0] if alike else ', '.join(map(str, codebooks))} entries"


def _channels(count: int) -> str:
    return f"{count} channel{'s' * (count != 1)}"


def _together(channels: int) -> str:
    return "each channel" if channels == 1 else "both channels together"


def number(value: float) -> str:
    """Give a number with four digits that count, large ones in full."""
    rounded = float(f"{value:.4g}")
    return f"{rounded:.4g}" if abs(rounded) < 1000 else f"{rounded:,.0f}"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.1f} kB"


def _arguments(arguments: Mapping[str, Any], depth: int = 1) -> Iterator[tuple[str, str]]:
    """Give what a network was built with as names and values, parts' own below them and further in."""
    for name, value in arguments.items():
        # Of a part the class says what it is.
        inner = value.get("init_args") or {} if isinstance(value, dict) and "class_path" in value else value
        shown = value["class_path"] if inner is not value else "" if isinstance(value, dict) else _plain(value)
        yield "  " * depth + str(name), f"{shown} Hz" if name == "sample_rate" else str(shown)
        if isinstance(inner, dict):
            yield from _arguments(inner, depth + 1)


def _plain(value: Any) -> str:
    words = {None: "none", True: "yes", False: "no"}
    if isinstance(value, list | tuple):
        return ", ".join(_plain(one) for one in value) or "none"
    return words[value] if value is None or isinstance(value, bool) else str(value)


def aligned(lines: Iterable[tuple[str, str]]) -> str:
    """Give names and values as lines, the values one below the other."""
    rows = list(lines)
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}".rstrip() for name, value in rows)
