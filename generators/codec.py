"""The codec: an encoder, a bottleneck and a decoder, three parts by class path.

wave [B, C, n * frame] - encoder - [B, D, n] - bottleneck - [B, D, n] - decoder - wave [B, C, n * frame]
                                                   |
                                            codes [B, books, n]
"""

from typing import Protocol, cast

import torch
from torch import Tensor, nn

from generators.contract import Bottleneck, Estimate, ModelError, Pair
from generators.convolution import pad_to_multiple
from generators.gaussian import fidelity
from generators.usage import Usage


class Half(Protocol):
    """An encoder ([batch, channels, frames * frame] to [batch, dimension, frames]) or a decoder (the way back).

    Attributes:
        channels: of the waveform.
        dimension: channels of the latent.
        frame: samples a frame stands for.
        reach: see generators.contract.Coder's encoder_reach and decoder_reach.
    """

    channels: int
    dimension: int
    frame: int
    reach: int

    def __call__(self, hidden: Tensor) -> Tensor:
        """Go one way."""


class Codec(nn.Module):
    """A coder made of parts (van den Oord et al. 2017; Zeghidour et al. 2021; Kumar et al. 2023).

    As a generator it learns to give a pair's target back, and pays the pair's source no attention: x -> x.

    Args:
        encoder: a `Half`.
        bottleneck: a generators.contract.Bottleneck.
        decoder: a `Half`.
        sample_rate: in Hz.

    Raises:
        ModelError: parts that do not fit each other.
    """

    writing_parts = ("encoder", "bottleneck")

    def __init__(self, encoder: nn.Module, bottleneck: nn.Module, decoder: nn.Module, sample_rate: int = 44100) -> None:
        super().__init__()
        self.encoder, self.bottleneck, self.decoder = encoder, bottleneck, decoder
        self.sample_rate = sample_rate
        self._check()
        self.usage = Usage(self.codebooks) if self.codebooks else None

    def _check(self) -> None:
        first, middle, last = self._encoder, self._bottleneck, self._decoder
        if not isinstance(self.bottleneck, Bottleneck):
            raise ModelError(f"a {type(self.bottleneck).__name__} is no bottleneck")
        if not first.dimension == middle.dimension == last.dimension:
            sizes = f"{first.dimension}, {middle.dimension} and {last.dimension}"
            raise ModelError(f"encoder, bottleneck and decoder are to have one dimension, not {sizes}")
        if (first.frame, first.channels) != (last.frame, last.channels):
            raise ModelError(
                f"the encoder makes a frame of {first.frame} samples in {first.channels} channels, the decoder makes "
                f"{last.frame} in {last.channels} of it"
            )

    @property
    def _encoder(self) -> Half:
        return cast(Half, self.encoder)

    @property
    def _bottleneck(self) -> Bottleneck:
        return cast(Bottleneck, self.bottleneck)

    @property
    def _decoder(self) -> Half:
        return cast(Half, self.decoder)

    @property
    def channels(self) -> int:
        """Of a waveform, coded together."""
        return self._encoder.channels

    @property
    def frame(self) -> int:
        """Samples a frame stands for."""
        return self._encoder.frame

    @property
    def hop(self) -> int:
        """Samples after which the codec repeats itself: the frames that its bottleneck works on together."""
        return self.frame * self._bottleneck.block

    @property
    def codebooks(self) -> tuple[int, ...]:
        """How many entries each codebook has, coarsest first."""
        return tuple(self._bottleneck.codebooks)

    @property
    def width(self) -> int:
        """Numbers that a frame is written down as."""
        return self._bottleneck.width

    @property
    def encoder_reach(self) -> int:
        """In samples, beyond the block that a frame lies in."""
        return self._encoder.reach

    @property
    def decoder_reach(self) -> int:
        """In samples, to frames beyond the block that a sample lies in."""
        return self._decoder.reach

    def forward(self, pair: Pair) -> Estimate:
        """Give the target back through the bottleneck."""
        latent = self._bottleneck(self.encoder(pad_to_multiple(pair.target, self.hop)))
        output = self.decoder(latent.values)[..., : pair.target.shape[-1]]
        facts = dict(latent.facts)
        if self.usage is not None and latent.codes is not None:
            # Where codes keep their meaning, shares do too: what a range coder expects is part of how codes are read.
            if self.training and torch.is_grad_enabled() and self._writing_changes():
                self.usage.note(latent.codes)
            facts |= self.usage.facts(self.sample_rate / self.frame)
        return Estimate(output, pair.target, dict(latent.penalties), facts)

    def encode(self, waveform: Tensor) -> Tensor:
        """Write down [batch, channels, samples]; see generators.contract.Coder."""
        frames = -(-waveform.shape[-1] // self.frame)
        hidden = self.encoder(pad_to_multiple(waveform, self.hop))
        return self._bottleneck.encode(hidden)[..., :frames]

    def decode(self, code: Tensor, samples: int) -> Tensor:
        """Read [batch, up to width, frames] back; see generators.contract.Coder."""
        code = pad_to_multiple(code, self._bottleneck.block)
        waveform: Tensor = self.decoder(self._bottleneck.decode(code))
        return waveform[..., :samples]

    def writing_state(self) -> dict[str, Tensor]:
        """Give the weights that codes follow from, by name: the encoder's, and the bottleneck's less its `leave`.

        Codecs that have learned on from one codec with these frozen read each other's codes.
        """
        return {name: tensor for name, tensor in self.state_dict().items() if _writes(name)}

    def _writing_changes(self) -> bool:
        """Whether codes may mean something else after this step."""
        moving = any(_writes(name) and parameter.requires_grad for name, parameter in self.named_parameters())
        return moving or getattr(self.bottleneck, "learns", False)

    def describe(self, code: Tensor) -> dict[str, float]:
        """Say how codes use what they have, [batch, width, frames] of many frames.

        Returns:
            Of codes generators.usage.Usage.facts; of continuous values how many principal components hold such a share
            of their variance (RAVE's fidelity, Caillon and Esling 2021), as "components/0.95".
        """
        if not self.codebooks:
            found = fidelity(code.transpose(1, 2).flatten(0, 1))
            return {f"components/{share}": float(count) for share, count in found.items()}
        usage = Usage(self.codebooks, decay=0.0).to(code.device)
        usage.count(code)
        return {name: float(fact) for name, fact in usage.facts(self.sample_rate / self.frame).items()}

    @property
    def reach(self) -> int:
        """An output sample of `restore` depends on input at most so many samples away."""
        return self.encoder_reach + self.decoder_reach + 2 * (self.hop - 1)

    def restore(self, waveform: Tensor) -> Tensor:
        """Send [batch, any channels, samples] through the codec, to the same shape: a mender's verb."""
        streams = as_streams(waveform, self.channels)
        return from_streams(self.decode(self.encode(streams), waveform.shape[-1]), waveform.shape[1])


def _writes(name: str) -> bool:
    """Whether codes follow from a weight of this name."""
    return name.partition(".")[0] in Codec.writing_parts and not name.startswith("bottleneck.leave.")


def as_streams(waveform: Tensor, width: int) -> Tensor:
    """Deal out the channels of [batch, channels, samples] to coders of `width` channels; the last one is repeated.

    Returns:
        [batch * streams, width, samples].
    """
    missing = -waveform.shape[1] % width
    full = torch.cat([waveform, waveform[:, -1:].expand(-1, missing, -1)], dim=1) if missing else waveform
    return full.reshape(-1, width, waveform.shape[-1])


def from_streams(streams: Tensor, channels: int) -> Tensor:
    """Put [batch * streams, width, samples] together again, to [batch, channels, samples]."""
    each = -(-channels // streams.shape[1])
    return streams.reshape(-1, each * streams.shape[1], streams.shape[-1])[:, :channels]
