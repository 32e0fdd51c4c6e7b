"""Codecs of a few numbers, for laws that hold for any: every frame depends on its neighbours, nothing is learned."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gan.coding.codecs import KnownCodec, know
from generators import store
from generators.codec import Codec
from generators.contract import Latent


class TinyEncoder(nn.Module):
    def __init__(self, channels: int = 1, frame: int = 16) -> None:
        super().__init__()
        self.channels, self.dimension, self.frame, self.reach = channels, 4, frame, frame
        self.layer = nn.Conv1d(channels, 4, 3 * frame, frame, frame)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.layer(hidden)


class TinyDecoder(nn.Module):
    def __init__(self, channels: int = 1, frame: int = 16) -> None:
        super().__init__()
        self.channels, self.dimension, self.frame, self.reach = channels, 4, frame, frame
        self.layer = nn.ConvTranspose1d(4, channels, 3 * frame, frame, frame)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.layer(hidden)


class TinyQuantiser(nn.Module):
    """Three codebooks, each for what the ones before have left over; an entry of one number comes first in all four."""

    def __init__(self, block: int = 1) -> None:
        super().__init__()
        self.dimension, self.codebooks, self.width, self.block = 4, (32, 20, 2), 3, block
        for number, entries in enumerate(self.codebooks):
            self.register_buffer(f"book{number}", torch.randn(entries, 4) * 0.2 / 2**number)

    def encode(self, hidden: Tensor) -> Tensor:
        codes = []
        for number in range(self.width):
            book = getattr(self, f"book{number}")
            code = (hidden.transpose(1, 2)[:, :, None] - book).square().sum(-1).argmin(-1)
            hidden = hidden - book[code].transpose(1, 2)
            codes.append(code)
        return torch.stack(codes, dim=1)

    def decode(self, code: Tensor) -> Tensor:
        return sum(getattr(self, f"book{number}")[code[:, number]] for number in range(code.shape[1])).transpose(1, 2)

    def forward(self, hidden: Tensor) -> Latent:
        code = self.encode(hidden)
        return Latent(self.decode(code), code)


class TinyLatents(nn.Module):
    """Continuous: what comes in goes out."""

    def __init__(self, block: int = 1) -> None:
        super().__init__()
        self.dimension, self.codebooks, self.width, self.block = 4, (), 4, block

    def encode(self, hidden: Tensor) -> Tensor:
        return hidden

    def decode(self, code: Tensor) -> Tensor:
        return code

    def forward(self, hidden: Tensor) -> Latent:
        return Latent(hidden)


def spec(rate: int = 16000, channels: int = 1, kind: str = "TinyQuantiser", block: int = 1) -> dict[str, Any]:
    """Describe a codec: sample rate, Hz; channels; bottleneck; frames that it works on together."""
    half = {"channels": channels}
    return {
        "class_path": "generators.codec.Codec",
        "init_args": {
            "sample_rate": rate,
            "encoder": {"class_path": "tiny_codec.TinyEncoder", "init_args": half},
            "bottleneck": {"class_path": f"tiny_codec.{kind}", "init_args": {"block": block}},
            "decoder": {"class_path": "tiny_codec.TinyDecoder", "init_args": half},
        },
    }


def build(rate: int = 16000, channels: int = 1, kind: str = "TinyQuantiser", block: int = 1) -> Codec:
    """Build a codec whose entries are used unevenly, as a trained one's are."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        bottleneck = {"TinyQuantiser": TinyQuantiser, "TinyLatents": TinyLatents}[kind](block)
        codec = Codec(TinyEncoder(channels), bottleneck, TinyDecoder(channels), rate)
    if codec.usage is not None:
        for share in codec.usage.shares:
            share.copy_(0.5 ** torch.arange(1, len(share) + 1))
    return codec.eval()


def save(folder: Path, **words: Any) -> Path:
    """Save a codec as a generator's folder."""
    store.save(folder, build(**words), spec(**words))
    return folder


def known(folder: Path, **words: Any) -> KnownCodec:
    """Give a codec as the commands know it."""
    save(folder, **words)
    return know(build(**words), spec(**words))
