"""The `unshift` command itself: what it teaches, what it refuses, what it says of a model."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from gan.cli import main, parser
from gan.cli.commands import PAIR_OPTIONS
from gan.data.manifest import read_manifest
from gan.pairs.make import PairSettings
from generators import store
from generators.restorer import Restorer
from generators.spectral import SpectralRestorer

ROOT = Path(__file__).parents[1]
CLIPS = ROOT / "demo/clips"
UNSHIFT = [str(Path(sys.executable).with_name("unshift"))]
COMMANDS = ["restore", "shift", "encode", "decode", "trim", "pairs", "inspect", "evaluate", "compare", "grid", "report"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    words = {"sample_rate": 16000, "width": 8, "layers": 1}
    spec = {"class_path": "generators.spectral.SpectralRestorer", "init_args": words}
    store.save(tmp_path / "model", SpectralRestorer(16000, width=8, layers=1), spec)
    return tmp_path / "model"


def leave(*arguments: str) -> int:
    """Run a command that argparse ends, and give the exit code."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_help_is_there_at_once_and_from_any_folder(tmp_path: Path) -> None:
    command = [*UNSHIFT, "--help"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ended.returncode == 0
    assert all(f"\n    {name} " in ended.stdout for name in COMMANDS)
    # Not the time, which a busy machine decides, but what would take it.
    listed = subprocess.run(
        [sys.executable, "-X", "importtime", *command], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stderr
    imported = {line.split("|")[-1].strip().split(".")[0] for line in listed.splitlines()}
    assert "gan" in imported
    assert not imported & {"torch", "numpy", "soundfile", "tqdm", "yaml"}


def test_help_teaches_recipes_that_write_what_it_names(capsys: pytest.CaptureFixture[str]) -> None:
    """Every run that a command's help names as a model is the folder of some recipe."""
    written = {yaml.safe_load(file.read_text()).get("folder") for file in (ROOT / "recipes").rglob("*.yaml")}
    for arguments in (["--help"], *([name, "--help"] for name in COMMANDS)):
        assert leave(*arguments) == 0
        said = capsys.readouterr().out
        assert set(re.findall(r"runs/\w+", said)) <= written
        if arguments == ["--help"]:
            assert "--semitones 0 --rate 16000" in said
            for recipe in re.findall(r"recipes/\S+", said):
                assert (ROOT / recipe).is_file()
            assert "recipes/codec/stage1.yaml" in said


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_teaches_by_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert leave(name, "--help") == 0
    said = capsys.readouterr().out
    assert "examples:" in said
    assert said.count(f"unshift {name} ") >= 3


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["destroy"],
        ["restore"],
        ["restore", "a.wav"],
        ["restore", "a.wav", "b.wav", "--device", "abacus"],
        ["shift", "a.wav", "b.wav"],
        ["shift", "a.wav", "b.wav", "--semitones", "much"],
        ["shift", "a.wav", "b.wav", "--semitones", "nan"],
        ["shift", "a.wav", "b.wav", "--semitones", "900"],
        ["inspect"],
        ["encode", "a.wav"],
        ["encode", "a.wav", "b.unshift", "--codebooks", "0"],
        ["encode", "a.wav", "b.unshift", "--codebooks", "many"],
        *(
            [*command, option, value]
            for command, options in (
                (["restore", "a.wav", "b.wav"], ["--chunk-seconds"]),
                (["shift", "a.wav", "b.wav", "--semitones", "5"], ["--chunk-seconds"]),
                (["encode", "a.wav", "b.unshift"], ["--chunk-seconds"]),
                (["decode", "a.unshift", "b.wav"], ["--chunk-seconds", "--from", "--to"]),
            )
            for option in options
            for value in ("1e308", "1.1e7", "inf", "nan", "-1", "soon", "", *(["0"] if "chunk" in option else []))
        ),
        ["trim", "a.unshift", "b.unshift"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert leave(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("unshift: ")
    assert said.err.count("\n") == 1


def test_pairs_go_somewhere(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pairs", str(CLIPS)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("unshift: DST is missing")
    assert said.count("\n") == 1


def test_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert leave("--version") == 0
    assert capsys.readouterr().out == "unshift 0.1.0\n"


@pytest.mark.parametrize("name", ["nothing", "generators", "recipes"])
def test_a_folder_without_a_model(name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for arguments in (["inspect", name], ["restore", str(CLIPS), str(tmp_path / "out"), "--model", name]):
        assert main(arguments) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"unshift: {name} ")
        assert said.count("\n") == 1


def test_a_gpu_that_is_not_there(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    arguments = ["restore", str(CLIPS), str(tmp_path / "out"), "--model", str(model), "--device", "cuda"]
    assert main(arguments) == 2
    assert "no usable CUDA device" in capsys.readouterr().err


def test_an_unknown_shifter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["shift", str(CLIPS), str(tmp_path / "out"), "--semitones", "5", "--no-restore", "--shifter", "Magic"]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert "Magic" in said
    assert said.count("\n") == 1


def test_inspect_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = {"sample_rate": 24000, "channels": [8, 16], "strides": [4]}
    network = Restorer(24000, channels=[8, 16], strides=[4])
    store.save(tmp_path / "model", network, {"class_path": "generators.restorer.Restorer", "init_args": words})
    assert main(["inspect", str(tmp_path / "model"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["parameters"] == sum(p.numel() for p in network.parameters())
    assert found["sample_rate"] == 24000
    assert found["receptive_field"] == 2 * network.reach + 1
    assert found["hop"] == network.hop
    assert found["init_args"] == words
    assert found["macs_per_second"] > 0
    assert main(["inspect", str(tmp_path / "model")]) == 0
    said = capsys.readouterr().out
    assert "24000 Hz" in said
    assert f"{found['parameters']:,}" in said
    assert f"{found['receptive_field']:,} samples" in said


def test_a_class_from_elsewhere_needs_trust(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere.py").write_text("from generators.spectral import SpectralRestorer as Mine\n")
    monkeypatch.syspath_prepend(tmp_path)
    described = model / store.DESCRIPTION
    described.write_text(described.read_text().replace("generators.spectral.SpectralRestorer", "elsewhere.Mine"))
    assert main(["inspect", str(model)]) == 2
    assert "--trust" in capsys.readouterr().err
    assert "elsewhere" not in sys.modules, "its code did not run"
    assert main(["inspect", str(model), "--trust"]) == 0


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(ValueError, match="nothing"):
        main(["inspect", "nothing", "--debug"])


def test_a_fault_in_the_program_is_not_hidden(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gan.cli.commands.inspect", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["inspect", str(model)])


def test_a_reader_that_goes_away_is_no_fault(model: Path) -> None:
    with subprocess.Popen(
        [*UNSHIFT, "inspect", str(model)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == ""
        assert running.wait(timeout=60) == 0


def test_an_interrupt_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("gan.cli.commands.run", interrupt)
    assert main(["inspect", "nothing"]) == 130


def test_pairs_of_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    voices = tmp_path / "voices"
    for name in ("kerstin", "nathalie", "sms_male"):
        shutil.copytree(CLIPS / name, voices / name)
    (voices / "kerstin/broken.wav").write_bytes(b"RIFF")
    command = ["pairs", str(voices), str(tmp_path / "pairs"), "--semitones", "-7", "0", "12", "--rate", "16000"]
    command += ["--held-out", "sms_male", "--validation", "0", "--workers", "1"]
    assert main(command) == 0
    said = capsys.readouterr().err
    records = read_manifest(tmp_path / "pairs")
    assert {record.semitones for record in records} == {-7, 0, 12}
    assert {record.sample_rate for record in records} == {16000}
    assert {record.speaker for record in records if record.split == "test"} == {"sms_male"}
    assert "left out kerstin/broken.wav: " in said
    assert f"holds {len(records)} pairs ({len(records) - 3} train, 0 validation, 3 test)" in said
    assert main(command) == 0
    assert f"0 made now, {len(records)} from before" in capsys.readouterr().err


def test_one_pair_is_no_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "voices").mkdir()
    shutil.copy(next((CLIPS / "kathleen").glob("*.flac")), tmp_path / "voices")
    more = ["--semitones", "0", "--validation", "0", "--test", "0", "--workers", "1", "--rate", "16000"]
    assert main(["pairs", str(tmp_path / "voices"), str(tmp_path / "pairs"), *more]) == 0
    assert "holds 1 pair (1 train, 0 validation, 0 test)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "more",
    [
        ["--held-out", "nobody"],
        ["--rate", "5"],
        ["--validation", "2"],
        ["--shifter", "Magic"],
        ["--workers", "0"],
    ],
    ids=" ".join,
)
def test_pairs_that_cannot_be_made(more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pairs", str(CLIPS), str(tmp_path / "pairs"), *more]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "pairs").exists()


def test_every_option_of_pairs_is_a_setting() -> None:
    assert set(PAIR_OPTIONS.values()) == {field.name for field in fields(PairSettings)}
    given = vars(parser().parse_args(["pairs", "a", "b"]))
    assert set(PAIR_OPTIONS) <= set(given)
    assert all(given[option] is None for option in PAIR_OPTIONS if option not in ("source", "destination"))
