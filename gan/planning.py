"""Which file goes where: what a command is going to do to a file, or to a folder's tree."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from gan.containers import FORMATS, AudioError, find_audio

ENCODED = ".unshift"


@dataclass(frozen=True, slots=True)
class Job:
    """A file to work on and where the result goes."""

    source: Path
    output: Path


@dataclass(frozen=True, slots=True)
class Plan:
    """What a command is going to do.

    Attributes:
        jobs: the files, in order.
        kept: outputs of a folder that are there already and are left alone.
        ignored: how many files of a folder are not of the kind that is worked on.
        folder: whether a folder was given.
        kind: what they are, in words.
    """

    jobs: list[Job]
    kept: list[Path]
    ignored: int
    folder: bool
    kind: str = "audio"


@dataclass(frozen=True, slots=True)
class Kind:
    """The files that a command works on, and what it makes of them.

    Attributes:
        name: in words.
        endings: of the files.
        rename: gives the name of a result, where only a folder is given for it.
        makes: the ending that a result has to have; "" for any.
    """

    name: str
    endings: Collection[str]
    rename: Callable[[str], str] = str
    makes: str = ""


def _decoded_name(name: str) -> str:
    plain = name[: -len(ENCODED)] if name.lower().endswith(ENCODED) else name
    return plain if plain.lower().endswith((".wav", ".flac")) else plain + ".wav"


AUDIO = Kind("audio", FORMATS)
TO_ENCODE = Kind("audio", FORMATS, lambda name: name + ENCODED, ENCODED)
TO_DECODE = Kind("encoded audio", (ENCODED,), _decoded_name)
TO_TRIM = Kind("encoded audio", (ENCODED,), str, ENCODED)


def plan(source: Path, output: Path, *, overwrite: bool = False, kind: Kind = AUDIO) -> Plan:
    """Decide which file goes where: a file to a file (or into a folder), a folder's tree to the same tree below output.

    Raises:
        AudioError: the source is not there or holds no such file; the output is the source, lies inside it, is there
            already (a file, unless overwrite is set), has no folder to be in, or a name that does not tell what it is.
    """
    if not source.exists():
        raise AudioError(f"{source}: no such file or folder")
    if source.is_dir():
        return _plan_folder(source, output, kind, overwrite=overwrite)
    target = output / kind.rename(source.name) if output.is_dir() else output
    if target.exists() and target.samefile(source):
        raise AudioError(f"{target}: input and output are the same file")
    if target.is_dir():
        raise AudioError(f"{target}: is a folder; name a file")
    if kind.makes and target.suffix.lower() != kind.makes:
        folder = "" if target.suffix or target.exists() else "no such folder; make it first, or name a file: "
        raise AudioError(f"{target}: {folder}an encoded file's name is to end in {kind.makes}")
    if target.exists() and not overwrite:
        raise AudioError(f"{target}: is there already; --overwrite replaces it")
    if not target.parent.is_dir():
        raise AudioError(f"{target.parent}: no such folder; make it first")
    return Plan([Job(source, target)], [], 0, folder=False, kind=kind.name)


def _plan_folder(source: Path, output: Path, kind: Kind, *, overwrite: bool) -> Plan:
    if output.exists() and not output.is_dir():
        raise AudioError(f"{output}: is a file, but {source} is a folder; name a folder")
    if output.resolve().is_relative_to(source.resolve()):
        raise AudioError(f"{output}: is inside the input folder {source}; name one outside it")
    found = find_audio(source, kind.endings)
    if not found:
        raise AudioError(f"{source}: no {kind.name} files in this folder")
    jobs = [Job(path, output / path.relative_to(source).with_name(kind.rename(path.name))) for path in found]
    first: dict[Path, Path] = {}
    for job in jobs:
        if (other := first.setdefault(job.output, job.source)) is not job.source:
            raise AudioError(f"{other} and {job.source}: would both become {job.output}; rename one")
    kept = set() if overwrite else {job.output for job in jobs if job.output.exists()}
    others = sum(path.is_file() and not path.name.startswith(".") for path in source.rglob("*")) - len(found)
    left = [job for job in jobs if job.output not in kept]
    return Plan(left, sorted(kept), max(0, others), folder=True, kind=kind.name)
