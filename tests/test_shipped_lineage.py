"""What a model came out of is told run by run, however its beginnings branch."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from recipes.voice48.credits import ShipError
from recipes.voice48.lineage import keep, lineage, table


def a_run(folder: Path, day: int, **config: Any) -> Path:
    (folder / "checkpoints/best").mkdir(parents=True)
    words = {"folder": str(folder), "steps": 10 * day, "weights": {"mel": 1.0 * day}, **config}
    (folder / "config.yaml").write_text(yaml.safe_dump(words, sort_keys=False))
    (folder / "provenance.json").write_text(json.dumps({"started": f"2026-01-0{day}", "command": [str(folder)]}))
    (folder / "journal.jsonl").write_text(
        json.dumps({"kind": "train", "step": 5, "seconds": 120.0, "values": {}}) + "\n"
    )
    return folder


@pytest.fixture
def last(tmp_path: Path) -> Path:
    """A run whose ear, gate and critics are of three other runs; the critics' was moved."""
    ear = a_run(tmp_path / "ear", 1)
    first = a_run(tmp_path / "first", 2)
    gate = a_run(tmp_path / "gate", 3, initialise={"folder": str(first / "checkpoints/best"), "parts": ["generator"]})
    critics = a_run(tmp_path / "critics", 4, initialise={"folder": str(first)})
    moved = Path(shutil.copytree(critics, tmp_path / "moved"))
    begun = {"folder": str(first), "elsewhere": {"generator.gate": str(gate), "critics": str(critics)}}
    begun["elsewhere"] |= {"critics_optimiser": str(moved)}  # type: ignore[operator]
    term = {"class_path": "x", "init_args": {"ear": {"class_path": "y", "init_args": {"folder": str(ear)}}}}
    terms = {"mel": {"class_path": "z"}, "codec": term}
    return a_run(tmp_path / "last", 5, initialise=begun, terms=terms)


def test_every_run_is_told_once_after_what_it_went_on_from(last: Path, tmp_path: Path) -> None:
    stages = lineage(last)
    assert [stage.config["weights"]["mel"] for stage in stages] == [2.0, 3.0, 4.0, 1.0, 5.0]
    assert table(stages).splitlines()[2:] == [
        "| 1 | - | 5 of 20 | 2 | 2 mel |",
        "| 2 | 1 | 5 of 30 | 2 | 3 mel |",
        "| 3 | 1 | 5 of 40 | 2 | 4 mel |",
        "| 4 | - | 5 of 10 | 2 | 1 mel |",
        "| 5 | 1, 2 (generator.gate), 3 (critics), 3 (critics_optimiser), 4 (the ear codec) | 5 of 50 | 2 | 5 mel |",
    ]
    keep(stages, tmp_path / "kept")
    found = {
        file.relative_to(tmp_path / "kept").as_posix(): file.read_text() for file in (tmp_path / "kept").rglob("*.*")
    }
    names = ("config.yaml", "journal.jsonl", "provenance.json")
    assert set(found) == {f"{place}{name}" for place in ("", "1/", "2/", "3/", "4/") for name in names}
    assert not any(str(tmp_path) in text for text in found.values())
    assert yaml.safe_load(found["2/config.yaml"])["initialise"]["folder"] == "best"


def test_what_is_gone_is_said(last: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(tmp_path / "gate")
    assert len(lineage(last)) == 4
    assert f"{tmp_path}/gate is not at hand" in capsys.readouterr().err


def test_the_run_itself_is_last_whatever_the_clocks_said(last: Path, tmp_path: Path) -> None:
    (last / "provenance.json").unlink()
    assert lineage(last)[-1].config["steps"] == 50
    config = yaml.safe_load((tmp_path / "first/config.yaml").read_text())
    (tmp_path / "first/config.yaml").write_text(yaml.safe_dump(config | {"initialise": {"folder": str(last)}}))
    with pytest.raises(ShipError, match="begun with itself"):
        lineage(last)


def test_a_model_without_a_run_has_no_lineage(tmp_path: Path) -> None:
    assert lineage(tmp_path) == []
    assert table([]) == "Nothing is known of its training."
    keep([], tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir()) == []
