"""A causal codec's two halves, for use while the sound is still coming: nothing waits for more than a frame."""

from collections.abc import Iterable, Sequence
from math import prod
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from generators.causal_convolution import CausalConvolution, CausalUnit, CausalUp, Layer
from generators.codec import Codec
from generators.contract import Bottleneck, ModelError


class CausalHalf(nn.Module):
    """Causal layers one after another; see generators.codec.Half for what a half of a codec has.

    Attributes:
        step: a piece of a stream is to have a multiple of so many inputs.
    """

    channels: int
    dimension: int
    frame: int
    reach: int
    step: int

    def __init__(self, layers: Iterable[Layer], end: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.end = end

    def forward(self, hidden: Tensor) -> Tensor:
        """Go one way, with the whole at once."""
        for layer in self.layers:
            hidden, _ = layer(hidden)
        result: Tensor = self.end(hidden)
        return result

    def earliest(self, position: int) -> int:
        """Say which is the first input that an output's position depends on."""
        for layer in reversed(self.layers):
            position = cast(Layer, layer).earliest(position)
        return position

    def stream(self) -> "Stream":
        """Begin a stream."""
        return Stream(self)


class Stream:
    """A half of a codec at work on a stream, with what its layers remember.

    Args:
        half: whose layers to use.
    """

    def __init__(self, half: CausalHalf) -> None:
        self.half = half
        self.memories: list[Tensor | None] = [None] * len(half.layers)

    @torch.inference_mode()
    def push(self, piece: Tensor) -> Tensor:
        """Take the stream's next piece.

        Args:
            piece: [batch, channels, n * frame] for an encoder, [batch, dimension, n] for a decoder, n from 1.

        Returns:
            What comes of it, [batch, dimension, n] or [batch, channels, n * frame]; pieces joined are what the half
            makes of the whole.

        Raises:
            ModelError: a piece of no whole frames, or of another batch than the one before.
        """
        if piece.shape[-1] < 1 or piece.shape[-1] % self.half.step:
            raise ModelError(f"a stream takes multiples of {self.half.step}, not {piece.shape[-1]}")
        if self.memories[0] is not None and self.memories[0].shape[:2] != piece.shape[:2]:
            raise ModelError(f"a stream of {list(self.memories[0].shape[:2])} cannot go on as {list(piece.shape[:2])}")
        for number, layer in enumerate(self.half.layers):
            piece, memory = layer(piece, self.memories[number])
            # A copy: the memory is a view of the layer's whole input otherwise.
            self.memories[number] = memory.clone()
        result: Tensor = self.half.end(piece)
        return result


def _check(width: int, strides: Sequence[int], dimension: int, dilations: Sequence[int], audio: int) -> None:
    if not strides or min(width, dimension, *strides, *dilations) < 1:
        raise ModelError(f"a causal codec needs positive sizes, not {width}, {dimension}, {strides} and {dilations}")
    if audio not in (1, 2):
        raise ModelError(f"a codec's audio has 1 or 2 channels, not {audio}")


class CausalEncoder(CausalHalf):
    """The encoder of SoundStream (Zeghidour et al. 2021), as EnCodec (Défossez et al. 2022) has it: ELU, no tricks.

    Convolution of 7; at each stride residual units and a convolution of 2 * stride to twice the width; convolution
    of 3. A frame depends on no sample after its own last one.

    Args:
        width: channels at the waveform's rate.
        strides: from one depth to the next.
        dimension: channels of the latent.
        dilations: of the residual units.
        audio: channels of the waveform, 1 or 2.

    Raises:
        ModelError: sizes that are not positive, or audio of more channels.
    """

    def __init__(
        self,
        width: int = 32,
        strides: Sequence[int] = (2, 3, 4, 4, 5),
        dimension: int = 512,
        dilations: Sequence[int] = (1, 3, 9),
        audio: int = 1,
    ) -> None:
        _check(width, strides, dimension, dilations, audio)
        layers: list[Layer] = [CausalConvolution(audio, width, 7, bend=False)]
        for stride in strides:
            layers += [CausalUnit(width, dilation) for dilation in dilations]
            layers.append(CausalConvolution(width, 2 * width, 2 * stride, stride))
            width *= 2
        layers.append(CausalConvolution(width, dimension, 3))
        super().__init__(layers, nn.Identity())
        self.channels, self.dimension, self.frame = audio, dimension, prod(strides)
        self.step = self.frame
        self.reach = -self.earliest(0)


class CausalDecoder(CausalHalf):
    """The encoder's mirror: a sample depends on no frame after the one that it lies in.

    Args:
        width: channels at the waveform's rate.
        strides: the encoder's, in the encoder's order.
        dimension: channels of the latent.
        dilations: of the residual units.
        audio: channels of the waveform, 1 or 2.

    Raises:
        ModelError: sizes that are not positive, or audio of more channels.
    """

    def __init__(
        self,
        width: int = 32,
        strides: Sequence[int] = (2, 3, 4, 4, 5),
        dimension: int = 512,
        dilations: Sequence[int] = (1, 3, 9),
        audio: int = 1,
    ) -> None:
        _check(width, strides, dimension, dilations, audio)
        width *= 2 ** len(strides)
        layers: list[Layer] = [CausalConvolution(dimension, width, 7, bend=False)]
        for stride in reversed(strides):
            layers.append(CausalUp(width, width // 2, stride))
            width //= 2
            layers += [CausalUnit(width, dilation) for dilation in dilations]
        layers.append(CausalConvolution(width, audio, 7))
        super().__init__(layers, nn.Tanh())
        self.channels, self.dimension, self.frame = audio, dimension, prod(strides)
        self.step = 1
        # From each place in a frame, back to the last sample of the first frame that it depends on.
        self.reach = max(place - self.earliest(place) * self.frame - self.frame + 1 for place in range(self.frame))


@runtime_checkable
class Streamable(Protocol):
    """A half that can work on a stream."""

    def stream(self) -> Stream:
        """Begin a stream."""


class StreamingCodec:
    """A causal codec at work on two streams: sound to codes and codes to sound, each frame as soon as it is there.

    A frame's codes come with its last sample, and its samples come with its codes: the algorithmic latency is one
    frame, `latency` samples.

    Args:
        codec: in eval mode; its halves can stream, and each of its frames stands for itself.

    Raises:
        ModelError: a codec that has to hear what comes after a frame.
    """

    def __init__(self, codec: Codec) -> None:
        for half in (codec.encoder, codec.decoder):
            if not isinstance(half, Streamable):
                raise ModelError(f"a {type(half).__name__} cannot stream; take causal halves")
        self.bottleneck = cast(Bottleneck, codec.bottleneck)
        if self.bottleneck.block != 1:
            raise ModelError(
                f"a {type(codec.bottleneck).__name__} works on {self.bottleneck.block} frames at once and cannot stream"
            )
        self.codec = codec
        self.latency = codec.frame
        self._encoder = cast(Streamable, codec.encoder).stream()
        self._decoder = cast(Streamable, codec.decoder).stream()
        self._rest: Tensor | None = None

    @torch.inference_mode()
    def encode(self, piece: Tensor) -> Tensor:
        """Take the next samples, [batch, channels, any number].

        Returns:
            Codes of the frames that are full now, [batch, width, frames, perhaps none].
        """
        held = piece if self._rest is None else torch.cat([self._rest, piece], dim=-1)
        full = held.shape[-1] - held.shape[-1] % self.latency
        self._rest = held[..., full:].clone()
        if full:
            return self.bottleneck.encode(self._encoder.push(held[..., :full]))
        dtype = torch.int64 if self.codec.codebooks else held.dtype
        return torch.empty(held.shape[0], self.codec.width, 0, dtype=dtype, device=held.device)

    @torch.inference_mode()
    def finish(self) -> Tensor | None:
        """End the stream to encode: the codes of what is left, filled up with silence; None where nothing is left."""
        if self._rest is None or not self._rest.shape[-1]:
            return None
        return self.encode(self._rest.new_zeros(*self._rest.shape[:2], self.latency - self._rest.shape[-1]))

    @torch.inference_mode()
    def decode(self, code: Tensor) -> Tensor:
        """Take the next frames, [batch, up to width, frames from 1]; give [batch, channels, frames * frame]."""
        return self._decoder.push(self.bottleneck.decode(code))
