"""Splits: nobody in two of them, nobody moved without need, and somebody to validate on."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gan.pairs.settings import PairSettings
from gan.pairs.shift import PairError
from gan.pairs.split import check_held_out, speaker_of, split_origins

PLAIN = PairSettings(Path("voices"), Path("pairs"))
names = st.text("abcdefgh", min_size=1, max_size=3)
trees = st.sets(st.tuples(names, names), min_size=1, max_size=40)


def files_of(tree: set[tuple[str, str]]) -> list[str]:
    return [f"{speaker}/{name}.wav" for speaker, name in tree]


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
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(PairError):
        replace(PLAIN, **wrong)  # type: ignore[arg-type]
