"""Models on a hub: pushed with their card, fetched by name, never unasked; and what a hub model is on this disk."""

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import fake_hub
import pytest
import tiny_restorer
import torch
from safetensors.torch import load_file
from tiny_restorer import VOICE, files

from gan.cli import main
from generators import store
from generators.contract import ModelError
from generators.hub import HubModel

SPEC = {"class_path": "generators.spectral.SpectralRestorer", "init_args": tiny_restorer.SMALL}


WITH_THE_HUB = """
from pathlib import Path
import sys
from gan.cli import main
from generators import store
from generators.hub import HubModel
voice, model = sys.argv[1:]
HubModel.from_pretrained(model).push_to_hub("me/voice")
print("pushed", flush=True)
try: store.resolve(Path("me/voice"))
except ValueError as error: print(error, flush=True)
input()
print(main(["restore", voice, "a.flac", "--model", "me/voice"]))
print(main(["restore", voice, "b.flac", "--model", "me/nothing"]))
"""
WITHOUT = """
import sys
from gan.cli import main
voice = sys.argv[1]
print(main(["restore", voice, "c.flac", "--model", "me/voice"]))
print(main(["restore", voice, "d.flac", "--model", "me/other"]))
"""


@pytest.mark.slow
def test_a_model_is_pushed_with_its_card_and_fetched_by_its_name(model: Path, tmp_path: Path) -> None:
    def start(code: str, **told: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", code, str(VOICE), str(model)]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        environment = os.environ | {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0", "HF_TOKEN": "t"} | told
        return subprocess.Popen(words, env=environment, cwd=tmp_path, text=True, **pipes)

    with fake_hub.serving() as hub:
        with start(WITH_THE_HUB, HF_ENDPOINT=hub.endpoint) as running:
            assert running.stdout is not None
            assert running.stdout.readline() == "pushed\n"
            asked = len(hub.requests)
            assert running.stdout.readline().startswith("me/voice is not there: name a run")
            assert len(hub.requests) == asked, "what nobody has named on a command line is not fetched"
            out, err = running.communicate("\n", timeout=200)
        pushed = hub.files["me/voice"]
        assert set(pushed) == {"README.md", store.WEIGHTS, store.DESCRIPTION}
        assert b"library_name: unshift" in pushed["README.md"]
        assert pushed[store.WEIGHTS] == (model / store.WEIGHTS).read_bytes()
        assert out == "0\n2\n", err
        assert "the Hugging Face hub is asked for it" in err
        assert "the Hugging Face hub has no such model" in err.splitlines()[-1]
    with start(WITHOUT, HF_ENDPOINT=hub.endpoint) as running:
        out, err = running.communicate(timeout=200)
    assert out == "0\n2\n", "what was fetched is taken where there is no hub"
    assert err.splitlines()[-1].startswith("unshift: me/other is not there, nor was it fetched")
    assert (tmp_path / "c.flac").read_bytes() == (tmp_path / "a.flac").read_bytes()


def test_a_name_with_a_folder_here_is_no_hubs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert store.on_hub(Path("runs/stage3"))
    Path("runs").mkdir()
    for name in ("runs/stage3", "voice48", "a", "a/b/c", "/a/b", "../a", "a/..", "a/b c", "å/b"):
        assert not store.on_hub(Path(name)), name
    assert main(["restore", str(VOICE), "out.flac", "--model", "runs/stage3"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("unshift: runs/stage3 is not there: name a run") and said.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["restore", str(VOICE), "out.flac", "--model", "me/voice"],
        ["inspect", "me/voice"],
        ["evaluate", "me/voice", "pairs", "--out", "results"],
        ["compare", "me/voice", "me/voice", "--pairs", "pairs"],
    ],
    ids=lambda words: words[0],
)
def test_offline_a_name_is_one_clear_line(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    asked, refused = capsys.readouterr().err.splitlines()
    assert "the Hugging Face hub is asked" in asked
    assert refused.startswith("unshift: me/voice is not there") and "cannot be reached" in refused
    assert not files(tmp_path)


@pytest.mark.parametrize(
    "words",
    [["restore", str(VOICE), "out.flac", "--model", "./me/voice"], ["inspect", "./me/voice"]],
    ids=lambda w: w[0],
)
def test_a_folder_that_is_not_there_is_asked_of_no_hub(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "hub" not in said.lower() and "me/voice" in said and said.count("\n") == 1
    assert not files(tmp_path)


def test_codecs_still_have_to_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encode", str(VOICE), str(tmp_path / "a.unshift")]) == 2
    assert "no model: a codec is needed" in capsys.readouterr().err


def test_an_unchanged_model_is_saved_with_all_that_belongs_to_it(tmp_path: Path) -> None:
    HubModel.from_pretrained("voice48").save_pretrained(tmp_path / "copy")
    assert files(tmp_path / "copy") == files(store.SHIPPED_FOLDER)


def test_saving_replaces_no_file_that_is_not_the_models(tmp_path: Path) -> None:
    mine = {"README.md": b"mine", "LICENSE": b"mine too", "training/config.yaml": b"and mine"}
    for name, words in mine.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(words)
    HubModel.from_pretrained("voice48").save_pretrained(tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in mine} == mine


def test_a_model_may_be_saved_where_it_came_from_and_changed_there(tmp_path: Path) -> None:
    HubModel.from_pretrained("voice48").save_pretrained(tmp_path / "copy")
    model = HubModel.from_pretrained(str(tmp_path / "copy"))
    before = files(tmp_path / "copy")
    model.save_pretrained(tmp_path / "copy")
    assert files(tmp_path / "copy") == before
    with torch.no_grad():
        next(model.network.parameters()).add_(1e-5)
    model.save_pretrained(tmp_path / "copy")
    kept = load_file(tmp_path / "copy" / store.WEIGHTS)
    assert {x.dtype for x in kept.values()} == {torch.float32}, "what was changed since is kept as it is"
    fingerprint = sha256((Path(store.SHIPPED_FOLDER) / store.WEIGHTS).read_bytes()).hexdigest()
    assert fingerprint not in (tmp_path / "copy/README.md").read_text(), "the old weights' card went with them"


def test_a_changed_model_gets_a_card_of_its_own(tmp_path: Path) -> None:
    found = HubModel.from_pretrained("voice48")
    with torch.no_grad():
        next(found.network.parameters()).mul_(1.01)
    found.save_pretrained(tmp_path / "mine")
    assert set(files(tmp_path / "mine")) == {"README.md", store.WEIGHTS, store.DESCRIPTION}
    card = (tmp_path / "mine/README.md").read_text()
    assert "figures" not in card and "license:" not in card, "those of the old one are not its own"
    assert "library_name: unshift" in card and "48000 Hz" in card
    again = HubModel.from_pretrained(tmp_path / "mine").network.state_dict()
    assert all(torch.allclose(again[name], x, rtol=1e-3, atol=1e-7) for name, x in found.network.state_dict().items())


def test_saving_leaves_what_is_beside_it(model: Path, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("my own words")
    (tmp_path / "notes").mkdir()
    found = HubModel.from_pretrained(model)
    found.save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "my own words" and (tmp_path / "notes").is_dir()
    assert not (tmp_path / "config.json").exists(), "generator.yaml says it all"
    x = torch.randn(1, 1, 999)
    assert torch.equal(HubModel.from_pretrained(tmp_path).network.restore(x), found.network.restore(x))


def test_nothing_in_a_folder_is_executed(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "outside_hub.py").write_text("from generators.spectral import SpectralRestorer as Mine\n")
    monkeypatch.syspath_prepend(tmp_path)
    store.save(tmp_path / "m", store.load(model), SPEC | {"class_path": "outside_hub.Mine"})
    with pytest.raises(ModelError, match="--trust"):
        HubModel.from_pretrained(tmp_path / "m")
    assert "outside_hub" not in sys.modules
    assert HubModel.from_pretrained(tmp_path / "m", trust=True).network
    with pytest.raises(ModelError, match="leave out width"):
        HubModel.from_pretrained(model, width=3)
