"""Residual VQ: codes agree with an independent search, learning serves the error, what is saved comes back."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from generators import store
from generators.codebook import nearest
from generators.codec import Codec
from generators.contract import Bottleneck, Latent, Learner, ModelError
from generators.residual_vq import ResidualVQ

PLAIN = {"kmeans": False, "revive": 0.0}


def mixture(centres: int, frames: int = 600, dimension: int = 4, seed: int = 0) -> Tensor:
    """Draw clusters far from each other: [4, dimension, frames]."""
    generator = torch.Generator().manual_seed(seed)
    middles = 5 * torch.randn(centres, dimension, generator=torch.Generator().manual_seed(99))
    chosen = torch.randint(0, centres, (4, frames), generator=generator)
    noise = torch.randn(4, frames, dimension, generator=generator)
    return (middles[chosen] + 0.1 * noise).transpose(1, 2)


def fitted(steps: int = 60, centres: int = 24, **arguments: object) -> ResidualVQ:
    torch.manual_seed(0)
    quantiser = ResidualVQ(4, **{"codebooks": 3, "entries": 16, "decay": 0.8} | arguments)  # type: ignore[arg-type]
    for step in range(steps):
        taught(quantiser, mixture(centres, seed=step))
    return quantiser


def taught(quantiser: ResidualVQ, hidden: Tensor) -> Latent:
    """Pass frames through, and learn from them."""
    latent = quantiser(hidden)
    quantiser.learn()
    return latent  # type: ignore[no-any-return]


def error(quantiser: ResidualVQ, hidden: Tensor, books: int | None = None) -> float:
    return float((quantiser.decode(quantiser.encode(hidden)[:, :books]) - hidden).detach().square().mean())


def entries_of(quantiser: ResidualVQ) -> list[np.ndarray]:
    return [quantiser._entries(number).detach().numpy().copy() for number in range(quantiser.width)]


def search(vectors: np.ndarray, books: list[np.ndarray]) -> np.ndarray:
    """Walk the residuals frame by frame, in float64: [codebooks, frames]."""
    codes = []
    residual = vectors.astype(np.float64)
    for book in books:
        code = ((residual[:, None] - book[None].astype(np.float64)) ** 2).sum(-1).argmin(-1)
        residual = residual - book[code]
        codes.append(code)
    return np.stack(codes)


@pytest.mark.parametrize("learning", ["ema", "gradient"])
@pytest.mark.parametrize("width", [4, 96])
def test_codes_are_the_nearest_entries(learning: str, width: int) -> None:
    torch.manual_seed(1)
    quantiser = ResidualVQ(width, 3, 32, learning=learning, **PLAIN)  # type: ignore[arg-type]
    for number in range(3):
        quantiser._entries(number).data.normal_(std=1 / (number + 1))
    hidden = torch.randn(2, width, 40)
    books = entries_of(quantiser)
    expected = np.stack([search(one.T.numpy(), books) for one in hidden])
    in_training = quantiser(hidden)
    assert np.array_equal(in_training.codes.numpy(), expected)
    total = sum(book[expected[:, number]] for number, book in enumerate(books))
    np.testing.assert_allclose(in_training.values.detach().transpose(1, 2).numpy(), total, atol=1e-5)


def test_of_equal_entries_the_first_is_taken() -> None:
    assert nearest(torch.zeros(2, 3), torch.ones(5, 3)).tolist() == [0, 0]


@pytest.mark.parametrize("arguments", [{}, {"code_dimension": 2}, {"learning": "gradient"}, {"rotation": True}])
def test_in_use_it_gives_what_it_writes_down(arguments: dict[str, object]) -> None:
    quantiser = fitted(3, dropout=0.5, **arguments).eval()
    before = deepcopy(quantiser.state_dict())
    hidden = mixture(24, seed=100)
    latent = quantiser(hidden)
    assert isinstance(quantiser, Bottleneck)
    assert latent.codes.shape == (4, 3, 600) and latent.codes.dtype == torch.int64
    assert torch.equal(latent.codes, quantiser.encode(hidden))
    assert torch.equal(latent.values, quantiser.decode(latent.codes))
    assert torch.equal(latent.values, quantiser(hidden).values)
    assert all(torch.equal(before[name], x) for name, x in quantiser.state_dict().items())


def test_codes_of_a_frame_do_not_depend_on_its_neighbours() -> None:
    quantiser = fitted(5).eval()
    hidden = mixture(24, seed=100)
    apart = torch.cat([quantiser.encode(one) for one in hidden.split(7, dim=-1)], dim=-1)
    assert torch.equal(apart, quantiser.encode(hidden))


def test_nothing_is_learned_without_gradients_or_by_encoding() -> None:
    quantiser = ResidualVQ(4, 2, 8, dropout=0.5).train()
    before = deepcopy(quantiser.state_dict())
    hidden = mixture(8)
    with torch.no_grad():
        quantiser(hidden)
    quantiser.encode(hidden)
    quantiser.eval()(hidden)
    for part in (quantiser.enter, quantiser.books):
        quantiser.train()
        part.eval()
        quantiser(hidden)
    quantiser.train().learn()
    assert all(torch.equal(before[name], x) for name, x in quantiser.state_dict().items())
    assert (quantiser.encode(hidden) >= 0).all()
    taught(quantiser, hidden)
    assert not torch.equal(before["books.0.embed"], quantiser.state_dict()["books.0.embed"])


def test_codebooks_learn_once_from_all_that_was_noted() -> None:
    hidden = mixture(16).double()
    torch.manual_seed(0)
    one = ResidualVQ(4, 3, 16, decay=0.8, kmeans=False, revive=0.0).double()
    two = deepcopy(one)
    assert isinstance(one, Learner)
    taught(one, hidden)
    kept = deepcopy(two.state_dict())
    for part in hidden.split([1, 2, 1]):
        two(part)
        assert all(torch.equal(kept[name], x) for name, x in two.state_dict().items()), "forward passes only note"
    copy = deepcopy(two)
    for both in (two, copy):
        both.learn()
        both.learn()  # nothing is left to learn from
    for name, x in one.state_dict().items():
        torch.testing.assert_close(two.state_dict()[name], x, rtol=0, atol=1e-12)
    assert not torch.equal(kept["books.2.embed"], two.state_dict()["books.2.embed"])
    assert all(torch.equal(kept[name], x) for name, x in copy.state_dict().items()), "a copy starts without notes"


def test_what_is_forgotten_is_not_learned() -> None:
    quantiser = fitted(2)
    before = deepcopy(quantiser.state_dict())
    quantiser(mixture(16))
    quantiser.forget()
    quantiser.learn()
    assert all(torch.equal(before[name], x) for name, x in quantiser.state_dict().items())


@pytest.mark.parametrize("autocast", [torch.bfloat16, torch.float16])
def test_autocast_changes_nothing(autocast: torch.dtype) -> None:
    torch.manual_seed(0)
    one = ResidualVQ(4, 3, 64, code_dimension=3, kmeans=False)
    two = deepcopy(one)
    hidden = mixture(64)
    plain = one(hidden)
    with torch.autocast("cpu", dtype=autocast):
        mixed = two(hidden)
        assert torch.equal(one.encode(hidden), two.encode(hidden))
        assert torch.equal(one.decode(plain.codes), two.decode(plain.codes))
    assert mixed.values.dtype == torch.float32
    assert torch.equal(plain.values, mixed.values) and torch.equal(plain.codes, mixed.codes)
    assert torch.equal(plain.penalties["commitment"], mixed.penalties["commitment"])
    one.learn()
    two.learn()
    assert all(torch.equal(x, y) for x, y in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    assert one(hidden.to(autocast)).values.dtype == torch.float32


def test_more_codebooks_are_never_worse() -> None:
    quantiser = fitted(centres=64)
    errors = [error(quantiser, mixture(64, seed=100), books) for books in (0, 1, 2, 3)]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    assert errors[2] > errors[3]


def test_a_start_by_kmeans_is_better_than_one_at_random() -> None:
    hidden = mixture(16, seed=100)
    assert error(fitted(1), hidden) < 0.3 * error(fitted(1, kmeans=False), hidden)
    assert not ResidualVQ(4, 2, 8).books[0].initted
    assert fitted(1).books[2].initted


def test_dead_entries_are_revived() -> None:
    def used(revive: float) -> list[float]:
        torch.manual_seed(0)
        quantiser = ResidualVQ(4, 1, 16, decay=0.8, kmeans=False, revive=revive)
        book = quantiser._books[0]
        book.embed[:, 1:] += 1000.0
        book.embed_avg.copy_(book.embed)
        for step in range(30):
            taught(quantiser, mixture(32, seed=step))
        codes = quantiser.encode(mixture(32, seed=100))
        return [len(codes.unique()), error(quantiser, mixture(32, seed=100))]

    assert used(0.0)[0] == 1
    alive = used(0.1)
    assert alive[0] == 16
    assert alive[1] < 0.2 * used(0.0)[1]


def test_small_batches_do_not_churn_the_codebook() -> None:
    quantiser = fitted(200, centres=8, codebooks=1, entries=16, decay=0.95)
    few = mixture(8, frames=2, seed=5)
    before = error(quantiser, mixture(8, seed=100))
    for _ in range(3):
        taught(quantiser, few)
    assert error(quantiser, mixture(8, seed=100)) < 2 * before


@pytest.mark.parametrize("learning", ["ema", "gradient"])
def test_what_is_saved_comes_back_whole(learning: str, tmp_path: Path) -> None:
    init = {"dimension": 4, "codebooks": 2, "entries": 8, "learning": learning, "code_dimension": 3}
    half = {"class_path": f"{__name__}.Fold", "init_args": {}}
    spec = {
        "class_path": "generators.codec.Codec",
        "init_args": {
            "encoder": half,
            "bottleneck": {"class_path": "generators.residual_vq.ResidualVQ", "init_args": init},
            "decoder": half | {"init_args": {"back": True}},
            "sample_rate": 8000,
        },
    }
    torch.manual_seed(0)
    codec = Codec(Fold(), ResidualVQ(**init), Fold(back=True), 8000)  # type: ignore[arg-type]
    taught(codec.bottleneck, mixture(8))  # type: ignore[arg-type]
    store.save(tmp_path / "model", codec, spec)
    again = store.load(tmp_path / "model", trust=True)
    assert again.state_dict().keys() == codec.state_dict().keys()
    assert all(torch.equal(x, codec.state_dict()[name]) for name, x in again.state_dict().items())
    assert {"bottleneck.books.1.initted", "bottleneck.books.1.embed_avg"} <= codec.state_dict().keys()
    waveform = torch.randn(1, 1, 99)
    assert torch.equal(again.encode(waveform), codec.eval().encode(waveform))  # type: ignore[operator]
    for one in (codec, again):  # goes on as if nothing had been: no second start
        torch.manual_seed(1)
        taught(one.bottleneck.train(), mixture(8, seed=2))  # type: ignore[arg-type]
    assert all(torch.equal(x, codec.state_dict()[name]) for name, x in again.state_dict().items())


def test_fewer_codes_and_left_out_ones_read_alike() -> None:
    quantiser = fitted(3)
    codes = quantiser.encode(mixture(16))
    short = torch.cat([codes[:, :1], torch.full_like(codes[:, 1:], -1)], dim=1)
    assert torch.equal(quantiser.decode(codes[:, :1]), quantiser.decode(short))
    assert quantiser.decode(codes[:, :0]).abs().max() == 0
    with pytest.raises(ModelError, match="only 3 codebooks"):
        quantiser.decode(torch.cat([codes, codes], dim=1))


@pytest.mark.parametrize(
    "wrong",
    [
        *({"dimension": 0}, {"codebooks": 0}, {"entries": 1}, {"code_dimension": 0}, {"learning": "hope"}),
        *({"decay": 1.0}, {"revive": -0.1}, {"dropout": 1.1}, {"dropout": 0.5, "codebooks": 1}, {"iterations": 0}),
    ],
)
def test_arguments_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ModelError):
        ResidualVQ(**{"dimension": 4, "codebooks": 2, "entries": 8} | wrong)  # type: ignore[arg-type]


class Fold(nn.Module):
    """A half that folds four samples into four channels, or back."""

    channels, dimension, frame, reach = 1, 4, 4, 0

    def __init__(self, back: bool = False) -> None:
        super().__init__()
        self.back = back

    def forward(self, hidden: Tensor) -> Tensor:
        if self.back:
            return hidden.transpose(1, 2).reshape(len(hidden), 1, -1)
        return hidden.reshape(len(hidden), -1, 4).transpose(1, 2)
