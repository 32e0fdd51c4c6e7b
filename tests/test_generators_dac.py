"""DAC's encoder and decoder: Descript's own numbers with its weights, its sizes, and a reach that is no guess."""

from typing import Any

import descript
import pytest
import torch
from torch import Tensor, nn

from generators.codec import Codec
from generators.contract import ModelError
from generators.dac import Decoder, Encoder
from generators.factorised import FactorisedVQ
from generators.streaming import decode_stream, encode_stream

LAYOUTS = {16000: (2, 4, 5, 8), 24000: (2, 4, 5, 8), 44100: (2, 4, 8, 8), 48000: (2, 4, 8, 10)}
ODD = [(3,), (2, 3), (3, 5), (5, 2), (2, 4, 5, 8)]
STRIDES = [(2,), (4, 2), (2, 4, 8), *ODD]


def layers(network: nn.Module) -> list[nn.Module]:
    """List convolutions in the order in which they work."""
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d)]


@torch.no_grad()
def give_weights(ours: nn.Module, theirs: nn.Module) -> None:
    """Copy Descript's weights, layer for layer, by torch's own weight norm, and its snakes."""
    for mine, other in zip(layers(ours), layers(theirs), strict=True):
        mine.weight.copy_(torch._weight_norm(other.weight_v, other.weight_g, 0))
        mine.bias.copy_(other.bias)
    snakes = [[x for name, x in net.named_parameters() if name.endswith("alpha")] for net in (ours, theirs)]
    for mine, other in zip(*snakes, strict=True):
        mine.copy_(other)


def halves(strides: tuple[int, ...], dimension: int = 8, **arguments: Any) -> tuple[Encoder, Decoder]:
    torch.manual_seed(0)
    decoder = Decoder(4 * 2 ** len(strides), strides, dimension, **arguments)
    arguments.pop("published_end", None)
    return Encoder(2, strides, dimension, **arguments).eval(), decoder.eval()


@pytest.mark.parametrize("strides", [descript.EVEN, descript.ODD, (3, 2), (3, 5)])
@torch.no_grad()
def test_descripts_weights_give_descripts_numbers(strides: tuple[int, ...]) -> None:
    theirs = descript.build(strides)
    encoder = Encoder(4, strides, theirs.latent_dim)
    give_weights(encoder, theirs.encoder)
    waveform = 0.3 * torch.randn(2, 1, 7 * encoder.frame)
    hidden = theirs.encoder(waveform)
    assert hidden.std() > 0.02
    torch.testing.assert_close(encoder(waveform), hidden, atol=1e-5, rtol=0)
    hidden = torch.randn(2, theirs.latent_dim, 90)
    expected = theirs.decoder(hidden)
    assert expected.std() > 0.02
    for published_end in (True, False):
        decoder = Decoder(48, strides, theirs.latent_dim, published_end=published_end)
        give_weights(decoder, theirs.decoder)
        output = decoder(hidden)
        samples = 90 * decoder.frame
        assert output.shape[-1] == samples
        # Odd strides: all that Descript has, or all that cannot hear the end.
        same = expected.shape[-1] if published_end or strides == descript.EVEN else samples - decoder.reach
        assert same > samples / 2
        torch.testing.assert_close(output[..., :same], expected[..., :same], atol=1e-5, rtol=0)
        assert decoder.lacking == (samples - expected.shape[-1] if published_end else 0)
        held = output[..., output.shape[-1] - decoder.lacking - 1 :]
        assert torch.equal(held, held[..., :1].expand_as(held))


@pytest.mark.parametrize("rate", LAYOUTS)
def test_full_sizes_are_the_published_ones(rate: int) -> None:
    strides = LAYOUTS[rate]
    with torch.device("meta"):
        theirs = descript.build_bare(strides)
        ours = {
            "encoder": Encoder(strides=strides),
            "quantizer": FactorisedVQ(),
            "decoder": Decoder(strides=strides),
        }
    for name, module in ours.items():
        other = getattr(theirs, name)
        # Descript counts a length for each direction besides; a folded layer has none.
        assert descript.count(module) == descript.count(other) - descript.lengths(other)
    if rate == 44100:
        counts = {name: descript.count(getattr(theirs, name)) for name in ours}
        assert sum(counts.values()) == pytest.approx(76.65e6, abs=0.01e6)
        assert sum(descript.lengths(getattr(theirs, name)) for name in ours) < 0.0005 * 76.65e6


@torch.no_grad()
def codec(strides: tuple[int, ...], **arguments: Any) -> Codec:
    encoder, decoder = halves(strides, **arguments)
    # Without training, biases are louder than the sound: have frames differ more than they are alike.
    encoder.leave[1].weight.mul_(100)
    encoder.leave[1].bias.sub_(encoder(torch.randn(1, 1, 100 * encoder.frame)).mean(dim=(0, 2)))
    return Codec(encoder, FactorisedVQ(8, 2, 16, 4), decoder, 16000).eval()


@pytest.mark.parametrize("strides", STRIDES)
@pytest.mark.parametrize("audio", [1, 2])
@torch.no_grad()
def test_frames_and_samples_agree(strides: tuple[int, ...], audio: int) -> None:
    for published_end in (False, True):
        encoder, decoder = halves(strides, audio=audio, published_end=published_end)
        for frames in (1, 2, 3, 7):
            hidden = encoder(torch.randn(1, audio, frames * encoder.frame))
            assert hidden.shape == (1, 8, frames)
            output = decoder(hidden)
            assert output.shape == (1, audio, frames * encoder.frame)
            assert output.abs().max() <= 1


def touched(half: nn.Module, length: int, channels: int, place: int) -> Tensor:
    """List the inputs that an output's gradient reaches; in float64, where no path is lost to rounding."""
    hidden = torch.randn(1, channels, length, dtype=torch.float64, requires_grad=True)
    half.double()(hidden)[0, :, place].sum().backward()
    assert hidden.grad is not None
    return hidden.grad[0].abs().sum(0).nonzero().flatten()


@pytest.mark.parametrize("strides", STRIDES)
@pytest.mark.parametrize("dilations", [(1,), (1, 3, 9)])
def test_the_encoders_reach_is_exact(strides: tuple[int, ...], dilations: tuple[int, ...]) -> None:
    encoder, _ = halves(strides, dilations=dilations)
    frame = encoder.frame
    middle = -(-encoder.reach // frame) + 2
    found = touched(encoder, (2 * middle + 1) * frame, 1, middle)
    before = middle * frame - int(found.min())
    after = int(found.max()) - (middle * frame + frame - 1)
    assert max(before, after) == encoder.reach


@pytest.mark.parametrize("strides", STRIDES)
@pytest.mark.parametrize("dilations", [(1,), (1, 3, 9)])
@torch.no_grad()
def test_the_decoders_reach_is_exact(strides: tuple[int, ...], dilations: tuple[int, ...]) -> None:
    _, decoder = halves(strides, dilations=dilations)
    frame = decoder.frame
    middle = -(-decoder.reach // frame) + 2
    hidden = torch.randn(1, 8, 2 * middle + 1)
    hidden[..., middle] = torch.nan
    heard = decoder(hidden).isnan()[0, 0].nonzero().flatten()
    assert len(heard) == int(heard.max()) - int(heard.min()) + 1 < (2 * middle + 1) * frame
    farthest = max(int(heard.max()) - (middle * frame + frame - 1), middle * frame - int(heard.min()))
    assert farthest == decoder.reach


@pytest.mark.parametrize("strides", [(4, 2), (3, 5), (5, 2)])
@pytest.mark.parametrize("published_end", [False, True])
@torch.no_grad()
def test_chunks_are_the_whole(strides: tuple[int, ...], published_end: bool) -> None:
    network = codec(strides, dilations=(1, 3), published_end=published_end)
    waveform = torch.randn(1, 1, 90 * network.frame - 3)
    codes = network.encode(waveform)
    assert codes.unique().numel() > 8
    samples = waveform.shape[-1]
    whole = network.decode(codes, samples)
    pieces = list(encode_stream(network, [waveform], 5 * network.frame))
    assert len(pieces) > 5
    assert torch.equal(torch.cat(pieces, dim=-1), codes)
    sounds = list(decode_stream(network, [codes], samples, 5 * network.frame))
    torch.testing.assert_close(torch.cat(sounds, dim=-1), whole, atol=3e-5, rtol=0)


@pytest.mark.parametrize(
    "arguments",
    [{"strides": ()}, {"strides": (2, 1)}, {"width": 0}, {"dimension": 0}, {"dilations": (1, 0)}, {"audio": 3}],
    ids=str,
)
@pytest.mark.parametrize("half", [Encoder, Decoder])
def test_sizes_that_no_network_has_are_refused(half: type[nn.Module], arguments: dict[str, Any]) -> None:
    with pytest.raises(ModelError):
        half(**{"width": 16, "strides": (2, 2), "dimension": 4} | arguments)


def test_a_width_that_cannot_be_halved_is_refused() -> None:
    with pytest.raises(ModelError, match="narrowest"):
        Decoder(7, (2, 2, 2))
