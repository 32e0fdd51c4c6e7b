"""The card's tables say what the results say, and are bold or slanted where an interval leaves no doubt."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from made_up_results import moved, noise, save, some_rows

from gan.evaluating.results import UNREPAIRED

ROOT = Path(__file__).parents[1]
MEASURES = ("mel", "stft", "visqol", "distillmos")
GAINS = {"mel": -0.25, "stft": 0.25, "visqol": 0.0, "distillmos": 0.25}


def test_gains_losses_and_gaps_are_told(tmp_path: Path) -> None:
    unrepaired = some_rows(UNREPAIRED, noise, MEASURES, corpora=("women",))
    mended = [
        replace(row, system="m", values={name: value + GAINS[name] for name, value in row.values.items()})
        for row in unrepaired
    ]
    # What was never shifted is better by 1 than what was, and the model takes 0.5 away from it.
    clean = [replace(row, file=f"clean/{row.file}", semitones=0.0) for row in moved(unrepaired, 1.0, UNREPAIRED)]
    rows = (unrepaired, mended, clean, moved(clean, -0.5, "m"))
    results = save(tmp_path / "results", *rows)
    script = [sys.executable, str(ROOT / "recipes/voice48/figures.py"), str(results)]
    said = subprocess.run(script, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    lines = {line.split(" | ")[0]: line for line in said.splitlines() if line.startswith("| ")}
    first, second = said.split('What was never shifted, as it was to "mended"')
    assert ": **-0.25 (-0.25 to -0.25)**" in first.split("mel distance (lower)")[1].split("\n")[0]
    assert ": *+0.25 (+0.25 to +0.25)*" in first.split("STFT distance (lower)")[1].split("\n")[0]
    assert ": +0 (+0 to +0) |" in first.split("ViSQOL, audio, MOS (higher)")[1].split("\n")[0], (
        "neither bold nor slanted"
    )
    assert ": *-0.5 (-0.5 to -0.5)*" in second.split("ViSQOL, audio, MOS (higher)")[1].split("\n")[0]
    for shift in (-7.0, 7.0):
        mean = sum(row.values["distillmos"] for row in unrepaired if row.semitones == shift) / 12
        top = sum(row.values["distillmos"] for row in clean) / 24
        share = round(100 * 0.25 / (top - mean))
        line = lines[f"| {shift:+g}"]
        assert line == f"| {shift:+g} | {mean:.2f}, {mean + 0.25:.2f}, {top:.2f}: {share} % ({share} to {share}) |"


def test_what_holds_no_results_is_one_line(tmp_path: Path) -> None:
    script = [sys.executable, str(ROOT / "recipes/voice48/figures.py"), str(tmp_path)]
    ended = subprocess.run(script, capture_output=True, text=True, check=False, cwd=ROOT)
    assert ended.returncode == 2 and str(tmp_path) in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
