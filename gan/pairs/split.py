"""Which pairs are for training, validation and test: by speaker or by file, drawn by hashes so that others stay."""

from collections.abc import Collection, Mapping
from hashlib import sha256

from gan.data.manifest import Split
from gan.pairs.settings import PairSettings
from gan.pairs.shift import PairError


def speaker_of(file: str) -> str:
    """Name the speaker of a recording "folder/.../file.wav": the first folder, or the file's stem without one."""
    first, slash, _ = file.partition("/")
    return first if slash else first.rpartition(".")[0]


def check_held_out(files: Collection[str], settings: PairSettings) -> None:
    """See that the speakers to be held out are there.

    Raises:
        PairError: one is not.
    """
    known = {speaker_of(file) for file in files}
    if unknown := sorted(set(settings.held_out) - known):
        there = ", ".join(sorted(known)[:20])
        raise PairError(f"held-out speaker {unknown[0]!r} is not in {settings.source}; there are {there}")


def split_origins(digests: Mapping[str, str], settings: PairSettings) -> tuple[dict[str, Split], list[str]]:
    """Give each recording its split.

    Speakers are ranked by a hash of the seed and their name; the test takes the first ones, validation the last ones.
    So another speaker moves at most one old one across each border, and more files of a speaker move nobody.
    Recordings of the same bytes count once, as the first of them by name, those held out before all others; the rest
    go where it goes.

    Args:
        digests: a hash of the bytes of each recording, by its path relative to the source folder ("/" between parts).
        settings: the shares, the seed and who is held out.

    Returns:
        The split of each file, and remarks that a user should read.
    """
    first: dict[str, str] = {}
    for file in sorted(digests, key=lambda file: (speaker_of(file) not in settings.held_out, file)):
        first.setdefault(digests[file], file)
    splits, remarks = _split_files(sorted(first.values()), settings)
    doubles = {file: first[digest] for file, digest in sorted(digests.items()) if first[digest] != file}
    if doubles:
        one, other = next(iter(doubles.items()))
        remarks.append(f"{len(doubles)} files are others to the byte and share their splits, as {one} that of {other}")
    return {file: splits[first[digest]] for file, digest in digests.items()}, remarks


def _split_files(files: Collection[str], settings: PairSettings) -> tuple[dict[str, Split], list[str]]:
    speakers = {file: speaker_of(file) for file in files}
    held = set(settings.held_out) & set(speakers.values())
    remarks = []
    by_file = settings.split_by == "file"
    if not by_file and len(set(speakers.values()) - held) == 1 and settings.validation + settings.test > 0:
        by_file = True
        remarks.append("there is only one speaker to split: split by file, so every split has the same voice")
    groups = {file: file if by_file and name not in held else name for file, name in speakers.items()}
    splits = _split_groups(set(groups.values()), held, settings)
    if settings.validation > 0 and splits and "validation" not in splits.values():
        remarks.append("there is nothing for validation: two speakers or files at least are needed")
    return {file: splits[group] for file, group in groups.items()}, remarks


def _split_groups(groups: set[str], held: set[str], settings: PairSettings) -> dict[str, Split]:
    free = sorted(groups - held, key=lambda name: sha256(f"{settings.seed}:{name}".encode()).hexdigest())
    validation = max(1, round(settings.validation * len(groups))) if settings.validation else 0
    validation = min(validation, len(free) - 1)
    test = min(round(settings.test * len(groups)) - len(held), len(free) - 1 - validation)
    splits: dict[str, Split] = dict.fromkeys(sorted(groups), "train")
    splits |= dict.fromkeys(free[: max(0, test)], "test")
    splits |= dict.fromkeys(free[len(free) - max(0, validation) :], "validation")
    return splits | dict.fromkeys(sorted(held), "test")
