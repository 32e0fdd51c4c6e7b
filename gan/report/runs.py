"""What the page shows of a run: its curves, the doctor's verdicts, its validation figures, and clips it listened to."""

from html import escape
from pathlib import Path
from typing import Any

from gan.audio import AudioError
from gan.journal import read_journal
from gan.report.page import ORIGINAL, RESTORED, SHIFTED, Clip, Plan, Section, Track, curves, make_clip
from gan.report.pictures import LARGEST, curve
from gan.report.sound import beginning
from gan.report.tables import MAIN, Catalogue, table

BASELINE = "_baseline"


def run_sections(run: Path, catalogue: Catalogue) -> list[Section]:
    """Show a run's journal.

    Args:
        run: its folder.
        catalogue: measures by name.

    Raises:
        JournalError: the journal is damaged.
        OSError: it cannot be read.
    """
    entries = read_journal(run)
    if not entries:
        return [Section("Training", "<p>The journal has no line yet.</p>")]
    lines = [entry for entry in entries if entry["kind"] == "validation"]
    sections = [Section("Training", curves([curve(run.resolve().name, entries)]))]
    return [*sections, Section("Validation", _validation(lines, catalogue))] if lines else sections


def run_clips(run: Path, seconds: float) -> list[Plan]:
    """Plan players of the clips that a run listened to, as it mended them last.

    Args:
        run: its folder.
        seconds: of each at most.

    Returns:
        What makes the clips.
    """
    plans = []
    folder = run / "samples"
    for sample in sorted(folder.iterdir()) if folder.is_dir() else []:
        mended = sorted(sample.glob("mended_*.flac"))
        step = mended[-1].stem.removeprefix("mended_").lstrip("0") or "0" if mended else ""
        files = [(ORIGINAL, sample / "clean.flac", ""), (SHIFTED, sample / "shifted.flac", "")]
        files += [(RESTORED, mended[-1], f"after step {step}")] if mended else []
        if there := [(label, file, note) for label, file, note in files if file.exists()]:
            plans.append(_plan(f"validation clip {sample.name}", there, seconds))
    return plans


def _plan(title: str, files: list[tuple[str, Path, str]], seconds: float) -> Plan:
    """Plan a clip of a label, a file and a note each."""

    def make() -> Clip:
        heard = [beginning(file, seconds) for _, file, _ in files]
        rates = {one.sample_rate for one in heard}
        if len(rates) > 1:
            raise AudioError(f"{title}: its files are of {len(rates)} rates")
        named = zip(files, heard, strict=True)
        tracks = [Track(label, one.waveform, note, label == ORIGINAL) for (label, _, note), one in named]
        return make_clip(title, tracks, rates.pop(), seconds, max(one.seconds for one in heard))

    return Plan(title, make)


def _validation(lines: list[dict[str, Any]], catalogue: Catalogue) -> str:
    lines = [line | {"values": _numbers(line["values"])} for line in lines]
    with_main = [line for line in lines if MAIN in line["values"]]
    best = min(with_main, key=lambda line: float(line["values"][MAIN])) if with_main else None
    chosen = [("first", lines[0]), *([("best mel", best)] if best else []), ("last", lines[-1])]
    heads = ["measure", "unrepaired", *(f"{words}: step {line['step']}" for words, line in chosen)]
    rows = []
    for name in (name for name in lines[-1]["values"] if not name.endswith(BASELINE)):
        label = escape(catalogue[name].label if name in catalogue else name)
        cells = (lines[-1]["values"].get(name + BASELINE), *(line["values"].get(name) for _, line in chosen))
        shown = "".join("<td>n/a</td>" if value is None else f"<td>{value:.3f}</td>" for value in cells)
        rows.append(f'<tr><th scope="row">{label}</th>{shown}</tr>')
    note = (
        "Means over the clips that the run validates on, of all corpora and shifts together: one may get better and "
        "another worse behind them. A run keeps no figures by clip, so there are no intervals; unshift evaluate "
        "measures every corpus by itself."
    )
    return f"<p>{note}</p>" + table(heads, rows, "Validation figures")


def _numbers(values: dict[str, Any]) -> dict[str, float]:
    """Leave out what is no number that can be shown."""
    return {n: value for n, value in values.items() if isinstance(value, int | float) and abs(value) <= LARGEST}
