"""The restorer behind a gate: shut it is the identity, open it is the restorer, and it can learn which to be."""

import pytest
import torch
from torch import Tensor

from features.spectrum import contrast
from generators.contract import ModelError, Pair
from generators.gated import GatedRestorer
from generators.spectral import SpectralRestorer
from generators.streaming import restore_stream

SHIFTED = torch.tensor([True, False] * 4)
SIZES = {"fft": 64, "hop": 16, "width": 8, "layers": 2}


def gated(bias: float, **options: float) -> GatedRestorer:
    """A gate that is open or shut whatever it hears, before layers that do change something."""
    torch.manual_seed(0)
    network = GatedRestorer(listeners=4, **SIZES, **options).eval()
    torch.nn.init.normal_(network.leave.weight, std=0.1)
    torch.nn.init.constant_(network.gate[-1].bias, bias)  # type: ignore[arg-type]
    return network


@torch.no_grad()
def test_shut_it_is_the_identity_and_open_the_restorer_of_the_same_weights() -> None:
    waveform = 0.1 * torch.randn(2, 1, 4000, generator=torch.Generator().manual_seed(1))
    plain = SpectralRestorer(**SIZES).eval()
    plain.load_state_dict({n: x for n, x in gated(0.0).state_dict().items() if not n.startswith("gate.")})
    mended = plain.restore(waveform)
    assert float((mended - waveform).abs().max()) > 1e-2
    assert torch.allclose(gated(-100.0).restore(waveform), waveform, atol=1e-6)
    assert torch.allclose(gated(100.0).restore(waveform), mended, atol=1e-6)


@pytest.mark.parametrize("hold", [1, 129, 201])
def test_the_gate_opens_by_the_mean_of_what_is_heard_around(hold: int) -> None:
    network = gated(0.0, hold=hold)
    torch.nn.init.normal_(network.gate[-1].weight)  # type: ignore[arg-type]
    magnitude = torch.rand(1, network.bins, 300, generator=torch.Generator().manual_seed(2))
    said = network.gate(contrast(magnitude))[0, 0].detach()
    opening = network.opening(magnitude)[0, 0].detach()
    for frame in (0, 10, 150, 299):
        around = said[max(0, frame - hold // 2) : frame + hold // 2 + 1]
        assert torch.isclose(opening[frame], torch.sigmoid(around.mean()), atol=1e-5)


def test_up_to_shut_it_is_shut_from_wide_on_open_and_between_in_proportion() -> None:
    network, strict = gated(0.0, hold=1), gated(0.0, hold=1, shut=0.2, wide=0.4)
    torch.nn.init.normal_(network.gate[-1].weight, std=3.0)  # type: ignore[arg-type]
    strict.load_state_dict(network.state_dict())
    magnitude = torch.rand(8, network.bins, 50, generator=torch.Generator().manual_seed(2))
    before, after = network.opening(magnitude).detach(), strict.opening(magnitude).detach()
    assert float(before.min()) < 0.1 and float(before.max()) > 0.5
    assert torch.equal(after == 0, before <= 0.2) and torch.equal(after == 1, before >= 0.4)
    between = (before > 0.2) & (before < 0.4)
    assert between.any() and torch.allclose(after[between], (before[between] - 0.2) / 0.2, atol=1e-5)


def test_its_reach_is_what_one_sample_is_made_of() -> None:
    """A change beyond the reach changes nothing; one just within the hold does."""
    torch.manual_seed(7)
    network = gated(0.0, hold=201).double()
    torch.nn.init.normal_(network.gate[-1].weight, std=10.0)  # type: ignore[arg-type]
    waveform = 0.1 * torch.randn(1, 1, 9600, dtype=torch.float64)
    middle = 4800
    with torch.no_grad():
        plain = network.restore(waveform)[0, 0, middle]
        for away, same in ((network.reach + 16, True), (90 * 16, False)):
            changed = waveform.clone()
            changed[..., : middle - away] = 0
            changed[..., middle + away :] = 0
            assert (float((network.restore(changed)[0, 0, middle] - plain).abs()) < 1e-12) == same


def test_in_half_precision_the_gate_learns_what_it_does_in_full() -> None:
    network = GatedRestorer(listeners=8, hold=513, **SIZES)
    torch.nn.init.normal_(network.gate[-1].weight)  # type: ignore[arg-type]
    source = 0.1 * torch.randn(2, 1, 640 * 16, generator=torch.Generator().manual_seed(8))
    slopes = []
    for half in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            penalty = network(Pair(source, torch.roll(source, 1, -1), 48000)).penalties["gate"]
        slopes.append(torch.cat([x.flatten() for x in torch.autograd.grad(penalty, list(network.gate.parameters()))]))
    full, half_precise = slopes
    assert float(torch.nn.functional.cosine_similarity(full, half_precise, dim=0)) > 0.99
    assert float(half_precise.norm() / full.norm()) == pytest.approx(1, abs=0.03)


def test_who_knows_that_it_was_shifted_finds_it_open() -> None:
    network = gated(-100.0)
    waveform = 0.1 * torch.randn(1, 1, 4000, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(network.restore(waveform), waveform, atol=1e-6)
    network.known_shifted = True
    assert torch.equal(network.restore(waveform), gated(100.0).restore(waveform))


@torch.no_grad()
def test_pieces_are_mended_as_the_whole_is() -> None:
    network = gated(0.0, hold=33, shut=0.25, wide=0.75).double()
    torch.nn.init.normal_(network.gate[-1].weight, std=30.0)  # type: ignore[arg-type]
    waveform = 0.1 * torch.randn(1, 20_007, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    said = network._logits(network._spectrum(waveform)[0].abs() ** 0.3)
    network.gate[-1].bias -= said.mean()  # type: ignore[operator]
    opening = heard(network, Pair(waveform[None], waveform[None], 48000))
    assert {0.0, 1.0} < set(opening.flatten().tolist()), "it is shut here, wide open there, and neither elsewhere"
    whole = network.restore(waveform[None])[0]
    for chunk in (777, 4000):
        pieces = torch.cat(list(restore_stream(network, waveform.split(3001, dim=-1), chunk)), dim=-1)
        assert torch.allclose(pieces, whole, atol=1e-12), chunk


IMPOSSIBLE = [
    *({"hold": 128}, {"hold": 0}, {"shut": 1.0}, {"shut": -0.1}, {"shut": 0.5, "wide": 0.5}, {"wide": 1.1}),
    {"identity": False},
]


@pytest.mark.parametrize("wrong", IMPOSSIBLE)
def test_a_gate_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ModelError, match=next(iter(wrong))):
        gated(0.0, **wrong)


def test_the_gate_learns_from_its_penalty_alone_to_tell_flutter_from_steady_noise_at_any_level() -> None:
    torch.manual_seed(3)
    network = GatedRestorer(listeners=8, **SIZES)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    frozen = {name: parameter.clone() for name, parameter in network.named_parameters() if "gate" not in name}

    def pair(level: float) -> Pair:
        clean = level * torch.randn(8, 1, 4096)
        flutter = (1 + torch.sin(torch.arange(4096) * 0.05)) / 2
        return Pair(torch.where(SHIFTED[:, None, None], clean * flutter, clean), clean, 48000)

    for _ in range(60):
        network(pair(0.1)).penalties["gate"].backward()
        optimiser.step()
        optimiser.zero_grad()
    assert all(torch.equal(parameter, frozen[name]) for name, parameter in network.named_parameters() if name in frozen)
    for level in (0.03, 0.3):
        with torch.no_grad():
            facts, opening = network(pair(level)).facts, heard(network, pair(level))
        assert facts["gate_right"] == 1
        assert float(opening[SHIFTED].min()) > 0.5 > float(opening[~SHIFTED].max())


def heard(network: GatedRestorer, pair: Pair) -> Tensor:
    spectrum, _ = network._spectrum(pair.source[:, 0])
    return network.opening(spectrum.abs() ** 0.3)


def test_no_distance_reaches_the_gate_and_behind_a_shut_one_nothing_is_learned() -> None:
    waveform = 0.1 * torch.randn(2, 1, 4000, generator=torch.Generator().manual_seed(1))
    for bias, learns in ((-100.0, False), (100.0, True)):
        network = gated(bias).train()
        estimate = network(Pair(waveform, 0.5 * waveform, 48000))
        (estimate.output - estimate.target).square().mean().backward()
        assert all(p.grad is None for p in network.gate.parameters())
        assert (float(network.leave.weight.grad.abs().max()) > 1e-9) == learns  # type: ignore[union-attr]


def test_the_penalty_is_the_mean_over_examples() -> None:
    """So that a batch in parts, or on two processes, teaches what the batch in one does."""
    network = gated(0.3)
    torch.nn.init.normal_(network.gate[-1].weight)  # type: ignore[arg-type]
    source = 0.1 * torch.randn(4, 1, 3000, generator=torch.Generator().manual_seed(5))
    target = torch.where(SHIFTED[:4, None, None], 0.9 * source, source)
    whole = network(Pair(source, target, 48000)).penalties["gate"]
    parts = [
        network(Pair(source[place], target[place], 48000)).penalties["gate"] for place in (slice(0, 1), slice(1, 4))
    ]
    assert torch.isclose(whole, (parts[0] + 3 * parts[1]) / 4, atol=1e-6)


def test_contrast_forgets_what_changes_slowly() -> None:
    """A level of its own for every bin and every frame leaves a fluctuation as it was."""
    draw = torch.Generator().manual_seed(4)
    fine = 1 + 0.1 * torch.randn(1, 40, 50, generator=draw)
    slope = torch.linspace(1, 1.5, 40)[:, None] * torch.linspace(2, 2.5, 50)
    plain, coloured = contrast(10 * fine), contrast(10 * fine * slope)
    assert float((plain - coloured).abs().mean()) < 0.1 * float(plain.abs().mean())
    assert float(contrast(torch.full((1, 20, 20), 3.0)).abs().max()) < 1e-6
    assert float(contrast(1e-3 * fine).abs().max()) < 0.02 * float(plain.abs().max()), "what is faint is not magnified"


@torch.no_grad()
def test_a_fresh_gate_is_nearly_open() -> None:
    magnitude = torch.rand(1, 33, 200, generator=torch.Generator().manual_seed(6))
    assert float(GatedRestorer(listeners=4, **SIZES).opening(magnitude).mean()) == pytest.approx(0.88, abs=0.01)
