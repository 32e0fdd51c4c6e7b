"""Every generator: the size it says, any length, the reach it says, and an identity at the start where it says so."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from gan.audio import read
from generators.codec import Codec
from generators.contract import Generator, Mender, ModelError, Pair
from generators.convolution import Down, Snake, Up
from generators.gated import GatedRestorer
from generators.gaussian import Gaussian
from generators.measure import measure
from generators.patch import PatchRestorer
from generators.polar import PolarRestorer
from generators.restorer import Restorer
from generators.spectral import SpectralRestorer
from generators.spectral_codec import SpectralDecoder, SpectralEncoder
from generators.streaming import restore_stream, restore_waveform

ROOT = Path(__file__).parents[1]
# The counts that the notes of bob80333/pitch_shifter's layouts come to.
COUNTS = {"restorer48_base": 13_533_761, "restorer48_2x": 13_536_129, "restorer48": 54_102_785}
SMALL: dict[str, Callable[[], nn.Module]] = {
    "nearest": lambda: Restorer(channels=[2, 3, 4], strides=[2, 4]),
    "stem": lambda: Restorer(channels=[2, 3, 4], strides=[3, 5], stem=2),
    "transposed": lambda: Restorer(channels=[2, 3, 4], strides=[3, 4], upsample="transposed"),
    "identity": lambda: Restorer(channels=[2, 3], strides=[8], identity=True),
    "patch": lambda: PatchRestorer(patch=3, channels=[4, 5], strides=[4]),
    "patch alone": lambda: PatchRestorer(patch=4, channels=[2, 3], strides=[2], upsample="nearest", identity=False),
    "spectral": lambda: SpectralRestorer(fft=64, hop=16, width=8, layers=2),
    "gated": lambda: GatedRestorer(listeners=4, fft=64, hop=16, width=8, layers=2),
    "spectral alone": lambda: SpectralRestorer(fft=64, hop=16, width=8, layers=2, identity=False),
    "polar": lambda: PolarRestorer(fft=64, hop=16, width=8, layers=2),
    "polar alone": lambda: PolarRestorer(fft=64, hop=16, width=8, layers=2, identity=False),
}


def shaken(name: str) -> nn.Module:
    """A small network with random weights everywhere, in float64."""
    torch.manual_seed(1)
    network = SMALL[name]().double().eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    return network


def clip(samples: int) -> torch.Tensor:
    """Real speech, [1, 1, samples], from where it has begun."""
    waveform, _ = read(ROOT / "demo" / "clips" / "kathleen" / "speech_en_kathleen_0.flac")
    return torch.from_numpy(waveform)[None, :, 20_000 : 20_000 + samples]


@pytest.mark.parametrize("name", COUNTS)
def test_presets_have_their_known_size(name: str) -> None:
    arguments = yaml.safe_load((ROOT / "recipes" / "models" / f"{name}.yaml").read_text())["init_args"]
    with torch.device("meta"):
        network = Restorer(**arguments)
    assert sum(p.numel() for p in network.parameters()) == COUNTS[name]


def test_more_sizes_that_are_known() -> None:
    with torch.device("meta"):
        four, wide = Restorer(dilations=[1, 2, 4, 8]), Restorer(channels=[48, 96, 192, 384, 768])
    assert sum(p.numel() for p in four.parameters()) == 17_029_441
    assert sum(p.numel() for p in wide.parameters()) == 30_435_169


@pytest.mark.parametrize("name", SMALL)
@settings(max_examples=30, deadline=None)
@given(samples=st.integers(1, 700), batch=st.integers(1, 2), channels=st.integers(1, 3))
def test_any_length_in_the_same_length_out(name: str, samples: int, batch: int, channels: int) -> None:
    network = SMALL[name]()
    assert isinstance(network, Mender)
    source = torch.randn(batch, channels, samples)
    with torch.inference_mode():
        output = network.restore(source)
        alone = network.restore(source[-1:, -1:])
    assert output.shape == source.shape
    assert torch.isfinite(output).all()
    assert torch.allclose(output[-1:, -1:], alone, atol=1e-5), "channels are mended one by one"


@pytest.mark.parametrize("stride", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_strides_keep_exact_lengths(stride: int, count: int) -> None:
    hidden = torch.randn(1, 2, count * stride)
    assert Down(2, 3, stride)(hidden).shape == (1, 3, count)
    for kind in ("nearest", "transposed"):
        assert Up(2, 3, stride, kind)(hidden[..., :count]).shape == (1, 3, count * stride)


@pytest.mark.parametrize("name", SMALL)
def test_reach_is_computed_not_guessed(name: str) -> None:
    network = shaken(name)
    assert isinstance(network, Mender)
    reach, hop = network.reach, network.hop
    length = (2 * reach // hop + 6) * hop
    middle = length // 2 // hop * hop
    furthest = 0
    for place in {middle, middle + 1, middle + hop // 2, middle + hop - 1}:
        source = torch.randn(1, 1, length, dtype=torch.float64, requires_grad=True)
        network.restore(source)[0, 0, place].backward()
        assert source.grad is not None
        heard = torch.nonzero(source.grad[0, 0]).flatten()
        furthest = max(furthest, int(heard[-1]) - place, place - int(heard[0]))
    assert furthest <= reach <= 1.15 * furthest + hop


@pytest.mark.parametrize("name", SMALL)
@settings(max_examples=10, deadline=None)
@given(samples=st.integers(1, 6000), chunk=st.integers(1, 2000), block=st.integers(1, 3000))
def test_a_stream_equals_the_whole(name: str, samples: int, chunk: int, block: int) -> None:
    network = shaken(name)
    assert isinstance(network, Mender)
    waveform = torch.randn(2, samples, dtype=torch.float64)
    with torch.inference_mode():
        whole = network.restore(waveform[None])[0]
    pieces = list(restore_stream(network, waveform.split(block, dim=-1), chunk))
    assert torch.allclose(torch.cat(pieces, dim=-1), whole, rtol=1e-9, atol=1e-9)
    assert torch.equal(restore_waveform(network, waveform, samples + 1).isfinite(), whole.isfinite())


def test_a_stream_holds_a_chunk_and_its_context_only() -> None:
    network = shaken("stem")
    assert isinstance(network, Mender)
    seen = []

    class Watched:
        sample_rate, hop, reach = network.sample_rate, network.hop, network.reach

        def restore(self, waveform: torch.Tensor) -> torch.Tensor:
            seen.append(waveform.shape[-1])
            return network.restore(waveform)

    blocks = (torch.zeros(1, 500, dtype=torch.float64) for _ in range(200))
    assert sum(piece.shape[-1] for piece in restore_stream(Watched(), blocks, 1000)) == 100_000
    assert max(seen) <= 1000 + 2 * (network.reach + network.hop)


@pytest.mark.parametrize("name", ["identity", "patch", "spectral", "polar"])
def test_starts_as_the_identity(name: str) -> None:
    source = clip(9001)
    with torch.inference_mode():
        assert torch.allclose(SMALL[name]().restore(source), source, atol=1e-6)


@pytest.mark.parametrize("name", SMALL)
def test_one_batch_can_be_learned(name: str) -> None:
    torch.manual_seed(0)
    network = SMALL[name]()
    assert isinstance(network, Generator)
    target = clip(2000)
    pair = Pair(target.roll(3, dims=-1) * 0.5, target, 48_000)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(200):
        estimate = network(pair)
        loss = (estimate.output - estimate.target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


@pytest.mark.parametrize("name", SMALL)
def test_silence_has_finite_gradients(name: str) -> None:
    network = SMALL[name]()
    assert isinstance(network, Mender)
    network.restore(torch.zeros(1, 1, 500)).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", SMALL)
def test_autocast_stays_near_full_precision(name: str) -> None:
    torch.manual_seed(0)
    network = SMALL[name]()
    assert isinstance(network, Mender)
    source = clip(2000)
    with torch.inference_mode():
        exact = network.restore(source)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = network.restore(source).float()
    assert (rough - exact).abs().max() < 0.02


def test_snake_matches_its_formula() -> None:
    snake = Snake(2)
    with torch.no_grad():
        snake.alpha.copy_(torch.tensor([0.5, 2.0])[None, :, None])
    x = torch.linspace(-3, 3, 50).expand(1, 2, -1)
    for channel, alpha in enumerate((0.5, 2.0)):
        wave = x[0, channel].double().numpy()
        expected = wave + (1 - torch.cos(2 * alpha * x[0, channel].double()).numpy()) / 2 / alpha
        assert torch.allclose(snake(x)[0, channel].double(), torch.from_numpy(expected), atol=1e-6)


def test_macs_are_those_of_the_convolutions() -> None:
    network = Restorer(sample_rate=8000, channels=[2, 3], strides=[4], dilations=[1])
    # A sample: 7 into 2 channels; a unit of 2; down 2 to 3 at a quarter; a unit of 3; up 3 to 2; a unit; join; out.
    unit = 8 * 2 * 2
    expected = 8000 * (14 + unit + 8 * 2 * 3 / 4 + 8 * 3 * 3 / 4 + 3 * 2 / 4 + unit + 8 + 14)
    assert measure(network).macs_per_second == expected
    assert measure(network).channels == 1


def test_macs_are_counted_on_as_many_channels_as_are_told() -> None:
    network = SMALL["spectral"]()
    once = measure(network).macs_per_second
    network.channels = 2  # type: ignore[assignment]
    assert measure(network).macs_per_second == 2 * once


def test_macs_of_a_stereo_codec_are_for_both_channels() -> None:
    parts = {"frame": 32, "fft": 64, "width": 16, "layers": 1, "dimension": 8}
    one, two = (
        Codec(
            SpectralEncoder(**parts, audio=audio),
            Gaussian(8),
            SpectralDecoder(**parts, audio=audio),
            sample_rate=8000,
        )
        for audio in (1, 2)
    )
    assert (measure(one).channels, measure(two).channels) == (1, 2)
    # A second of both channels, heard once: the layers between are one codec's, in and out they are wider.
    assert measure(one).macs_per_second < measure(two).macs_per_second < 2 * measure(one).macs_per_second
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        two.restore(torch.zeros(1, 2, 8000))
    assert measure(two).macs_per_second == counter.get_total_flops() // 2


@pytest.mark.parametrize(
    "make",
    [
        lambda: Restorer(channels=[2, 3], strides=[2, 2]),
        lambda: Restorer(channels=[2, 3], strides=[0]),
        lambda: SpectralRestorer(fft=100, hop=33),
        lambda: SpectralRestorer(kernel=4),
    ],
)
def test_sizes_that_do_not_fit_are_refused(make: Callable[[], nn.Module]) -> None:
    with pytest.raises(ModelError):
        make()


class Echo(nn.Module):
    """A mender that hears exactly as far as it says, and its farthest samples as loud as its nearest."""

    sample_rate, hop, reach = 8000, 4, 5

    def restore(self, waveform: torch.Tensor) -> torch.Tensor:
        wide = nn.functional.pad(waveform, (self.reach, self.reach))
        return waveform + wide[..., : -2 * self.reach] + wide[..., 2 * self.reach :]


@pytest.mark.parametrize("chunk", [1, 4, 6, 12, 100])
@pytest.mark.parametrize("block", [1, 7, 100])
def test_the_context_is_rounded_up(chunk: int, block: int) -> None:
    waveform = torch.randn(2, 61)
    blocks = restore_stream(Echo(), waveform.split(block, dim=-1), chunk)
    assert torch.equal(torch.cat(list(blocks), dim=-1), Echo().restore(waveform[None])[0])
