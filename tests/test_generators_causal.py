"""The causal halves: nothing of the future is heard, pieces make what the whole makes, and frames come out at once."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from generators.causal import CausalDecoder, CausalEncoder, StreamingCodec
from generators.causal_convolution import CausalConvolution, CausalUp
from generators.codec import Codec
from generators.contract import Latent, ModelError

LAYOUTS: dict[str, tuple[Sequence[int], Sequence[int], int]] = {
    "mixed": ((2, 3), (1, 3), 1),
    "odd": ((3, 5), (2,), 2),
    "one": ((1, 4), (1,), 1),
    "bare": ((4,), (), 2),
}


class Steps(nn.Module):
    """A bottleneck for tests: every channel in five steps, a codebook each; or as it is."""

    def __init__(self, dimension: int, block: int = 1, continuous: bool = False) -> None:
        super().__init__()
        self.dimension = self.width = dimension
        self.codebooks = () if continuous else (5,) * dimension
        self.block = block

    def forward(self, hidden: Tensor) -> Latent:
        return Latent(self.decode(self.encode(hidden)))

    def encode(self, hidden: Tensor) -> Tensor:
        return torch.round(2 * torch.tanh(hidden) + 2).long() if self.codebooks else hidden

    def decode(self, code: Tensor) -> Tensor:
        return (code - 2).double() if self.codebooks else code


def shaken(network: nn.Module, dtype: torch.dtype = torch.float64) -> nn.Module:
    """With random weights everywhere, of a size that keeps the sound's."""
    torch.manual_seed(1)
    for parameter in network.parameters():
        fan = max(1, parameter[0].numel()) if parameter.dim() > 1 else 25
        nn.init.normal_(parameter, std=fan**-0.5)
    return network.to(dtype).eval()


def halves(name: str, dtype: torch.dtype = torch.float64) -> tuple[CausalEncoder, CausalDecoder]:
    strides, dilations, audio = LAYOUTS[name]
    encoder, decoder = (make(2, strides, 3, dilations, audio) for make in (CausalEncoder, CausalDecoder))
    shaken(encoder, dtype), shaken(decoder, dtype)
    assert isinstance(encoder, CausalEncoder) and isinstance(decoder, CausalDecoder)
    return encoder, decoder


def cut(total: int, sizes: list[int]) -> list[int]:
    """Sizes, again and again, that sum up to the total."""
    cuts: list[int] = []
    while sum(cuts) < total:
        cuts.append(min(sizes[len(cuts) % len(sizes)], total - sum(cuts)))
    return cuts


def test_default_sizes() -> None:
    with torch.device("meta"):
        encoder, decoder = CausalEncoder(), CausalDecoder()
    assert sum(p.numel() for p in encoder.parameters()) == 16_572_928
    assert sum(p.numel() for p in decoder.parameters()) == 18_669_569
    assert (encoder.frame, encoder.channels, encoder.dimension) == (480, 1, 512)
    assert (decoder.frame, decoder.channels, decoder.dimension) == (480, 1, 512)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("frames", [1, 2, 7])
def test_frames_are_whole(name: str, frames: int) -> None:
    encoder, decoder = halves(name)
    wave = torch.randn(2, encoder.channels, frames * encoder.frame, dtype=torch.float64)
    hidden = encoder(wave)
    assert hidden.shape == (2, encoder.dimension, frames)
    assert decoder(hidden).shape == wave.shape


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_encoder_hears_the_past_only_and_as_far_as_it_says(name: str) -> None:
    encoder, _ = halves(name)
    frame = encoder.reach // encoder.frame + 2
    wave = torch.randn(1, encoder.channels, (frame + 3) * encoder.frame, dtype=torch.float64, requires_grad=True)
    encoder(wave)[0, :, frame].sum().backward()
    assert wave.grad is not None
    heard = torch.nonzero(wave.grad[0].abs().sum(0)).flatten()
    assert heard[-1] == (frame + 1) * encoder.frame - 1, "up to its own last sample"
    assert heard[0] == frame * encoder.frame - encoder.reach


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_decoder_hears_the_past_only_and_as_far_as_it_says(name: str) -> None:
    _, decoder = halves(name)
    size = decoder.frame
    frame = decoder.reach // size + 2
    hidden = torch.randn(1, decoder.dimension, frame + 3, dtype=torch.float64, requires_grad=True)
    wave = decoder(hidden)[0]
    distances = []
    for place in range(size):
        (slope,) = torch.autograd.grad(wave[:, frame * size + place].sum(), hidden, retain_graph=True)
        heard = torch.nonzero(slope[0].abs().sum(0)).flatten()
        assert heard[-1] == frame, "its own frame is the last"
        distances.append(frame * size + place - (int(heard[0]) * size + size - 1))
    assert max(distances) == decoder.reach


@pytest.mark.parametrize("name", LAYOUTS)
@settings(max_examples=15, deadline=None)
@given(
    frames=st.integers(1, 30),
    batch=st.integers(1, 2),
    sizes=st.lists(st.integers(1, 9), min_size=1),
    double=st.booleans(),
)
def test_pieces_make_what_the_whole_makes(name: str, frames: int, batch: int, sizes: list[int], double: bool) -> None:
    dtype, tolerance = (torch.float64, 1e-10) if double else (torch.float32, 1e-5)
    encoder, decoder = halves(name, dtype)
    wave = torch.randn(batch, encoder.channels, frames * encoder.frame, dtype=dtype)
    with torch.inference_mode():
        hidden = encoder(wave)
        output = decoder(hidden)
    ears, mouth = encoder.stream(), decoder.stream()
    cuts = cut(frames, sizes)
    heard = [ears.push(piece) for piece in wave.split([size * encoder.frame for size in cuts], dim=-1)]
    said = [mouth.push(piece) for piece in hidden.split(cuts, dim=-1)]
    assert [piece.shape[-1] for piece in heard] == cuts
    assert (torch.cat(heard, dim=-1) - hidden).abs().max() < tolerance
    assert (torch.cat(said, dim=-1) - output).abs().max() < tolerance


def test_streams_of_one_network_do_not_mix_and_hold_little() -> None:
    encoder, _ = halves("mixed")
    one, other = encoder.stream(), encoder.stream()
    wave = torch.randn(1, 1, 40 * encoder.frame, dtype=torch.float64)
    first = one.push(wave[..., : encoder.frame])
    one.push(wave)
    assert torch.equal(other.push(wave[..., : encoder.frame]), first)

    def held(memories: list[Tensor | None]) -> int:
        return sum(memory.untyped_storage().nbytes() for memory in memories if memory is not None)

    assert held(one.memories) == held(other.memories) > 0


def test_layers_are_those_of_encodec() -> None:
    encodec = pytest.importorskip("transformers.models.encodec.modeling_encodec")
    config = encodec.EncodecConfig(pad_mode="constant", use_causal_conv=True)
    hidden = torch.randn(2, 3, 60)
    for stride, kernel, dilation in ((1, 7, 1), (1, 7, 9), (3, 6, 1), (4, 8, 1)):
        theirs = encodec.EncodecConv1d(config, 3, 4, kernel, stride, dilation)
        ours = CausalConvolution(3, 4, kernel, stride, dilation, bend=False)
        with torch.no_grad():
            ours.convolution.weight.copy_(theirs.conv.weight)
            ours.convolution.bias.copy_(theirs.conv.bias)
        assert torch.allclose(ours(hidden)[0], theirs(hidden), atol=1e-6)
    for stride in (2, 5):
        theirs = encodec.EncodecConvTranspose1d(config, 3, 4, 2 * stride, stride)
        up = CausalUp(3, 4, stride)
        with torch.no_grad():
            up.convolution.weight.copy_(theirs.conv.weight)
            up.convolution.bias.copy_(theirs.conv.bias)
        assert torch.allclose(up(hidden)[0], theirs(nn.functional.elu(hidden)), atol=1e-6)


def codec_of(name: str, block: int = 1, continuous: bool = False) -> Codec:
    encoder, decoder = halves(name)  # float64: rounding may turn a code of float32 about
    return Codec(encoder, Steps(encoder.dimension, block, continuous), decoder, 16_000).eval()


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("continuous", [False, True])
@settings(max_examples=10, deadline=None)
@given(samples=st.integers(1, 300), batch=st.integers(1, 2), sizes=st.lists(st.integers(1, 70), min_size=1))
def test_a_codec_streams(name: str, continuous: bool, samples: int, batch: int, sizes: list[int]) -> None:
    codec = codec_of(name, continuous=continuous)
    wave = torch.randn(batch, codec.channels, samples, dtype=torch.float64)
    with torch.inference_mode():
        codes = codec.encode(wave)
        whole = codec.decode(codes, samples)
    live = StreamingCodec(codec)
    assert live.latency == codec.frame
    given_in, coded, sound = 0, [], []
    for piece in wave.split(cut(samples, sizes), dim=-1):
        given_in += piece.shape[-1]
        coded.append(live.encode(piece))
        assert sum(code.shape[-1] for code in coded) == given_in // codec.frame, "a frame comes when it is full"
        if coded[-1].shape[-1]:
            sound.append(live.decode(coded[-1]))
    last = live.finish()
    assert (last is not None) == bool(samples % codec.frame)
    if last is not None:
        coded.append(last)
        sound.append(live.decode(last))
    streamed = torch.cat(coded, dim=-1)
    assert streamed.shape == codes.shape and streamed.dtype == codes.dtype
    assert (streamed - codes).abs().max() <= (1e-10 if continuous else 0)
    assert (torch.cat(sound, dim=-1)[..., :samples] - whole).abs().max() < 1e-10
    assert live.finish() is None


@pytest.mark.parametrize("name", LAYOUTS)
@settings(max_examples=10, deadline=None)
@given(now=st.integers(1, 12), seed=st.integers(0, 99))
def test_what_is_out_does_not_depend_on_what_comes(name: str, now: int, seed: int) -> None:
    codec = codec_of(name)
    generator = torch.Generator().manual_seed(seed)
    one, other = torch.randn(2, 1, codec.channels, 20 * codec.frame, generator=generator, dtype=torch.float64)
    here = now * codec.frame
    other[..., :here] = one[..., :here]
    with torch.inference_mode():
        codes, others = codec.encode(one), codec.encode(other)
        sound, different = codec.decode(codes, 20 * codec.frame), codec.decode(others, 20 * codec.frame)
    assert torch.equal(codes[..., :now], others[..., :now])
    assert (sound[..., :here] - different[..., :here]).abs().max() < 1e-10
    assert not torch.equal(codes, others)


def test_it_learns() -> None:
    torch.manual_seed(0)
    encoder, decoder = CausalEncoder(4, (2, 4), 8, (1, 3)), CausalDecoder(4, (2, 4), 8, (1, 3))
    time = torch.arange(512) / 16_000
    target = torch.stack([torch.sin(2 * np.pi * pitch * time) for pitch in (200, 330, 500)])[:, None] / 2
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=3e-3)
    losses = []
    for _ in range(150):
        loss = (decoder(encoder(target)) - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: CausalEncoder(strides=()),
        lambda: CausalEncoder(strides=(2, 0)),
        lambda: CausalDecoder(dilations=(0,)),
        lambda: CausalDecoder(width=0),
        lambda: CausalEncoder(audio=3),
        lambda: StreamingCodec(codec_of("mixed", block=2)),
        lambda: StreamingCodec(Codec(nn_half(), Steps(3), nn_half(), 16_000)),
        lambda: halves("mixed")[0].stream().push(torch.zeros(1, 1, 7)),
        lambda: halves("mixed")[0].stream().push(torch.zeros(1, 1, 0)),
    ],
)
def test_what_cannot_be_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ModelError):
        make()


def nn_half() -> nn.Module:
    """A half that cannot stream."""
    half = nn.Identity()
    half.channels, half.dimension, half.frame, half.reach = 1, 3, 6, 0  # type: ignore[assignment]
    return half


def test_a_stream_keeps_its_batch() -> None:
    stream = halves("mixed")[0].stream()
    stream.push(torch.zeros(1, 1, 6, dtype=torch.float64))
    with pytest.raises(ModelError, match="cannot go on"):
        stream.push(torch.zeros(2, 1, 6, dtype=torch.float64))
