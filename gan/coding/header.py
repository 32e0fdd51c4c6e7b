"""The header of an encoded file: what it stands for, and every check that it is one."""

import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, BinaryIO, NoReturn

from gan.coding.entropy import MOST_ENTRIES, BitstreamError
from gan.containers import FINE
from gan.resampling import resampled_length

# As PNG's: a byte over 127, letters, and line ends that a transfer as text would change.
MAGIC = b"\x89UNS\r\n\x1a\n"
VERSION = 1
START = struct.Struct("<8sBI")
CHECKSUM = struct.Struct("<I")
LONGEST_HEADER = 2**16
# A row of so many 32-bit values still has a length that fits into 24 bits.
MOST_CODES = 2**22 - 1
BLOCK_SECONDS = 4.0
MOST_WIDTH = 2**12
MOST_CHANNELS = 1024
HIGHEST_RATE = 10_000_000
MOST_SAMPLES = 2**48
SUBTYPES = ("PCM_16", *FINE["WAV"])


@dataclass(frozen=True, slots=True)
class CodecFacts:
    """What is to be known of the codec that a file was encoded with.

    Attributes:
        class_path: of its class.
        codes_sha256: of what codes follow from: whatever shares it reads the same codes; see gan.coding.codecs.
        model_sha256: of all of it, to notice a decoder that has learned on.
        sample_rate: in Hz.
        channels: coded together, as one stream.
        frame: samples that a frame stands for.
        hop: samples after which it repeats itself, a multiple of `frame`.
        codebooks: how many entries each has, coarsest first; empty where it is continuous.
        width: numbers a frame is written down as.
    """

    class_path: str
    codes_sha256: str
    model_sha256: str
    sample_rate: int
    channels: int
    frame: int
    hop: int
    codebooks: tuple[int, ...]
    width: int

    @property
    def codes(self) -> "CodecFacts":
        """What has to be the same to read codes: all but the class's name and what only decodes."""
        return replace(self, class_path="", model_sha256="")


@dataclass(frozen=True, slots=True)
class Header:
    """What an encoded file stands for.

    Attributes:
        sample_rate: of the audio file, Hz.
        channels: of the audio file.
        samples: of the audio file, a channel.
        subtype: coding of the audio file's samples, one of SUBTYPES.
        codec: that made it.
        block_frames: frames in every block but the last one.
        width: codebooks (or continuous numbers) that the file holds, the first ones of the codec's.
        prior: gan.coding.entropy.Priors.checksum, None where nothing is range coded.
    """

    sample_rate: int
    channels: int
    samples: int
    subtype: str
    codec: CodecFacts
    block_frames: int
    width: int
    prior: int | None

    @property
    def streams(self) -> int:
        """How many streams of the codec's channels the file's channels are dealt out to."""
        return -(-self.channels // self.codec.channels)

    @property
    def codec_samples(self) -> int:
        """Samples at the codec's rate."""
        return resampled_length(self.samples, self.sample_rate, self.codec.sample_rate)

    @property
    def frames(self) -> int:
        """Frames of each stream."""
        return -(-self.codec_samples // self.codec.frame)

    @property
    def blocks(self) -> int:
        """How many blocks."""
        return -(-self.frames // self.block_frames)

    @property
    def codebooks(self) -> tuple[int | None, ...]:
        """Entries of each codebook that the file holds; None for each continuous number."""
        return self.codec.codebooks[: self.width] or (None,) * self.width

    def frames_of(self, block: int) -> int:
        """How many frames a block holds."""
        return min(self.block_frames, self.frames - block * self.block_frames)

    def to_bytes(self) -> bytes:
        """Give everything before the first block."""
        words = {
            "sample_rate": self.sample_rate,
            "channels": self.channels,
            "samples": self.samples,
            "subtype": self.subtype,
            "codec": {**asdict(self.codec), "samples": self.codec_samples},
            "layout": {
                "streams": self.streams,
                "block_frames": self.block_frames,
                "width": self.width,
                "prior": self.prior,
            },
        }
        text = json.dumps(words, separators=(",", ":")).encode("ascii")
        content = START.pack(MAGIC, VERSION, len(text)) + text
        return content + CHECKSUM.pack(zlib.crc32(content))


def suitable_block(codec: CodecFacts, streams: int) -> int:
    """Choose the frames of a block: about four seconds, whole hops, of at most MOST_CODES codes."""
    hop = codec.hop // codec.frame
    most = max(1, MOST_CODES // (streams * codec.width))
    wanted = max(1, round(BLOCK_SECONDS * codec.sample_rate / codec.hop)) * hop
    return wanted if wanted <= most else max(most // hop * hop, min(most, hop))


def read_header(file: BinaryIO) -> Header:
    """Read a header from the start of a file, and stop behind it.

    Raises:
        BitstreamError: it is no encoded file, of a version that is not known, or damaged.
    """
    start = file.read(START.size)
    if not start:
        raise BitstreamError("is empty")
    if start[: len(MAGIC)] != MAGIC[: len(start)]:
        raise BitstreamError("is no file that `unshift encode` has made")
    if len(start) < START.size:
        raise BitstreamError("is cut short in its header")
    _, version, length = START.unpack(start)
    if version != VERSION:
        raise BitstreamError(f"is of format version {version}, this program reads version {VERSION}: update unshift")
    if length > LONGEST_HEADER:
        raise BitstreamError("has a damaged header")
    text, checksum = file.read(length), file.read(CHECKSUM.size)
    if len(checksum) < CHECKSUM.size:
        raise BitstreamError("is cut short in its header")
    if CHECKSUM.unpack(checksum)[0] != zlib.crc32(start + text):
        raise BitstreamError("has a damaged header")
    try:
        words = json.loads(
            text.decode("ascii"),
            object_pairs_hook=_once,
            parse_int=_short_int,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
        )
        return _header(words)
    except BitstreamError:
        raise
    except (ValueError, RecursionError) as error:
        raise BitstreamError("has a header that is not as it should be") from error


def check_header(header: Header) -> Header:
    """Give back a header that can be written and read.

    Raises:
        BitstreamError: a number in it is out of bounds, or numbers do not fit each other.
    """
    codec = header.codec
    for name, value, most in (
        ("sample_rate", header.sample_rate, HIGHEST_RATE),
        ("channels", header.channels, MOST_CHANNELS),
        ("samples", header.samples, MOST_SAMPLES),
        ("codec's sample_rate", codec.sample_rate, HIGHEST_RATE),
        ("codec's channels", codec.channels, MOST_CHANNELS),
        ("codec's frame", codec.frame, 2**24),
        ("codec's hop", codec.hop, 2**30),
        ("codec's width", codec.width, MOST_WIDTH),
        *(("codec's codebooks", entries, MOST_ENTRIES) for entries in codec.codebooks),
        ("width", header.width, codec.width),
        ("block_frames", header.block_frames, MOST_CODES),
    ):
        if not 1 <= value <= most:
            raise BitstreamError(f"says {name} {value}: 1 to {most} can be")
    if header.block_frames > 1 and header.block_frames * header.streams * codec.width > MOST_CODES:
        raise BitstreamError(f"says block_frames {header.block_frames}, which makes blocks of over {MOST_CODES} codes")
    if header.prior is not None and not 0 <= header.prior < 2**32:
        raise BitstreamError(f"says prior {header.prior}, which is no checksum")
    if codec.hop % codec.frame or (codec.codebooks and len(codec.codebooks) != codec.width):
        raise BitstreamError("says things of its codec that do not fit each other")
    if not codec.codebooks and header.width != codec.width:
        raise BitstreamError("holds some of its codec's continuous values only")
    if header.subtype not in SUBTYPES:
        raise BitstreamError(f"says the subtype {header.subtype[:40]!r}, which is none of {', '.join(SUBTYPES)}")
    if not (codec.class_path.isprintable() and codec.class_path.isascii() and 1 <= len(codec.class_path) <= 300):
        raise BitstreamError("names no class path of its codec")
    for digest in (codec.codes_sha256, codec.model_sha256):
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise BitstreamError("names no SHA-256 of its codec")
    return header


def _header(words: Any) -> Header:
    top = _fields(
        words, {"sample_rate": int, "channels": int, "samples": int, "subtype": str, "codec": dict, "layout": dict}
    )
    codec = _fields(
        top["codec"],
        {"class_path": str, "codes_sha256": str, "model_sha256": str, "sample_rate": int, "channels": int}
        | {"frame": int, "hop": int, "codebooks": list, "width": int, "samples": int},
    )
    layout = _fields(top["layout"], {"streams": int, "block_frames": int, "width": int, "prior": (int, type(None))})
    if len(codec["codebooks"]) > MOST_WIDTH or any(type(entries) is not int for entries in codec["codebooks"]):
        raise BitstreamError("says codebooks that are none")
    samples = codec.pop("samples")
    facts = CodecFacts(**{**codec, "codebooks": tuple(codec["codebooks"])})
    header = check_header(
        Header(
            top["sample_rate"], top["channels"], top["samples"], top["subtype"], facts,
            layout["block_frames"], layout["width"], layout["prior"],
        )
    )  # fmt: skip
    if (samples, layout["streams"]) != (header.codec_samples, header.streams):
        raise BitstreamError("says numbers of samples or streams that do not fit each other")
    return header


def _fields(words: Any, kinds: Mapping[str, Any]) -> dict[str, Any]:
    """Take a JSON object apart that has exactly these fields; True is no number."""
    if not isinstance(words, dict) or words.keys() != kinds.keys():
        raise BitstreamError("has a header with other fields than it should")
    for name, kind in kinds.items():
        if isinstance(words[name], bool) or not isinstance(words[name], kind):
            raise BitstreamError(f"has a header with a wrong {name}")
    return dict(words)


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    words = dict(pairs)
    if len(words) != len(pairs):
        raise BitstreamError("has a header that says something twice")
    return words


def _short_int(digits: str) -> int:
    if len(digits) > 16:
        raise BitstreamError("has a header with a number without end")
    return int(digits)


def _refuse_number(_: str) -> NoReturn:
    raise BitstreamError("has a header with a number that is not whole")
