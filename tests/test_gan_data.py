"""Training examples: a pure function of (seed, index), whatever the workers, the processes and the restarts."""

import json
import math
import shutil
from collections import Counter
from dataclasses import replace
from math import lcm
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gan.audio import read
from gan.data.band import LOWEST
from gan.data.dataset import PairCrops, select
from gan.data.loading import Share, micro_batches
from gan.data.manifest import ManifestError, PairRecord, write_manifest
from gan.data.skipped import Skipped


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


@pytest.mark.parametrize("share", [0.0, 0.1, 0.6])
def test_unshifted_examples_are_the_share_that_is_asked_for(pairs: Path, share: float) -> None:
    plain, mixed = PairCrops(pairs, 0.2, 1), PairCrops(pairs, 0.2, 1, unshifted=share)
    none = np.array([record.semitones == 0 for record in plain.records])
    assert none[plain.places].mean() == pytest.approx(1 / 3, abs=0.01)
    assert none[mixed.places].mean() == pytest.approx(share, abs=0.01)
    counts = [np.bincount(crops.places, minlength=len(none))[~none] for crops in (plain, mixed)]
    assert np.array_equal(*counts), "every shifted second is as likely as before"
    assert PairCrops(pairs, 0.2, 1, semitones=[0], unshifted=share).places.size, "where there is nothing else it stays"
    if share:
        with pytest.raises(ManifestError, match=r"no training pair without a shift, of which data\.unshifted asks"):
            PairCrops(pairs, 0.2, 1, semitones=[12], unshifted=share)


def test_every_unshifted_second_comes_in_some_epoch(pairs: Path) -> None:
    few = PairCrops(pairs, 0.2, 1, unshifted=0.05)
    epochs = [Counter(few._draw_order(epoch).tolist()) for epoch in range(60)]
    none = [number for number, record in enumerate(few.records) if record.semitones == 0]
    assert len({sum(epoch.values()) for epoch in epochs}) == 1
    assert {number for epoch in epochs for number in epoch} >= set(none)
    assert len({tuple(epoch[number] for number in none) for epoch in epochs}) > 1


def test_a_share_of_examples_loses_its_highest_frequencies_on_both_sides(pairs: Path) -> None:
    """Its bins above the cut are gone, those under it are as they were, and the other examples are untouched."""
    plain, narrow = PairCrops(pairs, 0.2, 1), PairCrops(pairs, 0.2, 1, narrow=0.5)
    narrowed = 0
    for index in range(40):
        whole, cut = (torch.cat(crops[index]).double() for crops in (plain, narrow))
        if torch.equal(whole, cut):
            continue
        narrowed += 1
        before, after = (torch.fft.rfft(side * torch.hann_window(side.shape[-1])).abs() for side in (whole, cut))
        kept = (after > 0.5 * before).double().mean(0) > 0.5
        edge = int(kept.nonzero().max())
        assert edge > 0.9 * LOWEST / plain.sample_rate * whole.shape[-1]
        low, high = slice(0, int(0.9 * edge)), slice(int(1.1 * edge) + 1, None)
        assert torch.allclose(before[:, low], after[:, low], atol=1e-3 * float(before.max()))
        assert (after[:, high].norm(dim=1) <= 0.1 * before[:, high].norm(dim=1) + 1e-4).all()
    assert 10 < narrowed < 30


def shared(batch: int, accumulate: int, processes: int, start: int, stop: int) -> list[int]:
    """Give the indices that processes take together: by step, in it by micro-batch, in that by process."""
    orders = [Share(batch, accumulate, processes, process).order(start, stop) for process in range(processes)]
    return [index for micros in zip(*orders, strict=True) for micro in micros for index in micro]


@given(
    size=st.integers(1, 3),
    ways=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=4),
    lengths=st.lists(st.integers(0, 5), min_size=4, max_size=4),
    start=st.integers(0, 10**9),
)
def test_processes_and_accumulation_change_no_order(
    size: int, ways: list[tuple[int, int]], lengths: list[int], start: int
) -> None:
    """A run that goes on again and again, each time with other processes, sees every example once, in order."""
    batch = size * lcm(*(accumulate * processes for accumulate, processes in ways))
    taken, step = [], start
    for (accumulate, processes), length in zip(ways, lengths, strict=False):
        taken += shared(batch, accumulate, processes, step, step + length)
        step += length
    assert taken == list(range(start * batch, step * batch))


def loaded(crops: PairCrops, shares: list[Share], start: int, stop: int, workers: int) -> tuple[Tensor, Counter[str]]:
    """Load what processes take together, [examples, 2, samples], and count what they skipped."""
    told = [Skipped() for _ in shares]
    loaders = [micro_batches(crops, share, start, stop, workers, one) for share, one in zip(shares, told, strict=True)]
    examples = [torch.cat(micro, dim=1) for micros in zip(*loaders, strict=True) for micro in micros]
    return torch.cat(examples), sum((one.counts for one in told), Counter())


def spoil(pairs: Path, folder: Path) -> tuple[Path, dict[str, str]]:
    """Copy six pairs and spoil three, each in another way; give why, for each file."""
    shutil.copytree(pairs, folder)
    records = select(folder, "train", [-12, 12])  # each has a source of its own
    ways = {
        "cut short": lambda path, x, rate: path.write_bytes(path.read_bytes()[:3000]),
        "No such file": lambda path, x, rate: path.unlink(),
        "in the manifest 48000 Hz": lambda path, x, rate: soundfile.write(path, x, 44100),
    }
    reasons = {}
    for record, (reason, way) in zip(records, ways.items(), strict=False):
        path = folder / record.source
        way(path, *soundfile.read(path))
        reasons[record.source] = reason
    return folder, reasons


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # a machine of one core
def test_bad_files_workers_processes_and_restarts_change_nothing(pairs: Path, tmp_path: Path) -> None:
    folder, reasons = spoil(pairs, tmp_path / "pairs")
    crops = PairCrops(folder, 0.1, seed=5, gain=6.0)
    one = Share(4)
    alone, skipped = loaded(crops, [one], 0, 6, workers=0)
    assert torch.equal(alone[:, 0], torch.stack([crops[index][0][0] for index in range(24)]))
    assert set(skipped) == set(reasons)
    two = [Share(4, 2, 2, process) for process in range(2)]
    before, first = loaded(crops, [one], 0, 2, workers=2)
    after, second = loaded(PairCrops(folder, 0.1, seed=5, gain=6.0), two, 2, 6, workers=1)
    assert torch.equal(torch.cat([before, after]), alone)
    assert first + second == skipped


def test_a_bad_file_is_replaced_by_the_others_counted_and_named(pairs: Path, tmp_path: Path) -> None:
    folder, reasons = spoil(pairs, tmp_path / "pairs")
    whole, crops = PairCrops(pairs, 0.1, seed=5), PairCrops(folder, 0.1, seed=5)
    skipped, replaced = Skipped(), []
    for index in range(60):
        example, skips = crops.draw(index)
        as_before = all(torch.equal(a, b) for a, b in zip(example, whole[index], strict=True))
        assert as_before != bool(skips), "what can be read is what it was"
        assert all(reasons[skip.file] in skip.reason for skip in skips)
        skipped.add(skips)
        replaced += [float(example[0].norm())] if skips else []
    assert len(set(replaced)) == len(replaced) > 10, "each by another stretch of sound"
    assert set(skipped.counts) == set(reasons)
    line = skipped.over_all().line()
    assert line.startswith(f"skipped {skipped.counts.total()} examples, others took their place: audio/")
    for file, reason in reasons.items():
        assert f"{file} ({skipped.counts[file]}: " in line
        assert reason in line
    assert "\n" not in line
    assert Skipped().line() == ""


def test_samples_that_are_no_numbers_are_skipped_where_they_are(tmp_path: Path) -> None:
    wave = np.full(4800, 0.5, np.float32)
    soundfile.write(tmp_path / "good.wav", wave, 8000, subtype="FLOAT")
    wave[100] = np.nan
    soundfile.write(tmp_path / "bad.wav", wave, 8000, subtype="FLOAT")
    record = PairRecord("good.wav", "good.wav", 0.6, 8000, 4800, 1.0, "x", "one_way", "train", "s", "o", "h")
    write_manifest(tmp_path, [record, replace(record, target="bad.wav")])
    crops = PairCrops(tmp_path, 0.1, seed=0)
    skips = [skip for index in range(120) for skip in crops.draw(index)[1]]
    assert 1 <= len(skips) < 40, "only a crop that holds the sample"
    assert {skip.file for skip in skips} == {"bad.wav"}
    assert all("NaN" in skip.reason for skip in skips)
    assert all(torch.isfinite(side).all() for index in range(120) for side in crops[index])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_folder_that_went_away_is_one_line(workers: int, pairs: Path, tmp_path: Path) -> None:
    shutil.copytree(pairs, tmp_path / "pairs")
    crops = PairCrops(tmp_path / "pairs", 0.1, 0)
    for record in crops.records[1:]:
        (tmp_path / "pairs" / record.source).unlink()
    with pytest.raises(ManifestError, match=r"4 files of 6 pairs .*\.flac \(No such file") as caught:
        list(micro_batches(crops, Share(4), 0, 9, workers))
    assert "\n" not in str(caught.value)


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


WRONG = [{"seconds": math.nan}, {"samples": 10**18}, {"samples": -1}, {"sample_rate": 0}, {"channels": True}]
WRONG += [{"source": "../../etc/passwd"}, {"target": "/etc/passwd"}, {"source": "a\0b"}, {"source": "\ud800"}]
WRONG += [{"split": "Train"}, {"direction": ""}, {"semitones": 10**400}, {"seconds": math.inf}, {"source": "x" * 10**6}]


@pytest.mark.parametrize("values", WRONG, ids=lambda values: str(values)[:30])
def test_a_manifest_that_cannot_be_is_told_in_one_line(values: dict[str, object], tmp_path: Path) -> None:
    record = PairRecord("a", "b", 1.0, 48000, 48000, 1.0, "x", "one_way", "train", "s", "o", "h")
    lines = [record.as_values(), record.as_values() | values]
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(ManifestError, match="line 2 is not a pair") as caught:
        select(tmp_path, "train")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
