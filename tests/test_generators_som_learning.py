"""Self-organising maps learn once per call of `learn`, from all that was noted, and start once."""

from copy import deepcopy

import pytest
import torch
from test_generators_som import hidden, maps, taught

from generators.contract import Learner


@pytest.mark.parametrize("learning", ["ema", "gradient"])
def test_maps_learn_once_from_all_that_was_noted(learning: str) -> None:
    one = maps(learning=learning)
    assert isinstance(one, Learner)
    taught(one, hidden())
    two = deepcopy(one)
    taught(one, hidden(1))
    before = deepcopy(two.state_dict())
    for part in hidden(1).split([1, 2, 1]):
        two(part)
        assert all(torch.equal(before[name], x) for name, x in two.state_dict().items()), "forward passes only note"
    copy = deepcopy(two)
    for both in (two, copy):
        both.learn()
        both.learn()  # nothing is left to learn from
    assert one.calls == 2 and copy.calls == 1
    for name, x in one.state_dict().items():
        torch.testing.assert_close(two.state_dict()[name], x, rtol=0, atol=1e-12)
    assert all(torch.equal(before[name], x) for name, x in copy.state_dict().items()), "a copy starts without notes"


def test_maps_start_once_and_anew_if_the_first_step_is_refused() -> None:
    som, other = maps(), maps()
    som(hidden(1) + 5)
    laid = som.entries.clone()
    som(hidden(2))
    assert torch.equal(som.entries, laid), "the second part of a batch starts nothing"
    som.forget()
    for one in (som, other):
        taught(one, hidden())
    assert all(torch.equal(x, other.state_dict()[name]) for name, x in som.state_dict().items())


def test_nothing_is_learned_in_use() -> None:
    som = maps(code_dimension=2, dropout=0.5)
    taught(som, hidden())
    before = deepcopy(som.state_dict())
    with torch.no_grad():
        taught(som, hidden(1))
    som.enter.eval()
    taught(som, hidden(1))
    latent = taught(som.eval(), hidden(1))
    code = som.encode(hidden(1))
    assert all(torch.equal(x, som.state_dict()[name]) for name, x in before.items())
    assert torch.equal(code, latent.codes)
    torch.testing.assert_close(som.decode(code), latent.values, rtol=0, atol=1e-12)
