"""What the page shows of a run: its curves, the doctor's verdicts, its validation figures, and clips it listened to."""

from html import escape
from pathlib import Path
from typing import Any

from gan.audio import AudioError, read
from gan.journal import read_journal
from gan.report.page import ORIGINAL, RESTORED, SHIFTED, Clip, Section, Track, curves, make_clip
from gan.report.pictures import curve
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


def run_clips(run: Path, seconds: float) -> tuple[list[Clip], list[str]]:
    """Make players of the clips that a run listened to, as it mended them last.

    Args:
        run: its folder.
        seconds: of each at most.

    Returns:
        The clips, and remarks on those that cannot be read.
    """
    clips, remarks = [], []
    folder = run / "samples"
    for sample in sorted(folder.iterdir()) if folder.is_dir() else []:
        mended = sorted(sample.glob("mended_*.flac"))
        step = mended[-1].stem.removeprefix("mended_").lstrip("0") or "0" if mended else ""
        files = [(ORIGINAL, sample / "clean.flac", ""), (SHIFTED, sample / "shifted.flac", "")]
        files += [(RESTORED, mended[-1], f"after step {step}")] if mended else []
        try:
            heard = [(label, *read(file), note) for label, file, note in files if file.exists()]
        except AudioError as error:
            remarks.append(str(error))
            continue
        if heard and len({rate for _, _, rate, _ in heard}) == 1:
            tracks = [Track(label, wave, note, label == ORIGINAL) for label, wave, _, note in heard]
            clips.append(make_clip(f"validation clip {sample.name}", tracks, heard[0][2], seconds))
    return clips, remarks


def _validation(lines: list[dict[str, Any]], catalogue: Catalogue) -> str:
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
    note = "Means over the clips that the run validates on; a run keeps no figures by clip, so there are no intervals."
    return f"<p>{note}</p>" + table(heads, rows, "Validation figures")
