"""Self-organising maps: learning agrees with Kohonen's rule written out, grids come out in order, radii shrink."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from generators import store
from generators.codec import Codec
from generators.contract import Bottleneck, Latent, ModelError, Pair
from generators.plane import plane
from generators.som import SelfOrganisingMaps
from generators.som_picture import colours, draw_maps, neighbour_distances

GRID = (4, 6)


def maps(**arguments: object) -> SelfOrganisingMaps:
    torch.manual_seed(0)
    words = {"dimension": 3, "codebooks": 2, "grid": GRID, "decay": 0.8, "shrinking": 10} | arguments
    return SelfOrganisingMaps(**words).double()  # type: ignore[arg-type]


def hidden(seed: int = 0, frames: int = 70) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.tensor([[2.0, 0.3, 0.1], [0.0, 1.0, 0.2], [0.1, 0.0, 0.4]]).double()
    return (torch.randn(4, frames, 3, generator=generator).double() @ mix).transpose(1, 2) + 1


def taught(som: SelfOrganisingMaps, frames: Tensor) -> Latent:
    """Pass frames through, and learn from them."""
    latent = som(frames)
    som.learn()
    return latent  # type: ignore[no-any-return]


def kernel(kind: str, radius: float) -> np.ndarray:
    """Weights by a double loop over the grid's places."""
    places = [(row, column) for row in range(GRID[0]) for column in range(GRID[1])]
    weights = np.zeros((len(places), len(places)))
    for i, one in enumerate(places):
        for j, other in enumerate(places):
            far = np.hypot(one[0] - other[0], one[1] - other[1])
            if kind == "hard":
                weights[i, j] = far <= radius
            else:
                weights[i, j] = np.exp(-(far**2) / (2 * radius**2)) if radius else i == j
    return weights


def kohonen(books: list[dict[str, np.ndarray]], frames: np.ndarray, weights: np.ndarray, decay: float) -> np.ndarray:
    """One step frame by frame; gives the codes, [codebooks, frames]."""
    codes, residual = [], frames.copy()
    for book in books:
        entries = book["entries"]
        count, total = np.zeros(len(entries)), np.zeros_like(entries)
        code = np.array([((x - entries) ** 2).sum(-1).argmin() for x in residual])
        for x, chosen in zip(residual, code, strict=True):
            for entry in range(len(entries)):
                count[entry] += weights[chosen, entry]
                total[entry] += weights[chosen, entry] * x
        residual = residual - entries[code]
        book["counts"] = decay * book["counts"] + (1 - decay) * count
        book["sums"] = decay * book["sums"] + (1 - decay) * total
        reached = count > 0
        book["entries"] = np.where(reached[:, None], book["sums"] / book["counts"][:, None], entries)
        codes.append(code)
    return np.stack(codes)


def as_books(som: SelfOrganisingMaps) -> list[dict[str, np.ndarray]]:
    names = ("entries", "counts", "sums")
    return [{name: getattr(som, name)[n].numpy().copy() for name in names} for n in range(som.width)]


@pytest.mark.parametrize(
    ("kind", "radius", "last"), [("hard", 2.0, 1.0), ("gaussian", 1.5, 0.5), ("hard", 0.0, 0.0), ("gaussian", 0.0, 0.0)]
)
def test_the_averages_are_those_of_a_loop_over_frames(kind: str, radius: float, last: float) -> None:
    """With a radius of 0 the loop is that of plain vector quantisation."""
    som = maps(neighbourhood=kind, radius=radius, last_radius=last)
    som._start(hidden(0).transpose(1, 2))
    books = [{"entries": e, "counts": np.ones(24), "sums": e.copy()} for e in som.entries.numpy().copy()]
    for call in range(4):
        now = radius + (last - radius) * call / 10
        latent = taught(som, hidden(call))
        flat = hidden(call).transpose(1, 2).flatten(0, 1).numpy()
        codes = kohonen(books, flat, kernel(kind, now), 0.8)
        assert np.array_equal(latent.codes.transpose(0, 1).flatten(1).numpy(), codes)
        for mine, theirs in zip(as_books(som), books, strict=True):
            for name in mine:
                np.testing.assert_allclose(mine[name], theirs[name], atol=1e-12)


@pytest.mark.parametrize(("kind", "radius"), [("hard", 1.0), ("gaussian", 1.2), ("gaussian", 0.0)])
def test_the_codebook_penalty_is_that_of_all_differences(kind: str, radius: float) -> None:
    som = maps(learning="gradient", neighbourhood=kind, radius=radius, last_radius=min(radius, 0.5)).eval()
    with torch.no_grad():
        som.entries.copy_(torch.randn(som.entries.shape).double())
    latent = som(hidden())
    latent.penalties["codebook"].backward()
    entries = som.entries.detach().clone().requires_grad_()
    weights = torch.from_numpy(kernel(kind, radius))
    weights = weights / weights.sum(dim=1, keepdim=True)
    residual, expected = hidden().transpose(1, 2).flatten(0, 1), torch.zeros(())
    for number, code in enumerate(latent.codes.transpose(0, 1).flatten(1)):
        differences = (residual[:, None] - entries[number]).square().sum(-1)
        expected = expected + (weights[code] * differences).sum() / residual.numel()
        residual = residual - entries[number][code].detach()
    expected.backward()
    assert torch.isclose(latent.penalties["codebook"], expected, rtol=1e-12)
    torch.testing.assert_close(som.entries.grad, entries.grad, rtol=1e-10, atol=1e-14)


def test_with_no_neighbours_the_codebook_penalty_is_the_commitment() -> None:
    som = maps(learning="gradient", radius=0.0, last_radius=0.0)
    given = hidden().requires_grad_()
    penalties = som(given).penalties
    assert torch.isclose(penalties["codebook"], penalties["commitment"], rtol=1e-12)
    penalties["codebook"].backward()
    assert given.grad is None, "it pulls the entries, not what chose them"


def test_the_first_batch_lays_the_maps_on_its_plane() -> None:
    vectors = hidden().transpose(1, 2).flatten(0, 1)
    entries = plane(vectors, GRID)
    array = vectors.numpy()
    _, deviations, axes = np.linalg.svd(array - array.mean(0), full_matrices=False)
    deviations = deviations / len(array) ** 0.5
    seen = (entries.numpy() - array.mean(0)) @ axes.T
    assert np.abs(seen[:, 2]).max() < 1e-9
    np.testing.assert_allclose(np.abs(seen[:, :2]).max(0), 2 * deviations[:2], rtol=1e-9)
    # The longer side, of six, runs along the first component.
    steps = np.diff(seen.reshape(*GRID, 3), axis=1)
    assert np.abs(steps[..., 0]).min() > 0.7 * deviations[0] and np.abs(steps[..., 1:]).max() < 1e-9


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_start_on_silence_is_no_end(value: float) -> None:
    som = maps()
    taught(som, torch.full((1, 3, 5), value).double())
    assert len(som.entries[0].unique(dim=0)) == 24
    for seed in range(60):
        taught(som, hidden(seed))
    used = som.encode(hidden(100))[:, 0].unique()
    assert len(used) > 12


@pytest.mark.parametrize("learning", ["ema", "gradient"])
@pytest.mark.parametrize("kind", ["hard", "gaussian"])
def test_neighbours_on_the_grid_come_out_alike(learning: str, kind: str) -> None:
    """Even from a random start: the order is learned, not only laid down."""
    radius = 2.0 if kind == "gaussian" else 3.0
    arguments = {"radius": radius, "last_radius": 1.0, "shrinking": 150, "codebooks": 1}
    som = maps(learning=learning, neighbourhood=kind, **arguments)
    som.calls.fill_(1)  # the start on the plane is over
    with torch.no_grad():
        som.entries.copy_(1 + 0.5 * torch.randn(som.entries.shape).double())
        if learning == "ema":
            som.sums.copy_(som.entries)
    assert contrast(som) < 1.3
    optimiser = torch.optim.Adam(som.parameters(), 0.03) if learning == "gradient" else None
    for seed in range(200):
        penalty = sum(som(hidden(seed)).penalties.values())
        if optimiser:
            optimiser.zero_grad()
            penalty.backward()
            optimiser.step()
        som.learn()
    assert contrast(som) > 2


def contrast(som: SelfOrganisingMaps) -> float:
    """How much farther apart entries lie that are four or more places apart than those beside each other."""
    entries = som.entries[0].detach()
    apart = torch.cdist(entries, entries)
    return float(apart[som.squared_distances >= 16].mean() / apart[som.squared_distances == 1].mean())


def test_the_radius_shrinks_evenly_and_is_restored(tmp_path: Path) -> None:
    arguments = {"dimension": 3, "codebooks": 1, "grid": [4, 6], "radius": 3.0, "last_radius": 0.5, "shrinking": 10}
    som = SelfOrganisingMaps(**arguments)  # type: ignore[arg-type]
    seen = []
    for seed in range(12):
        seen.append(float(taught(som, hidden(seed).float()).facts["radius"]))
        if seed == 5:
            with torch.no_grad():
                taught(som, hidden(seed).float())
    np.testing.assert_allclose(seen, [max(0.5, 3 - 0.25 * call) for call in range(12)], rtol=1e-6)
    som.calls.fill_(4)
    spec = {"class_path": "generators.som.SelfOrganisingMaps", "init_args": arguments}
    store.save(tmp_path / "som", som, spec)
    again = store.load(tmp_path / "som").train()
    assert isinstance(again, SelfOrganisingMaps)
    assert float(again.radius) == 2.0
    before, after = taught(som, hidden(20).float()), taught(again, hidden(20).float())
    assert torch.equal(before.values, after.values) and torch.equal(som.entries, again.entries)


def test_more_codebooks_come_closer() -> None:
    som = maps(codebooks=3)
    for seed in range(30):
        taught(som, hidden(seed))
    code = som.encode(hidden(100))
    errors = [float((som.decode(code[:, :books]) - hidden(100)).square().mean()) for books in (1, 2, 3)]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_the_encoder_gets_the_gradient_once_and_its_output_is_left_alone() -> None:
    som = maps()
    given = hidden().requires_grad_()
    kept = given.detach().clone()
    latent = som(given)
    slope = torch.randn(latent.values.shape).double()
    (latent.values * slope).sum().backward()
    torch.testing.assert_close(given.grad, slope)
    assert torch.equal(given, kept)


def test_dropout_leaves_out_the_last_codebooks() -> None:
    som = maps(codebooks=3, dropout=1.0)
    som(hidden())
    before = deepcopy(som)
    latent: Latent = som(hidden(frames=5).repeat(20, 1, 1))
    assert (latent.codes[:, 0] >= 0).all() and (latent.codes[:, 2] == -1).all()
    assert set((latent.codes[:, 1] >= 0).flatten().tolist()) == {True, False}
    torch.testing.assert_close(before.decode(latent.codes), latent.values)


def test_what_is_left_out_is_held_to_no_commitment() -> None:
    som = maps(dropout=1.0)  # of two codebooks, so that all are left with the first
    som(hidden())
    latent = som(hidden(1))
    assert torch.isclose(latent.penalties["commitment"], (latent.values - hidden(1)).square().mean())


class Frames(nn.Module):
    """A half that only cuts, or joins."""

    channels, dimension, frame, reach = 1, 3, 3, 0

    def __init__(self, back: bool) -> None:
        super().__init__()
        self.back = back

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).reshape(len(x), 1, -1) if self.back else x.view(len(x), -1, 3).transpose(1, 2)


def test_it_serves_in_a_codec(tmp_path: Path) -> None:
    som = maps().float()
    assert isinstance(som, Bottleneck) and som.codebooks == (24, 24)
    codec = Codec(Frames(False), som, Frames(True), 8000)
    wave = torch.randn(2, 1, 100)
    estimate = codec(Pair(wave, wave, 8000))
    assert estimate.output.shape == wave.shape and {"radius", "bitrate"} <= estimate.facts.keys()
    assert codec.eval().decode(codec.encode(wave), 100).shape == wave.shape
    draw_maps(som, tmp_path / "grid.png")
    assert (tmp_path / "grid.png").read_bytes().startswith(b"\x89PNG")


def test_pictures_show_colours_and_borders() -> None:
    entries = torch.zeros(3, 4, 5)
    entries[:, 2:, 0] = 6
    expected = torch.tensor([0, 2.0, 2, 0]).repeat(3, 1)
    expected[[0, 2]] = torch.tensor([0, 3.0, 3, 0]) * 2 / 3
    found = neighbour_distances(entries)
    assert torch.allclose(found[1], torch.tensor([0, 1.5, 1.5, 0])) and torch.allclose(found[0, 1], torch.tensor(2.0))
    painted = colours(entries)
    assert painted.shape == (3, 4, 3) and painted.min() >= 0 and painted.max() <= 1
    assert (painted[:, :2, 0] - painted[:, 2:, 0]).abs().min() == 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"grid": [4]},
        {"grid": [1, 1]},
        {"radius": 1.0, "last_radius": 2.0},
        {"neighbourhood": "round"},
        {"learning": "by heart"},
        {"code_dimension": 1},
        {"decay": 1.0},
        {"shrinking": 0},
        {"codebooks": 1, "dropout": 0.5},
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ModelError):
        maps(**arguments)
