"""Damaged files through the command: one line and exit code 2, or a right result; nothing half-written, nothing lost.

UNSHIFT_DAMAGE=4 in the environment makes the sweeps four times as long.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import damage
import numpy as np
import pytest
import soundfile
import tiny_codec
import yaml
from damage import Tally, cases

from gan.audio import Reader
from gan.cli import main
from gan.cli.inspection import inspect_file
from gan.data.manifest import read_manifest
from generators import store

UNSHIFT = [str(Path(sys.executable).with_name("unshift"))]
KINDS = {"a.wav": "PCM_16", "b.wav": "FLOAT", "c.wav": "PCM_24", "d.flac": "PCM_16", "e.ogg": None, "f.mp3": None}
KINDS |= {"g.aiff": "PCM_16", "h.opus": "OPUS"}
LONGEST = 60  # seconds that a damaged file may take, on a machine that has other work


@pytest.fixture(autouse=True)
def _little_memory() -> Iterator[None]:
    with damage.little_memory():
        yield


@pytest.fixture(scope="module")
def sounds(voice: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A third of a second of speech in every kind of file, some in stereo."""
    folder = tmp_path_factory.mktemp("sounds")
    for number, (name, subtype) in enumerate(KINDS.items()):
        wave = np.stack([voice[4000:20000], 0.5 * voice[4000:20000]], axis=1)[:, : 1 + number % 2]
        soundfile.write(folder / name, wave, 48000, subtype=subtype, format="OGG" if name.endswith("opus") else None)
    return {name: (folder / name).read_bytes() for name in KINDS}


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_codec.save(tmp_path_factory.mktemp("codec") / "generator")


@pytest.fixture(scope="module")
def encoded(codec: Path, sounds: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("encoded")
    (folder / "a.wav").write_bytes(sounds["a.wav"])
    assert main(["encode", str(folder / "a.wav"), str(folder / "a.unshift"), *with_model(codec)]) == 0
    return (folder / "a.unshift").read_bytes()


def with_model(folder: Path) -> list[str]:
    return ["--model", str(folder), "--device", "cpu", "--overwrite", *(["--trust"] if "codec" in str(folder) else [])]


class Bench:
    """A folder in which one command after the other is run, and looked at before and after."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        self.output = folder / "out"

    def run(self, words: Sequence[object], output: str | None, right: Callable[[Path], str]) -> tuple[str, str]:
        """Run a command that may write one output; give what came of it and what is wrong with that."""
        target = self.folder / output if output else None
        if target:
            target.write_bytes(b"precious")
        before = damage.snapshot(self.folder)
        self.capsys.readouterr()
        damage.alarm(LONGEST)
        try:
            code = main([str(word) for word in words])
        except Exception as error:  # what a user would see as a traceback
            return "raised", f"{words[:2]}: {type(error).__name__} {error}"
        finally:
            damage.alarm(0)
        said = self.capsys.readouterr().err
        after = damage.snapshot(self.folder)
        if code == 2:
            fault = damage.one_line(said)
            if after != before:
                fault += f"changed {[name for name in before.keys() | after if before.get(name) != after.get(name)]}"
            return "refused", fault
        if code != 0 or any(not line.startswith("unshift: ") for line in said.splitlines()):
            return "odd", f"exit code {code}, said {said[:300]!r}"
        if target:
            before.pop(target.name)
            after.pop(target.name)
        return "done", "changed another file" if before != after else right(target or self.folder)


@pytest.fixture
def bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Bench:
    return Bench(tmp_path, capsys)


def as_long_as(source: Path) -> Callable[[Path], str]:
    def right(output: Path) -> str:
        with Reader(source) as was, Reader(output) as now:
            same = (was.samples, was.sample_rate, was.channels) == (now.samples, now.sample_rate, now.channels)
            now.read(0, now.samples)
            return "" if same else f"{was.samples} samples became {now.samples}"

    return right


def whole(output: Path) -> str:
    return "" if inspect_file(output).header.samples else "empty"


def nothing(_: Path) -> str:
    return ""


def test_damaged_audio(model: Path, codec: Path, sounds: dict[str, bytes], bench: Bench) -> None:
    tally = Tally()
    for case in cases(240):
        rng = np.random.default_rng([1, case])
        name = list(sounds)[case % len(sounds)]
        way = damage.BYTES[rng.integers(len(damage.BYTES))]
        source = bench.folder / name
        kind = damage.put(source, way(sounds[name], rng), rng)
        command = ["restore", "shift", "encode"][case // len(sounds) % 3]
        output = {"restore": f"out.{name[2:]}", "shift": "out.wav", "encode": "out.unshift"}[command]
        more = with_model(codec if command == "encode" else model)
        more += ["--semitones", "3", "--no-restore"] if command == "shift" else []
        words = [command, source, bench.folder / output, *more]
        result = bench.run(words, output, whole if command == "encode" else as_long_as(source))
        tally.add(f"{case} {command} {name} {way.__name__} {kind}", *result)
        damage.clear(source)
    tally.check(len(cases(240)), "refused", "done")


def test_damaged_encoded_files(codec: Path, encoded: bytes, bench: Bench) -> None:
    tally = Tally()
    for case in cases(80):
        rng = np.random.default_rng([2, case])
        way = damage.BYTES[rng.integers(len(damage.BYTES))]
        source = bench.folder / "in.unshift"
        kind = damage.put(source, way(encoded, rng), rng)
        command = ["decode", "trim", "inspect"][case % 3]
        output = {"decode": "out.flac", "trim": "out.unshift", "inspect": None}[command]
        words = [command, source, *([bench.folder / output] if output else [])]
        words += with_model(codec) if command == "decode" else []
        words += ["--codebooks", "2", "--overwrite"] if command == "trim" else []
        result = bench.run(words, output, whole if command == "trim" else nothing)
        tally.add(f"{case} {command} {way.__name__} {kind}", *result)
        damage.clear(source)
    tally.check(len(cases(80)), "refused", "done")


def test_damaged_recordings_are_left_out_of_pairs(sounds: dict[str, bytes], bench: Bench) -> None:
    """Of six damaged recordings and a whole one each is in the manifest or among those left out."""
    tally = Tally()
    for case in cases(12):
        rng = np.random.default_rng([3, case])
        source, made = bench.folder / f"{case}", bench.folder / f"{case}pairs"
        source.mkdir()
        for name in rng.permutation(list(sounds))[:6]:
            damage.put(source / name, damage.BYTES[rng.integers(len(damage.BYTES))](sounds[name], rng), rng)
        (source / "whole.flac").write_bytes(sounds["d.flac"])
        before = damage.snapshot(source)
        there = {path.name for path in source.iterdir() if path.is_fifo() or not path.is_dir()}
        code = main(["pairs", str(source), str(made), "--semitones", "3", "--workers", "1"])
        said = bench.capsys.readouterr().err
        used = {record.origin for record in read_manifest(made)}
        left = {json.loads(line)["origin"] for line in (made / "left_out.jsonl").read_text().splitlines()}
        fault = "" if used | left == there and "whole.flac" in used else f"{there - used - left} are lost"
        fault += "" if all(line.startswith("unshift: ") for line in said.splitlines()) else said
        fault += "" if code == 0 and damage.snapshot(source) == before else f"exit code {code}"
        tally.add("pairs", "done", fault)
    tally.check(len(cases(12)), "done")


def test_damaged_folders_of_pairs(sounds: dict[str, bytes], bench: Bench) -> None:
    """`unshift pairs` again, where what it had written is damaged: it refuses, or makes the same to the byte."""
    source, made, whole_pairs = bench.folder / "in", bench.folder / "pairs", bench.folder / "kept"
    source.mkdir()
    (source / "a.flac").write_bytes(sounds["d.flac"])
    words = ["pairs", source, whole_pairs, "--semitones", "3", "--workers", "1"]
    assert bench.run(words, None, nothing)[1] == "changed another file"
    right = damage.snapshot(whole_pairs)
    names = [name for name, content in right.items() if isinstance(content, bytes) and not name.endswith(".flac")]
    tally = Tally()
    for case in cases(60):
        rng = np.random.default_rng([4, case])
        shutil.copytree(whole_pairs, made)
        file = made / names[case % len(names)]
        text = file.read_text()
        values = [json.loads(line) for line in text.splitlines()] if file.suffix == ".jsonl" else json.loads(text)
        content = json.dumps(damage.reworded(values, rng)).encode() if rng.random() < 0.6 else None
        content = damage.misspelt(text or "x", rng) if content is None else content
        damage.clear(file)
        damage.put(file, content, rng)
        before = damage.snapshot(made)
        result, fault = bench.run([*words[:2], made, *words[3:]], None, nothing)
        if result == "done" or fault == "changed another file":
            # A note of which a number became another is believed; what cannot be is not.
            same = damage.snapshot(made) == right or (file.parent.name == "notes" and read_manifest(made))
            result, fault = "done", "" if same else f"{file.name} became another"
        elif damage.snapshot(made) != before:
            fault += "; something was changed"
        tally.add(f"{case} {file.name} {content[:300]!r}", result, fault)
        damage.clear(made)
    tally.check(len(cases(60)), "refused", "done")


def test_damaged_models(model: Path, codec: Path, sounds: dict[str, bytes], bench: Bench) -> None:
    source = bench.folder / "in.wav"
    source.write_bytes(sounds["a.wav"])
    tally = Tally()
    for case in cases(150):
        rng = np.random.default_rng([5, case])
        folder = bench.folder / ("codec" if case % 2 else "restorer")
        shutil.copytree(codec if case % 2 else model, folder)
        file = folder / (store.WEIGHTS if case % 4 < 2 else store.DESCRIPTION)
        content = file.read_bytes()
        if file.name == store.WEIGHTS:
            content = (lying if rng.random() < 0.5 else damage.BYTES[rng.integers(len(damage.BYTES))])(content, rng)
        elif rng.random() < 0.6:
            content = yaml.safe_dump(damage.reworded(yaml.safe_load(content), rng)).encode()
        else:
            content = damage.misspelt(content.decode(), rng)
        damage.clear(file)
        kind = damage.put(file, content, rng)
        command = ["inspect", "encode" if case % 2 else "restore"][case // 4 % 2]
        if command == "inspect":
            result = bench.run([command, folder, *(["--trust"] if case % 2 else [])], None, nothing)
        else:
            output = "out.unshift" if case % 2 else "out.wav"
            words = [command, source, bench.folder / output, *with_model(folder)]
            result = bench.run(words, output, nothing)
        tally.add(f"{case} {command} {file.name} {kind} {content[:400]!r}", *result)
        damage.clear(folder)
    tally.check(len(cases(150)), "refused", "done")


def lying(content: bytes, rng: np.random.Generator) -> bytes:
    """Change what a safetensors header says, or its length."""
    length = int.from_bytes(content[:8], "little")
    words = damage.reworded(json.loads(content[8 : 8 + length]), rng)
    text = json.dumps(words).encode()
    told = len(text) if rng.random() < 0.8 else int(rng.choice([0, 1, 2**31, 2**62]))
    return told.to_bytes(8, "little") + text + content[8 + length :]


@pytest.mark.parametrize("change", [{"layers": 10**9}, {"width": 2**31}, {"hop": 1, "fft": 2**26}], ids=str)
def test_a_description_of_a_network_without_end(change: dict[str, int], model: Path, bench: Bench) -> None:
    folder = bench.folder / "model"
    shutil.copytree(model, folder)
    words = yaml.safe_load((folder / store.DESCRIPTION).read_text())
    (folder / store.DESCRIPTION).write_text(yaml.safe_dump({**words, "init_args": words["init_args"] | change}))
    assert bench.run(["inspect", folder], None, nothing) == ("refused", "")


def test_the_command_itself_says_one_line(model: Path, sounds: dict[str, bytes], tmp_path: Path) -> None:
    """In a process of its own, where what libraries say by themselves is heard too."""
    rng = np.random.default_rng(9)
    contents = {f"{way.__name__}.mp3": way(sounds["f.mp3"], rng) for way in (damage.zero, damage.behead, damage.noise)}
    contents |= {"cut.flac": damage.cut(sounds["d.flac"], rng), "empty.wav": b""}
    (tmp_path / "in").mkdir()
    for name, content in contents.items():
        (tmp_path / "in" / name).write_bytes(content)
    command = [str(Path(sys.executable).with_name("unshift")), "restore", str(tmp_path / "in"), str(tmp_path / "out")]
    ended = subprocess.run([*command, *with_model(model)], capture_output=True, text=True, check=False, timeout=200)
    assert ended.returncode in (1, 2), ended.stderr
    assert all(line.startswith("unshift: ") for line in ended.stderr.splitlines()), ended.stderr
    assert f"{len(contents)} file" in ended.stderr or ended.returncode == 1
    assert not list((tmp_path / "out").rglob("*.partial"))
