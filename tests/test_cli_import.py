"""`unshift import`: what is no published codec is refused in one plain line, and nothing in a file is run."""

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import descript
import pytest
import torch
from test_generators_published import transformers_model
from torch import nn

from gan.cli import main

UNSHIFT = [str(Path(sys.executable).with_name("unshift"))]
WANTED = "name a .pth file of descript-audio-codec, or a folder that transformers' DacModel was saved to"
# What libraries say to such files, or Python of exceptions.
INTERNALS = (
    "miniz",
    "PytorchStream",
    "weights_only",
    "load_state_dict",
    "Errno",
    "Error",
    "pickle",
    "torch.load",
    "('",
)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("published") / "weights.pth"
    descript.build().save(str(file), package=False)
    return file


def refused(source: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Import what cannot be, and give what is said after the source's name."""
    output = source.parent / "model"
    assert main(["import", str(source), str(output)]) == 2
    assert not list(output.parent.glob("model*")), "nothing half-written is left"
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"unshift: {source}: ")
    assert said.err.count("\n") == 1
    words = said.err.removeprefix(f"unshift: {source}: ").removesuffix("\n")
    for internal in INTERNALS:
        assert internal not in words
    return words


class Runs:
    """A pickle of this leaves a file behind where it is run."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.trace,)


def other_network(whole: bytes) -> dict[str, Any]:
    return {"state_dict": nn.Linear(3, 4).state_dict(), "metadata": {"kwargs": {"sample_rate": 16000}}}


FILES: dict[str, tuple[Callable[[bytes], Any], str]] = {
    "text": (lambda _: b"hello world\n" * 99, f"is no file of weights: {WANTED}"),
    "a pickle of another kind": (lambda _: b"\x80\x04N.", f"is no file of weights: {WANTED}"),
    "empty": (lambda _: b"", "is empty: get the file again"),
    "cut short": (lambda whole: whole[: len(whole) // 2], "is cut short: get the file again"),
    "cut short at once": (lambda whole: whole[:9], "is cut short: get the file again"),
    "damaged": (lambda whole: whole[:400] + bytes(900) + whole[1300:], "is damaged"),
    "a bare state": (lambda _: nn.Linear(3, 4).state_dict(), "it has no state_dict"),
    "a state alone": (lambda _: {"state_dict": {}}, "its metadata tells no sample_rate"),
    "another network": (other_network, "holds no Descript Audio Codec that can be read: it has no encoder.block.0"),
    "a whole network": (lambda _: nn.Linear(3, 4), "holds other things than weights, and nothing in it is run"),
}


@pytest.mark.parametrize("kind", FILES)
def test_files_that_are_no_codec(
    kind: str, published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, says = FILES[kind]
    content = make(published.read_bytes())
    source = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        source.write_bytes(content)
    else:
        torch.save(content, source)
    assert says in refused(source, capsys)


def test_a_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(tmp_path / "weights.pth", capsys) == f"is not there: {WANTED}"


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_not_run(zipped: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "trace"
    torch.save({"state_dict": Runs(trace)}, tmp_path / "weights.pth", _use_new_zipfile_serialization=zipped)
    assert "holds other things than weights" in refused(tmp_path / "weights.pth", capsys)
    assert not trace.exists()
    torch.load(tmp_path / "weights.pth", weights_only=False)
    assert trace.exists(), "it would have been run"


def test_folders_that_are_no_dac_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "folder"
    source.mkdir()
    assert refused(source, capsys) == f"is a folder without config.json: {WANTED}"
    for text, says in (
        ("{", "config.json in it is damaged, or no JSON: get the file again"),
        ("{}", "config.json names no model_type: dac is wanted"),
        ('{"model_type": "encodec"}', "config.json names the model_type encodec, not dac"),
        ('{"model_type": "dac"}', "has no model.safetensors"),
    ):
        (source / "config.json").write_text(text)
        assert says in refused(source, capsys)
    (source / "model.safetensors").write_bytes(b"x" * 99)
    assert refused(source, capsys) == "model.safetensors in it is cut short or damaged: get the file again"
    (source / "generator.yaml").touch()
    assert "is a model of this program already" in refused(source, capsys)


def test_a_config_of_another_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "folder"
    transformers_model(source)
    capsys.readouterr()
    config = source / "config.json"
    words = json.loads(config.read_text())
    for name, told in (
        ("encoder_hidden_size", 64),
        ("downsampling_ratios", [2, 4, 4]),
        ("hidden_size", 512),
        ("n_codebooks", 9),
        ("codebook_size", 1024),
        ("codebook_dim", 8),
        ("decoder_hidden_size", 1536),
        ("upsampling_ratios", [8, 4]),
    ):
        config.write_text(json.dumps(words | {name: told}))
        assert f"config.json says {name} {told}, but the weights have {words[name]}" in refused(source, capsys)
    config.write_text(json.dumps({name: words[name] for name in ("model_type", "sampling_rate")}))
    assert main(["import", str(source), str(tmp_path / "model")]) == 0, "what it does not say is no contradiction"


@pytest.mark.parametrize("output", ["/sys/model", "file/model"])
def test_a_model_that_cannot_be_written(
    output: str, published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["import", str(published), str(tmp_path / output)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"unshift: {tmp_path / output}: cannot be written (")
    assert said.endswith("): name another folder\n")
    assert said.count("\n") == 1


def test_a_full_disk(published: Path, tmp_path: Path) -> None:
    """In a process of its own, whose files may not grow."""
    command = [*UNSHIFT, "import", str(published), str(tmp_path / "model")]
    limit = (resource.RLIMIT_FSIZE, (50_000, 50_000))
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, preexec_fn=lambda: resource.setrlimit(*limit)
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"unshift: {tmp_path / 'model'}: cannot be written")
    assert ended.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
