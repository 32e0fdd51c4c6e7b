"""Training examples: a pure function of (seed, index), whatever the workers, the processes and the restarts."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gan.audio import read
from gan.data.dataset import PairCrops, Share, micro_batches, select
from gan.data.manifest import ManifestError


def test_an_example_is_a_stretch_of_its_files(pairs: Path) -> None:
    crops = PairCrops(pairs, 0.25, seed=3)
    assert crops.crop == 12_000
    files = {r.source: (read(pairs / r.source)[0][0], read(pairs / r.target)[0][0]) for r in crops.records}
    for index in (0, 1, 57):
        source, target = (x[0].numpy() for x in crops[index])
        assert source.shape == target.shape == (12_000,)
        places = []
        for whole_source, whole_target in files.values():
            where = np.flatnonzero(whole_source[: len(whole_source) - 11_999] == source[0])
            places += [
                p
                for p in where
                if np.array_equal(whole_source[p : p + 12_000], source)
                and np.array_equal(whole_target[p : p + 12_000], target)
            ]
        assert places, "source and target come from the same place of one pair"


def test_examples_depend_on_seed_and_index_alone(pairs: Path) -> None:
    first, again, other = PairCrops(pairs, 0.2, 1), PairCrops(pairs, 0.2, 1), PairCrops(pairs, 0.2, 2)
    backwards = [again[i] for i in reversed(range(12))][::-1]
    assert all(torch.equal(first[i][0], backwards[i][0]) for i in range(12))
    assert not all(torch.equal(first[i][0], other[i][0]) for i in range(12))
    assert not torch.equal(first[0][0], first[len(first.places)][0]), "the next epoch is drawn anew"


def test_gain_is_the_same_for_source_and_target(pairs: Path) -> None:
    plain, loud = PairCrops(pairs, 0.2, 1), PairCrops(pairs, 0.2, 1, gain=6.0)
    factors = set()
    for index in range(5):
        ratios = [float(a.norm() / b.norm()) for a, b in zip(loud[index], plain[index], strict=True)]
        assert ratios[0] == pytest.approx(ratios[1], rel=1e-5)
        assert 10 ** (-6 / 20) <= ratios[0] <= 10 ** (6 / 20)
        factors.add(round(ratios[0], 4))
    assert len(factors) == 5


def test_workers_change_nothing(pairs: Path) -> None:
    crops, share = PairCrops(pairs, 0.1, 0), Share(4, accumulate=2)
    alone = list(micro_batches(crops, share, 0, 3, workers=0))
    helped = list(micro_batches(crops, share, 0, 3, workers=2))
    later = list(micro_batches(crops, share, 2, 3, workers=0))
    assert len(alone) == 6
    assert all(torch.equal(a, b) for x, y in zip(alone, helped, strict=True) for a, b in zip(x, y, strict=True))
    assert all(torch.equal(a, b) for x, y in zip(alone[4:], later, strict=True) for a, b in zip(x, y, strict=True))


@given(size=st.integers(1, 4), accumulate=st.integers(1, 4), processes=st.integers(1, 4), step=st.integers(0, 50))
def test_shares_make_up_the_batch(size: int, accumulate: int, processes: int, step: int) -> None:
    batch = size * accumulate * processes
    shares = [Share(batch, accumulate, processes, process) for process in range(processes)]
    taken = [i for share in shares for micro in share.order(step, step + 1) for i in micro]
    assert sorted(taken) == list(range(step * batch, (step + 1) * batch))


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 6"):
        Share(4, accumulate=2, processes=3)


def test_splits_and_shifts_are_selected(pairs: Path) -> None:
    everything = select(pairs, "train")
    octaves = select(pairs, "train", [-12, 12])
    assert {r.semitones for r in octaves} == {-12, 12}
    assert len(octaves) < len(everything)
    assert not {r.speaker for r in everything} & {r.speaker for r in select(pairs, "test")}
    with pytest.raises(ManifestError, match="shift of"):
        select(pairs, "train", [5])


def test_a_missing_file_is_an_error_that_names_it(pairs: Path, tmp_path: Path) -> None:
    shutil.copytree(pairs, tmp_path / "pairs")
    crops = PairCrops(tmp_path / "pairs", 0.1, 0)
    for record in crops.records:
        (tmp_path / "pairs" / record.source).unlink()
    with pytest.raises(ValueError, match=r"\.flac"):
        crops[0]
