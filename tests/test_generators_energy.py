"""The energy transformer: its gradient is that of its energy, the energy falls, blocks do not see each other."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from generators import store
from generators.codec import Codec
from generators.contract import Bottleneck, ModelError, Pair
from generators.energy import EnergyTransformer

SMALL = {"dimension": 6, "context": 5, "heads": 2, "head_dimension": 3, "memories": 10}
KINDS = pytest.mark.parametrize("hopfield", ["relu", "softmax"])


def network(**arguments: object) -> EnergyTransformer:
    """Build one whose every parameter matters, in float64."""
    torch.manual_seed(0)
    made = EnergyTransformer(**SMALL | arguments).double()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def blocks(count: int = 2) -> Tensor:
    return torch.randn(count, 5, 6, generator=torch.Generator().manual_seed(1)).double()


def written_out(made: EnergyTransformer, g: Tensor) -> Tensor:
    """Sum the energy of one block term by term, from the paper."""
    total = torch.zeros(()).double()
    for head, log_beta in enumerate(made.log_beta.flatten()):
        beta = log_beta.exp()
        for one in range(len(g)):
            others = [
                torch.exp(beta * (made.key[head] @ g[other]) @ (made.query[head] @ g[one]))
                for other in range(len(g))
                if other != one
            ]
            total = total - torch.stack(others).sum().log() / beta
    for frame in g:
        match = torch.stack([memory @ frame for memory in made.memory])
        if made.log_memory_beta is None:
            total = total - 0.5 * match.clamp(min=0).square().sum()
        else:
            beta = made.log_memory_beta.exp()
            total = total - (beta * match).exp().sum().log() / beta
    return total


@KINDS
def test_the_energy_is_the_papers(hopfield: str) -> None:
    made, g = network(hopfield=hopfield), blocks()
    torch.testing.assert_close(made.energy(g), torch.stack([written_out(made, one) for one in g]), rtol=1e-10, atol=0)


@KINDS
def test_the_closed_form_is_the_gradient(hopfield: str) -> None:
    made, g = network(hopfield=hopfield), blocks().requires_grad_()
    (expected,) = torch.autograd.grad(made.energy(g).sum(), g)
    torch.testing.assert_close(made.gradient(g), expected, rtol=1e-10, atol=1e-12)


def test_training_differentiates_through_the_steps() -> None:
    """Against finite differences, of every parameter and of the input."""
    made = network(hopfield="softmax", steps=2, context=3, dimension=4)
    x = torch.randn(1, 4, 3).double().requires_grad_()
    names = [name for name, _ in made.named_parameters()]

    def run(x: Tensor, *parameters: Tensor) -> Tensor:
        result: Tensor = torch.func.functional_call(made, dict(zip(names, parameters, strict=True)), (x,)).values
        return result

    assert torch.autograd.gradcheck(run, (x, *(p.detach().clone().requires_grad_() for p in made.parameters())))


@KINDS
def test_the_energy_falls_with_every_small_step(hopfield: str) -> None:
    made, x = network(hopfield=hopfield, steps=1, step_size=1e-3), 2 * blocks(8)
    energies = [made.energy(made.norm(x))]
    for _ in range(50):
        x = made.descend(x)
        energies.append(made.energy(made.norm(x)))
    falls = torch.stack(energies).detach().diff(dim=0)
    assert (falls < 0).all()


@KINDS
def test_its_defaults_fall_too(hopfield: str) -> None:
    torch.manual_seed(0)
    made = EnergyTransformer(64, 16, head_dimension=16, memories=256, hopfield=hopfield)  # type: ignore[arg-type]
    facts = made(torch.randn(2, 64, 32)).facts
    assert facts["descent"] > 10
    assert facts["energy"] < 0
    silence = made.energy(made.norm(made._to_blocks(torch.zeros(1, 64, 16))))
    assert torch.isfinite(silence).all()


def test_blocks_do_not_see_each_other() -> None:
    made, x = network().eval(), torch.randn(2, 6, 23).double()
    whole = made.encode(x)
    assert whole.shape == x.shape
    pieces = [made.encode(x[..., start : start + 10]) for start in (0, 10, 20)]
    torch.testing.assert_close(torch.cat(pieces, dim=-1), whole, rtol=0, atol=1e-12)
    changed = x.clone()
    changed[:, 0, 12] += 1
    moved = (made.encode(changed) - whole).abs().amax(dim=(0, 1)) > 1e-9
    assert moved.nonzero().flatten().tolist() == [10, 11, 12, 13, 14]
    # A short block is one that goes on with zeros.
    filled = made.encode(nn.functional.pad(x, (0, 2)))[..., :23]
    assert torch.equal(filled, whole)


def test_positions_tell_frames_apart() -> None:
    made = network()
    out = made.encode(torch.ones(1, 6, 5).double())
    assert torch.pdist(out[0].T).min() > 1e-3


def test_it_works_in_inference_mode_and_alike() -> None:
    made, x = network().eval(), torch.randn(1, 6, 10).double()
    with torch.inference_mode():
        written = made.encode(x)
        latent = made(x)
    assert torch.equal(written, made(x).values.detach()) and torch.equal(made.decode(written), latent.values)
    assert latent.codes is None and not latent.penalties


class Frames(nn.Module):
    """A half that only cuts, or joins."""

    channels, dimension, frame, reach = 1, 6, 6, 0

    def __init__(self, back: bool) -> None:
        super().__init__()
        self.back = back

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).reshape(len(x), 1, -1) if self.back else x.view(len(x), -1, 6).transpose(1, 2)


@KINDS
def test_it_serves_in_a_codec(hopfield: str) -> None:
    made = EnergyTransformer(**SMALL, hopfield=hopfield)  # type: ignore[arg-type]
    assert isinstance(made, Bottleneck) and made.codebooks == () and (made.width, made.block) == (6, 5)
    codec = Codec(Frames(False), made, Frames(True), 8000)
    assert codec.hop == 30
    wave = torch.randn(2, 1, 100)
    estimate = codec(Pair(wave, wave, 8000))
    estimate.output.square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())
    code = codec.eval().encode(wave)
    assert code.shape == (2, 6, 17)
    # The end of the recording is worked on with the silence that follows it, whole or in chunks.
    torch.testing.assert_close(codec.encode(wave[..., 60:]), code[..., 10:], rtol=0, atol=1e-5)
    assert codec.decode(code, 100).shape == wave.shape


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    made = network().float()
    store.save(tmp_path / "m", made, {"class_path": "generators.energy.EnergyTransformer", "init_args": SMALL})
    again, x = store.load(tmp_path / "m"), torch.randn(1, 6, 7)
    assert isinstance(again, EnergyTransformer) and torch.equal(again.encode(x), made.encode(x))


@pytest.mark.parametrize(
    "wrong", [{"context": 1}, {"steps": 0}, {"step_size": 0.0}, {"hopfield": "tanh"}, {"heads": 0}]
)
def test_arguments_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ModelError):
        network(**wrong)


def test_codes_of_another_width_are_refused() -> None:
    with pytest.raises(ModelError, match="6 numbers"):
        network().decode(torch.zeros(1, 5, 5))
