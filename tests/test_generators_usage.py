"""How codebooks are used: shares, entropies and the bitrate, against numpy."""

from copy import deepcopy

import numpy as np
import pytest
import torch

from generators.contract import Learner
from generators.usage import Usage


def test_shares_are_running_counts() -> None:
    usage = Usage([4, 2], decay=0.75)
    codes = torch.tensor([[[0, 0, 1, 3], [1, 1, -1, 1]], [[0, 2, 2, 3], [-1, -1, -1, -1]]])
    usage.count(codes)
    first, second = usage.shares
    assert np.allclose(first, 0.75 / 4 + 0.25 * np.array([3, 1, 2, 2]) / 8)
    assert np.allclose(second, [0.75 / 2, 0.75 / 2 + 0.25])
    before = second.clone()
    usage.count(torch.full((1, 2, 3), -1))
    assert torch.equal(usage.shares[1], before), "a book that nobody used keeps its shares"
    assert usage.shares[0].sum() == pytest.approx(1.0)


def test_notes_are_counted_once_and_together() -> None:
    torch.manual_seed(0)
    codes = torch.randint(-1, 4, (6, 2, 50))
    one, two = Usage([4, 4], decay=0.75), Usage([4, 4], decay=0.75)
    assert isinstance(two, Learner)
    one.count(codes)
    for part in codes.split([1, 3, 2]):
        two.note(part)
    assert all((share == 1 / 4).all() for share in two.shares)
    copy = deepcopy(two)
    for both in (two, copy):
        both.learn()
        both.learn()
    assert all(torch.equal(x, y) for x, y in zip(one.shares, two.shares, strict=True))
    assert all((share == 1 / 4).all() for share in copy.shares), "a copy starts without notes"
    two.note(codes[:1])
    two.forget()
    two.learn()
    assert all(torch.equal(x, y) for x, y in zip(one.shares, two.shares, strict=True))


def test_facts_are_shannons() -> None:
    usage = Usage([4, 8], decay=0.0)
    generator = torch.Generator().manual_seed(0)
    skewed = torch.multinomial(torch.tensor([0.7, 0.2, 0.1, 0.0]), 4000, True, generator=generator)
    even = torch.arange(4000) % 8
    usage.count(torch.stack([skewed, even])[None])
    facts = usage.facts(frame_rate=50.0)
    share = np.bincount(skewed.numpy(), minlength=4) / 4000
    entropy = -np.sum(share[share > 0] * np.log2(share[share > 0]))
    assert float(facts["codebook/0/entropy"]) == pytest.approx(entropy, abs=1e-5)
    assert float(facts["codebook/1/entropy"]) == pytest.approx(3.0, abs=1e-5)
    assert float(facts["codebook/0/used"]) == 0.75
    assert float(facts["codebook/1/used"]) == 1.0
    assert float(facts["bitrate"]) == pytest.approx((entropy + 3.0) * 50 / 1000, abs=1e-5)


def test_a_fresh_codec_promises_the_full_rate() -> None:
    facts = Usage([1024] * 9).facts(44_100 / 512)
    assert float(facts["bitrate"]) == pytest.approx(9 * 10 * 44.1 / 512, rel=1e-5)
