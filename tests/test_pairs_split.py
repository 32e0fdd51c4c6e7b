"""Splits: nobody in two of them, nobody moved without need, and somebody to validate on."""

import json
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gan.data.manifest import Split
from gan.pairs.settings import PairSettings
from gan.pairs.shift import PairError
from gan.pairs.split import check_held_out, speaker_of
from gan.pairs.split import split_origins as split_by_digests

PLAIN = PairSettings(Path("voices"), Path("pairs"))
names = st.text("abcdefgh", min_size=1, max_size=3)
trees = st.sets(st.tuples(names, names), min_size=1, max_size=40)


def files_of(tree: set[tuple[str, str]]) -> list[str]:
    return [f"{speaker}/{name}.wav" for speaker, name in tree]


def split_origins(files: Collection[str], settings: PairSettings) -> tuple[dict[str, Split], list[str]]:
    """Split recordings that are all different."""
    return split_by_digests({file: f"digest of {file}" for file in files}, settings)


@given(tree=trees, seed=st.integers(0, 99), shares=st.tuples(st.floats(0, 0.45), st.floats(0, 0.45)))
def test_no_speaker_is_in_two_splits(tree: set[tuple[str, str]], seed: int, shares: tuple[float, float]) -> None:
    files = files_of(tree)
    settings = replace(PLAIN, seed=seed, validation=shares[0], test=shares[1])
    splits, remarks = split_origins(files, settings)
    assert set(splits) == set(files)
    speakers = {speaker_of(file) for file in files}
    if len(speakers) > 1:
        assert not remarks
        assert len({(speaker_of(file), split) for file, split in splits.items()}) == len(speakers)
        assert ("validation" in splits.values()) == (shares[0] > 0)
    elif shares[0] + shares[1] > 0:
        assert "only one speaker" in remarks[0]
    assert "train" in splits.values()
    assert splits == split_origins(files[::-1], settings)[0]


def test_the_shares_are_kept_and_the_seed_decides() -> None:
    files = [f"{speaker}/a.wav" for speaker in range(100)]
    splits = split_origins(files, replace(PLAIN, validation=0.2, test=0.1))[0]
    counts = [list(splits.values()).count(name) for name in ("train", "validation", "test")]
    assert counts == [70, 20, 10]
    assert splits != split_origins(files, replace(PLAIN, validation=0.2, test=0.1, seed=1))[0]


def test_more_speakers_move_hardly_anyone_and_more_files_nobody() -> None:
    files = [f"{speaker}/a.wav" for speaker in range(40)]
    before = split_origins(files, PLAIN)[0]
    more_files = split_origins([*files, *(f"{speaker}/b.wav" for speaker in range(40))], PLAIN)[0]
    assert {file: more_files[file] for file in files} == before
    more_speakers = split_origins([*files, "new/a.wav"], PLAIN)[0]
    assert sum(more_speakers[file] != before[file] for file in files) <= 2


def test_who_is_held_out_is_for_the_test_and_counts_for_its_share() -> None:
    files = [f"{speaker}/{take}.wav" for speaker in "abcdefgh" for take in range(2)]
    splits = split_origins(files, replace(PLAIN, held_out=("c", "d")))[0]
    assert {speaker_of(file) for file, split in splits.items() if split == "test"} == {"c", "d"}
    one_left = split_origins(files, replace(PLAIN, held_out=tuple("abcdefg")))[0]
    assert {one_left["h/0.wav"], one_left["h/1.wav"]} == {"train", "validation"}
    with pytest.raises(PairError, match="'x' is not in voices"):
        check_held_out(files, replace(PLAIN, held_out=("x",)))


def test_a_seed_gives_the_splits_that_it_always_gave() -> None:
    files = [f"{speaker}/{take}.wav" for speaker in "abcdefghij" for take in "xy"]
    splits = split_origins(files, replace(PLAIN, seed=3, validation=0.2, test=0.2))[0]
    for name, speakers in (("train", "abcdeh"), ("validation", "fg"), ("test", "ij")):
        assert {file[0] for file, split in splits.items() if split == name} == set(speakers)


@given(tree=trees, contents=st.lists(st.integers(0, 9), min_size=40, max_size=40), by_file=st.booleans())
def test_no_bytes_are_in_two_splits(tree: set[tuple[str, str]], contents: list[int], by_file: bool) -> None:
    digests = {file: str(number) for file, number in zip(sorted(files_of(tree)), contents, strict=False)}
    splits, remarks = split_by_digests(digests, replace(PLAIN, split_by="file" if by_file else "speaker"))
    different = len(set(digests.values()))
    assert set(splits) == set(digests)
    assert len({(digests[file], split) for file, split in splits.items()}) == different
    assert any("to the byte" in remark for remark in remarks) == (different < len(digests))


def test_a_copy_goes_where_the_first_one_goes_and_moves_nobody_else() -> None:
    files = [f"{speaker}/{take}.wav" for speaker in "abcdefghij" for take in "xy"]
    before = split_origins(files, PLAIN)[0]
    other = next(file for file, split in before.items() if split == "validation")
    first = next(file for file, split in before.items() if split == "train" and file < other)
    copied = {file: file for file in files} | {other: first}
    after, remarks = split_by_digests(copied, PLAIN)
    assert after == before | {other: "train"}
    assert remarks == [f"1 files are others to the byte and share their splits, as {other} that of {first}"]
    held, _ = split_by_digests({"a/x.wav": "1", "b/x.wav": "1", "c/x.wav": "2"}, replace(PLAIN, held_out=("b",)))
    assert held == {"a/x.wav": "test", "b/x.wav": "test", "c/x.wav": "train"}, "who is held out is never trained on"


def test_a_file_without_a_folder_is_its_own_speaker() -> None:
    assert [speaker_of(file) for file in ("a.b.wav", "x/y/z.wav")] == ["a.b", "x"]


def test_a_single_file_trains_and_says_that_nothing_is_left() -> None:
    splits, remarks = split_origins(["a/a.wav"], PLAIN)
    assert splits == {"a/a.wav": "train"}
    assert "nothing for validation" in remarks[-1]


def test_split_by_file_gives_every_voice_to_all() -> None:
    files = [f"a/{take}.wav" for take in range(20)]
    splits, remarks = split_origins(files, replace(PLAIN, split_by="file"))
    assert not remarks
    assert [list(splits.values()).count(name) for name in ("train", "validation", "test")] == [16, 2, 2]


def test_a_draw_is_of_all_shifters_and_shifts_and_each_piece_has_its_own() -> None:
    named = ("World", "Psola", "Psola", "Psola")
    settings = replace(PLAIN, semitones=(-3.0, 0.0, 3.0, 5.0), shifters=named, draw=2)
    drawn = [settings.shifts(origin, number) for origin in ("a/1.wav", "b/2.wav") for number in range(1000)]
    assert all(len(set(shifts)) == len(shifts) == 2 for shifts in drawn)
    assert drawn == [settings.shifts(origin, number) for origin in ("a/1.wav", "b/2.wav") for number in range(1000)]
    counts = Counter(shift for shifts in drawn for shift in shifts)
    assert set(counts) == {("none", 0.0), *((name, k) for name in named for k in (-3.0, 3.0, 5.0))}
    assert 2 < counts["Psola", 3.0] / counts["World", 3.0] < 3.5  # two of each piece: somewhat less than thrice
    assert 0.5 < counts["Psola", 3.0] / counts["Psola", -3.0] < 2
    assert len(replace(settings, draw=99).shifts("a", 0)) == 7
    assert [k for _, k in replace(settings, draw=99).shifts("a", 0)][:2] == [0.0, -3.0]
    assert len(replace(settings, seed=-1).shifts("\udcff.wav", 0)) == 2, "any seed, and any name that a file can have"
    assert replace(settings, seed=1).shifts("a/1.wav", 0) != replace(settings, seed=2).shifts("a/1.wav", 0)


def test_what_is_remembered_of_a_draw() -> None:
    drawn = replace(PLAIN, shifters=("Psola", "World", "Psola"), draw=2)
    assert json.loads(drawn.as_text())["shifters"] == ["Psola", "Psola", "World"]
    assert json.loads(replace(drawn, draw=None).as_text())["shifters"] == ["Psola", "World"]
    assert "draw" not in json.loads(PLAIN.as_text())


@pytest.mark.parametrize(
    "wrong",
    [
        {"sample_rate": 100},
        {"semitones": ()},
        {"semitones": (99.0,)},
        {"semitones": (float("nan"),)},
        {"direction": "sideways"},
        {"shifters": ()},
        {"validation": 0.6, "test": 0.5},
        {"validation": -0.1},
        {"workers": 0},
        {"piece_seconds": 0.0},
        {"piece_seconds": float("inf")},
        {"split_by": "moon"},
        {"draw": 0},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(PairError):
        replace(PLAIN, **wrong)  # type: ignore[arg-type]
