"""Laws of every generator of the house: in chunks it does what it does with the whole, and its reach is its own."""

from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gan.audio import read
from generators.causal import CausalDecoder, CausalEncoder
from generators.codec import Codec, Half
from generators.contract import Coder, Latent, Mender, ModelError
from generators.convolution import Down, ResidualUnits, Up
from generators.restorer import Restorer
from generators.spectral import SpectralRestorer
from generators.spectral_codec import SpectralDecoder, SpectralEncoder
from generators.streaming import decode_stream, encode_stream, frames_for, restore_stream

CLIP = Path(__file__).parents[1] / "demo" / "clips" / "kathleen" / "speech_en_kathleen_0.flac"
NOISE = 10 ** (-90 / 20)


class Mixing(nn.Module):
    """A bottleneck for tests: all frames of a block hear each other, on the way in and on the way out."""

    def __init__(self, dimension: int, block: int = 1, continuous: bool = False) -> None:
        super().__init__()
        self.dimension = self.width = dimension
        self.codebooks = () if continuous else (9,) * dimension
        self.block = block
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, hidden: Tensor) -> Latent:
        return Latent(self.decode(self.encode(hidden)))

    def _mixed(self, hidden: Tensor) -> Tensor:
        blocks = hidden.unflatten(-1, (-1, self.block))
        return (self.gain * blocks + blocks.mean(-1, keepdim=True)).flatten(-2)

    def encode(self, hidden: Tensor) -> Tensor:
        mixed = torch.tanh(self._mixed(hidden))
        return mixed if not self.codebooks else torch.round(4 * mixed + 4).long()

    def decode(self, code: Tensor) -> Tensor:
        return self._mixed(code if not self.codebooks else (code - 4).to(self.gain) / 4)


class Wide(nn.Sequential):
    """A half of the house's two-sided blocks."""

    def __init__(self, strides: tuple[int, ...], dimension: int, audio: int, back: bool) -> None:
        layers: list[nn.Module] = []
        reach = rate = 1
        width = [audio, *([3] * (len(strides) - 1)), dimension]
        for number, stride in enumerate(strides):
            units, down = ResidualUnits(width[number], (1, 2)), Down(width[number], width[number + 1], stride)
            up = Up(width[number + 1], width[number], stride, "transposed")
            layers += [units, down] if not back else [units, up]
            reach += rate * (units.reach + (up.reach if back else down.reach))
            rate *= stride
        super().__init__(*(reversed(layers) if back else layers))
        self.channels, self.dimension, self.frame, self.reach = audio, dimension, prod(strides), reach


def wide(strides: tuple[int, ...], audio: int = 1, **bottleneck: int) -> Codec:
    return Codec(Wide(strides, 3, audio, False), Mixing(3, **bottleneck), Wide(strides, 3, audio, True), 16_000)


def causal(strides: tuple[int, ...], audio: int = 1, **bottleneck: int) -> Codec:
    sizes = (2, strides, 3, (1, 3), audio)
    return Codec(CausalEncoder(*sizes), Mixing(3, **bottleneck), CausalDecoder(*sizes), 16_000)


def spectral(**bottleneck: int) -> Codec:
    sizes = (1, 3, 8, 32, 8, 2, 3)
    return Codec(SpectralEncoder(*sizes), Mixing(3, **bottleneck), SpectralDecoder(*sizes), 16_000)


CODERS: dict[str, Callable[[], Codec]] = {
    "two-sided": lambda: wide((2, 4)),
    "odd": lambda: wide((3, 5), audio=2),
    "blocks": lambda: wide((2, 3), block=3),
    "continuous": lambda: wide((4,), continuous=True, block=2),
    "causal": lambda: causal((2, 3)),
    "causal odd": lambda: causal((3, 5), audio=2),
    "causal blocks": lambda: causal((4,), block=5),
    "spectral": spectral,
    "spectral blocks": lambda: spectral(block=2),
}
MENDERS: dict[str, Callable[[], nn.Module]] = {
    "nearest": lambda: Restorer(channels=[2, 3, 4], strides=[2, 4]),
    "stem": lambda: Restorer(channels=[2, 3, 4], strides=[3, 5], stem=2),
    "transposed": lambda: Restorer(channels=[2, 3, 4], strides=[3, 4], upsample="transposed"),
    "identity": lambda: Restorer(channels=[2, 3], strides=[8], identity=True),
    "restorer spectral": lambda: SpectralRestorer(fft=64, hop=16, width=8, layers=2),
    **{f"codec {name}": make for name, make in CODERS.items()},
}


def shaken(make: Callable[[], nn.Module], dtype: torch.dtype = torch.float64) -> nn.Module:
    """With random weights everywhere, of a size that keeps the sound's."""
    torch.manual_seed(1)
    network = make()
    for parameter in network.parameters():
        fan = max(1, parameter[0].numel()) if parameter.dim() > 1 else 25
        nn.init.normal_(parameter, std=fan**-0.5)
    return network.to(dtype).eval()


def coder_of(name: str, dtype: torch.dtype = torch.float64) -> Codec:
    codec = shaken(CODERS[name], dtype)
    assert isinstance(codec, Codec) and isinstance(codec, Coder)
    return codec


def speech(streams: int, channels: int, samples: int) -> Tensor:
    """Real speech, [streams, channels, samples], each from somewhere else, at full scale."""
    waveform = torch.from_numpy(read(CLIP)[0])[0, 20_000:]
    cut = torch.stack([waveform[place * 777 :][:samples] for place in range(streams * channels)])
    return (cut / cut.abs().max()).reshape(streams, channels, samples)


@pytest.mark.parametrize("name", CODERS)
@settings(max_examples=15, deadline=None)
@given(samples=st.integers(1, 2500), streams=st.integers(1, 2), chunk=st.integers(1, 600), block=st.integers(1, 900))
def test_a_coded_stream_equals_the_whole(name: str, samples: int, streams: int, chunk: int, block: int) -> None:
    # In float64: rounding may turn a code of float32 about, once in some million.
    codec = coder_of(name)
    waveform = speech(streams, codec.channels, samples).double()
    with torch.inference_mode():
        codes = codec.encode(waveform)
    pieces = list(encode_stream(codec, waveform.split(block, dim=-1), chunk))
    assert all(piece.shape[-1] * codec.frame % codec.hop == 0 for piece in pieces[:-1])
    streamed = torch.cat(pieces, dim=-1)
    assert streamed.shape == (streams, codec.width, -(-samples // codec.frame))
    assert streamed.dtype == codes.dtype
    assert (streamed - codes).abs().max() <= (0 if codec.codebooks else 1e-12)
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, NOISE)):
        codec = codec.to(dtype)
        given_in = codes if codec.codebooks else codes.to(dtype)
        with torch.inference_mode():
            whole = codec.decode(given_in, samples)
        sounds = list(decode_stream(codec, given_in.split(max(1, block // 9), dim=-1), samples, chunk))
        assert all(sound.shape[-1] for sound in sounds)
        decoded = torch.cat(sounds, dim=-1)
        assert decoded.shape == waveform.shape
        assert (decoded - whole).abs().max() < tolerance


@pytest.mark.parametrize("name", CODERS)
def test_every_short_length_is_coded(name: str) -> None:
    codec = coder_of(name)
    for samples in range(1, 3 * codec.hop + 2):
        waveform = speech(1, codec.channels, samples).double()
        (codes,) = encode_stream(codec, [waveform], 10**6)
        assert torch.equal(codes, codec.encode(waveform))
        sound = torch.cat(list(decode_stream(codec, [codes], samples, 1)), dim=-1)
        assert sound.shape == waveform.shape
        assert torch.allclose(sound, codec.decode(codes, samples), atol=1e-10)


@pytest.mark.parametrize("name", CODERS)
@settings(max_examples=20, deadline=None)
@given(frames=st.integers(1, 120), ends=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_a_section_needs_the_frames_it_is_said_to(name: str, frames: int, ends: tuple[float, float]) -> None:
    codec = coder_of(name)
    samples = frames * codec.frame
    start, stop = sorted(int(end * samples) for end in ends)
    start, stop = min(start, samples - 1), max(stop, min(start, samples - 1) + 1)
    with torch.inference_mode():
        codes = codec.encode(speech(1, codec.channels, samples).double())
        whole = codec.decode(codes, samples)[..., start:stop]
        first, last = frames_for(codec, start, stop, frames)
        skipped = first * codec.frame
        section = codec.decode(codes[..., first:last], stop - skipped)[..., start - skipped :]
    assert section.shape == whole.shape and torch.allclose(section, whole, atol=1e-10)
    assert first * codec.frame % codec.hop == 0 and (last == frames or last * codec.frame % codec.hop == 0)
    spare = codec.decoder_reach + codec.hop
    assert start - skipped < spare and last * codec.frame - stop < spare, "and no more"


@pytest.mark.parametrize("name", CODERS)
def test_an_encoder_hears_as_far_as_it_says(name: str) -> None:
    half: Half = coder_of(name)._encoder
    middle = half.reach // half.frame + 2
    waveform = torch.randn(1, half.channels, (2 * middle + 1) * half.frame, dtype=torch.float64, requires_grad=True)
    half(waveform)[0, :, middle].sum().backward()
    assert waveform.grad is not None
    heard = torch.nonzero(waveform.grad[0].abs().sum(0)).flatten()
    furthest = max(middle * half.frame - int(heard[0]), int(heard[-1]) - (middle + 1) * half.frame + 1)
    assert furthest <= half.reach <= 1.15 * furthest + half.frame


@pytest.mark.parametrize("name", CODERS)
def test_a_decoder_hears_as_far_as_it_says(name: str) -> None:
    half: Half = coder_of(name)._decoder
    frame, middle = half.frame, half.reach // half.frame + 2
    hidden = torch.randn(1, half.dimension, 2 * middle + 1, dtype=torch.float64, requires_grad=True)
    waveform = half(hidden)[0]
    furthest = 0
    for place in range(middle * frame, (middle + 1) * frame):
        (slope,) = torch.autograd.grad(waveform[:, place].sum(), hidden, retain_graph=True)
        heard = torch.nonzero(slope[0].abs().sum(0)).flatten()
        # From a sample to the nearest sample of the furthest frame, to either side.
        furthest = max(furthest, place - int(heard[0] + 1) * frame + 1, int(heard[-1]) * frame - place)
    assert furthest <= half.reach <= 1.15 * furthest + half.frame


@pytest.mark.parametrize("name", MENDERS)
@settings(max_examples=8, deadline=None)
@given(samples=st.integers(1, 4000), chunk=st.integers(1, 1500), block=st.integers(1, 2000), double=st.booleans())
def test_a_mended_stream_equals_the_whole(name: str, samples: int, chunk: int, block: int, double: bool) -> None:
    double = double or name.startswith("codec")  # see above
    dtype = torch.float64 if double else torch.float32
    network = shaken(MENDERS[name], dtype)
    assert isinstance(network, Mender)
    waveform = speech(1, 2, samples)[0].to(dtype)
    with torch.inference_mode():
        whole = network.restore(waveform[None])[0]
    mended = torch.cat(list(restore_stream(network, waveform.split(block, dim=-1), chunk)), dim=-1)
    assert mended.shape == whole.shape
    # What is loud beyond full scale may differ by as much more.
    assert (mended - whole).abs().max() < (1e-10 if double else NOISE) * max(1.0, float(whole.abs().max()))


@pytest.mark.parametrize("name", ["blocks", "causal"])
def test_long_streams_come_out_as_they_go_in_a_chunk_at_a_time(name: str) -> None:
    codec = coder_of(name)
    seen: list[int] = []

    class Watched(Codec):
        def encode(self, waveform: Tensor) -> Tensor:
            seen.append(waveform.shape[-1])
            return super().encode(waveform)

        def decode(self, code: Tensor, samples: int) -> Tensor:
            seen.append(code.shape[-1] * self.frame)
            return super().decode(code, samples)

    watched = Watched(codec.encoder, codec.bottleneck, codec.decoder, codec.sample_rate)
    given_in = 0

    def blocks() -> Iterator[Tensor]:
        nonlocal given_in
        for _ in range(300):
            given_in += 100
            yield torch.zeros(1, 1, 100, dtype=torch.float64)

    out = 0
    for piece in decode_stream(watched, encode_stream(watched, blocks(), 600), 30_000, 600):
        out += piece.shape[-1]
        slack = 2 * (600 + codec.hop) + codec.encoder_reach + codec.decoder_reach + 2 * codec.hop + 100
        assert given_in - out < slack, "it comes out as it goes in"
    assert out == 30_000
    assert max(seen) <= 600 + 2 * (max(codec.encoder_reach, codec.decoder_reach) + codec.hop)


def test_nothing_in_nothing_out() -> None:
    codec = coder_of("causal")
    assert list(encode_stream(codec, [], 100)) == []
    assert list(encode_stream(codec, [torch.zeros(1, 1, 0, dtype=torch.float64)], 100)) == []
    assert list(decode_stream(codec, [], 0, 100)) == []


def test_frames_that_are_too_few_or_too_many() -> None:
    codec = coder_of("two-sided")
    codes = codec.encode(speech(1, 1, 800).double())
    pieces = decode_stream(codec, [codes], 801, 100)
    with pytest.raises(ModelError, match="1 samples before the 801"):
        list(pieces)
    some = torch.cat(list(decode_stream(codec, [codes], 301, 100)), dim=-1)
    assert torch.allclose(some, codec.decode(codes, 301), atol=1e-10)


@pytest.mark.parametrize("section", [(-1, 4), (4, 4), (5, 4), (0, 81)])
def test_sections_that_are_not_there(section: tuple[int, int]) -> None:
    with pytest.raises(ModelError, match="no section"):
        frames_for(coder_of("two-sided"), *section, 10)
