"""The restorer that comes with unshift: it works at once, is what its card says, and is made anew by its script."""

import csv
import json
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import soundfile
import tiny_restorer
import torch
import yaml
from safetensors.torch import load_file
from tiny_restorer import VOICE, files

from gan.cli import main
from gan.cli.model_cards import read_facts
from generators import store
from generators.contract import ModelError
from generators.gated import GatedRestorer
from generators.spectral import SpectralRestorer
from recipes.voice48 import ship as script

ROOT = Path(__file__).parents[1]
SHIP = [sys.executable, str(ROOT / "recipes/voice48/ship.py")]
SHIPPED = store.SHIPPED_FOLDER
NAMED = "unshift: no --model is named: taking voice48, the restorer that comes with unshift\n"
SPEC = {"class_path": "generators.spectral.SpectralRestorer", "init_args": tiny_restorer.SMALL}
CREDIT = {"file": "a.flac", "seconds": "60", "kind": "speech", "speaker_or_piece": "a", "source": "github:a/b:c.wav"}


def restorer(seed: int = 0) -> SpectralRestorer:
    """Give a small network that changes what it hears."""
    torch.manual_seed(seed)
    network = SpectralRestorer(**tiny_restorer.SMALL)
    for parameter in network.leave.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    return network.eval()


def test_restore_takes_it_without_being_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["restore", str(VOICE), "out.flac"]) == 0
    assert capsys.readouterr().err == NAMED
    for number, name in enumerate(("voice48", str(SHIPPED))):
        assert main(["restore", str(VOICE), f"{number}.flac", "--model", name]) == 0
        assert capsys.readouterr().err == ""
        assert Path(f"{number}.flac").read_bytes() == Path("out.flac").read_bytes()
    wave, _ = soundfile.read(VOICE)
    assert not np.array_equal(soundfile.read("out.flac")[0], wave), "something was done"


def test_shift_mends_with_it_unless_told_not_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    voice, rate = soundfile.read(VOICE, dtype="float32")
    soundfile.write(tmp_path / "voice.wav", voice, rate, subtype="FLOAT")  # 16 bits between the two would be heard
    words = ["shift", str(tmp_path / "voice.wav"), "--semitones", "7"]
    assert main([*words, str(tmp_path / "up.wav")]) == 0
    assert capsys.readouterr().err == NAMED
    assert main([*words, str(tmp_path / "plain.wav"), "--no-restore"]) == 0
    assert capsys.readouterr().err == ""
    up, plain = (soundfile.read(tmp_path / f"{name}.wav", dtype="float32")[0] for name in ("up", "plain"))
    assert not np.array_equal(up, plain)
    network = cast(GatedRestorer, store.load(SHIPPED))
    network.known_shifted = True  # its gate need not ask
    mended = network.restore(torch.from_numpy(plain)[None, None])[0, 0].detach().numpy()
    assert np.abs(up - mended).max() < 1e-5, "shifting and mending are the two in turn"


def test_a_folder_of_its_name_wins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("voice48").mkdir()
    assert main(["restore", str(VOICE), "out.flac", "--model", "voice48"]) == 2
    assert "voice48 holds no model" in capsys.readouterr().err
    store.save(Path("voice48"), restorer(), SPEC)
    assert store.resolve(Path("voice48")) == Path("voice48")
    for number, more in enumerate(([], ["--model", str(SHIPPED)], ["--model", "voice48"])):
        assert main(["restore", str(VOICE), f"{number}.flac", *more]) == 0
    silent, shipped, named = (Path(f"{number}.flac").read_bytes() for number in range(3))
    assert silent == shipped != named, "but what comes with unshift is taken where nothing is named"


def test_it_is_what_its_card_says() -> None:
    text = (SHIPPED / "README.md").read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    assert (front["license"], front["library_name"], front["pipeline_tag"]) == ("mit", "unshift", "audio-to-audio")
    assert (SHIPPED / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert f"`{sha256((SHIPPED / store.WEIGHTS).read_bytes()).hexdigest()}`" in text
    assert (SHIPPED / store.WEIGHTS).stat().st_size < 15_000_000
    assert {tensor.dtype for tensor in load_file(SHIPPED / store.WEIGHTS).values()} == {torch.float16}
    network = store.load(SHIPPED)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert f"| parameters | {sum(parameter.numel() for parameter in network.parameters()):,}, " in text
    assert network.sample_rate == 48_000
    assert "$" not in text, "every place was filled in"


def test_every_recording_has_its_credit_and_no_machine_is_named() -> None:
    with (SHIPPED / "credits.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len(rows) > 500
    licences = {row["licence"] for row in rows}
    assert all(licence.startswith(("CC0", "CC-BY-3", "CC-BY-4", "MIT")) or "(CC0)" in licence for licence in licences)
    credited = (SHIPPED / "LICENCES.md").read_text()
    assert all(f"## {licence}\n" in credited for licence in licences)
    assert all(row["source"] in credited for row in rows if row["licence"].startswith("CC-BY"))
    assert all(row["source"] and float(row["seconds"]) > 0 for row in rows)
    for file in SHIPPED.rglob("*"):
        if file.suffix in (".md", ".yaml", ".json", ".jsonl", ".tsv"):
            assert not re.search(r"(?<![\w/:.])/(tmp|work|home|root)/", file.read_text()), file
    assert {file.name for file in (SHIPPED / "training").iterdir()} >= {"config.yaml", "journal.jsonl", "pairs.json"}


def test_inspect_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "voice48"]) == 0
    said = capsys.readouterr().out
    digest = sha256((SHIPPED / store.WEIGHTS).read_bytes()).hexdigest()
    assert re.search(r"^licence +mit$", said, re.M) and re.search(rf"^SHA-256 of weights +{digest}$", said, re.M)
    figures = read_facts(SHIPPED).figures
    assert figures and said.endswith("its card's figures:\n" + "\n".join(figures) + "\n")
    assert main(["inspect", str(SHIPPED), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["licence"], found["weights_sha256"], found["figures"]) == ("mit", digest, list(figures))
    assert found["sample_rate"] == 48_000 and found["parameters"] > 1_000_000


def test_a_card_from_anyone_harms_no_terminal(model: Path, tmp_path: Path) -> None:
    card = "---\nlicense: m\x1b[31mit\n---\n<!-- figures -->\n| \x1b]0;title\x07 |\n| 1 |\n<!-- /figures -->\n"
    store.save(tmp_path / "m", store.load(model), SPEC)
    for text, licence, figures in (
        (card.replace("m\x1b[31mit", '"m\\e[31mit"'), "m\\x1b[31mit", ("| \\x1b]0;title\\x07 |", "| 1 |")),
        ("---\nlicense: [a]\n---\n<!-- figures -->\n| 1 |", "", ()),
        ("---\n!!python/object:os.system\n---\n", "", ()),
        ("no card", "", ()),
    ):
        (tmp_path / "m/README.md").write_text(text)
        found = read_facts(tmp_path / "m")
        assert (found.licence, found.figures) == (licence, figures)


def test_sixteen_bits_are_half_the_size_and_nearly_the_same(tmp_path: Path) -> None:
    network, x = restorer(), 0.1 * torch.randn(1, 1, 48_000)
    store.save(tmp_path / "whole", network, SPEC)
    store.save(tmp_path / "half", network, SPEC, half=True)
    sizes = [(tmp_path / name / store.WEIGHTS).stat().st_size for name in ("half", "whole")]
    assert sizes[0] < 0.6 * sizes[1]
    again: Any = store.load(tmp_path / "half")
    with torch.no_grad():
        whole, half = network.restore(x), again.restore(x)
    assert 0 < (half - whole).square().mean() < 1e-6 * whole.square().mean()
    store.save(tmp_path / "half2", again, SPEC, half=True)
    assert files(tmp_path / "half") == files(tmp_path / "half2"), "loaded and saved again nothing is lost"


def test_what_sixteen_bits_cannot_hold_is_not_saved(tmp_path: Path) -> None:
    network = restorer()
    store.save(tmp_path / "m", network, SPEC, half=True)
    before = files(tmp_path)
    with torch.no_grad():
        network.leave.bias[3] = 70_000
    with pytest.raises(ModelError, match=r"leave\.bias holds numbers beyond 65504"):
        store.save(tmp_path / "m", network, SPEC, half=True)
    assert files(tmp_path) == before


@pytest.fixture
def run(tmp_path: Path, pairs: Path) -> Path:
    """A run that started from another, with its credits beside it."""
    for name, steps in (("first", 2000), ("second", 20)):
        store.save(tmp_path / name / "generator", restorer(), SPEC)
        config: dict[str, Any] = {"folder": str(tmp_path / name), "steps": steps, "data": {"pairs": str(pairs)}}
        config |= {"weights": {"mel": 15.0, "feature_matching": 2.0}}
        config |= {"initialise": {"folder": str(tmp_path / "first/generator")}} if name == "second" else {}
        (tmp_path / name / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        lines = [{"kind": "train", "step": s, "seconds": 60.0 * s, "values": {}} for s in range(1, steps + 1)]
        lines.insert(1, {"kind": "validation", "step": 1, "seconds": 60.0, "values": {"mel": 1.0, "mel_baseline": 2.0}})
        lines.insert(
            2, {"kind": "verdict", "step": 1, "seconds": 60.0, "values": {}, "sentence": f"see {tmp_path}/x.pt"}
        )
        (tmp_path / name / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        words = {"started": f"{name} day", "command": [str(tmp_path)], "devices": ["cpu"], "manifest": "0123"}
        (tmp_path / name / "provenance.json").write_text(json.dumps(words))
    rows = [CREDIT | {"licence": "CC0-1.0"}, CREDIT | {"licence": "CC-BY-4.0", "source": "github:d/e:f.wav"}]
    (tmp_path / "sources.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "second"


@pytest.mark.slow
def test_a_run_becomes_what_is_shipped_again_and_again(
    run: Path, tmp_path: Path, pairs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def ship(*words: str | Path, code: int = 0) -> str:
        assert script.main([str(word) for word in words]) == code
        return capsys.readouterr().err

    folder, sources = tmp_path / "shipped", ("--sources", tmp_path / "sources.jsonl")
    assert "sources.jsonl" in ship(run, folder, code=2), "beside the clips there are no credits"
    assert not folder.exists()
    (tmp_path / "figures.md").write_text("| mel | 1.2 |\n")
    (tmp_path / "README.md").write_text("before\n<!-- figures -->\nold\n<!-- /figures -->\nafter\n")
    more = ("--figures", tmp_path / "figures.md", "--readme", tmp_path / "README.md")
    subprocess.run([*SHIP, run, folder, *sources, *more], check=True)
    assert (tmp_path / "README.md").read_text() == (
        "before\n<!-- figures -->\n| mel | 1.2 |\n<!-- /figures -->\nafter\n"
    )
    first, card = files(folder), (folder / "README.md").read_text()
    assert not any(str(tmp_path).encode() in data or str(pairs).encode() in data for data in first.values())
    training = folder / "training"
    assert yaml.safe_load((training / "config.yaml").read_text())["folder"] == "second"
    assert yaml.safe_load((training / "1/config.yaml").read_text())["steps"] == 2000
    kinds = [json.loads(line)["kind"] for line in (training / "1/journal.jsonl").read_text().splitlines()]
    assert kinds.count("train") <= 501 and {"validation", "verdict"} < set(kinds)
    digests = json.loads((training / "pairs.json").read_text())["sha256"]
    assert digests["manifest.jsonl"] == sha256((pairs / "manifest.jsonl").read_bytes()).hexdigest()
    assert "| 1 | - | 2,000 of 2,000 | 2,000 | 15 mel, 2 feature matching |" in card
    assert "| 2 | 1 | 20 of 20 | 20 | 15 mel, 2 feature matching |" in card
    assert "github:d/e:f.wav" in (folder / "LICENCES.md").read_text()
    ship(run, folder, *sources)
    assert files(folder) == first, "the figures that were there stay"
    (tmp_path / "model.yaml").write_text("init_args: {rise: 1.5}\n")
    ship(run, tmp_path / "described", *sources, "--described", tmp_path / "model.yaml")
    told = yaml.safe_load((tmp_path / "described/generator.yaml").read_text())["init_args"]
    assert told == SPEC["init_args"] | {"rise": 1.5}
    assert (tmp_path / "described/weights.safetensors").read_bytes() == first["weights.safetensors"]
    bad = tmp_path / "bad.jsonl"
    for row, says in ((CREDIT | {"licence": "CC-BY-NC-4.0"}, "other licences"), (CREDIT, "every line")):
        bad.write_text(json.dumps(row) + "\n")
        said = ship(run, folder, "--sources", bad, code=2)
        assert says in said and said.count("\n") == 1
        assert files(folder) == first and not list(tmp_path.glob("*.new*"))
