"""What `unshift report` does: one page of a run, of results, or of both."""

import argparse
import errno
from pathlib import Path

from gan.cli.networks import load_network
from gan.cli.worker import say
from gan.evaluating.measures import CATALOGUE
from gan.evaluating.results import RESULTS, Results, ResultsError, read_results
from gan.files import write_text
from gan.report.card import as_place, model_card
from gan.report.evaluations import result_clips, result_sections
from gan.report.page import Page, Plan, render, within
from gan.report.runs import run_clips, run_sections
from generators.contract import Mender, ModelError

PAGE = "report.html"
JOURNAL = "journal.jsonl"


def report(parsed: argparse.Namespace) -> int:
    """Write the page, and return the exit code.

    Raises:
        JournalError, ResultsError: they are damaged, or there is neither a run nor results.
        OSError: the page cannot be written; what stood there still stands.
        ModelError: the model that --model names cannot be loaded.
    """
    path: Path = parsed.input
    output: Path = parsed.output or _folder_of(path) / PAGE
    if output.exists() and not parsed.overwrite:
        raise FileExistsError(errno.EEXIST, "is there already (--overwrite replaces it)", str(output))
    run = path if (path / JOURNAL).exists() or (path / "config.yaml").exists() else None
    # Results that lie in a run's folder are of that run.
    there = path.is_file() or (path / RESULTS).exists()
    if run is None and not there:
        raise ResultsError(f"{path}: is neither a run's folder nor what `unshift evaluate` wrote")
    results = read_results(path) if there else None
    page = _page(parsed, run, results)
    write_text(output, render(page))
    for remark in page.remarks:
        say(remark)
    say(f"{output} is ready: open it in a browser, it needs nothing else")
    return 0


def _folder_of(path: Path) -> Path:
    """Give a folder as it is, a file's folder."""
    return path.parent if path.is_file() else path


def _page(parsed: argparse.Namespace, run: Path | None, results: Results | None) -> Page:
    name = _folder_of(run or parsed.input).resolve().name
    remarks: list[str] = []
    clips: list[Plan] = []
    sections = []
    model = parsed.model or run
    if results is not None:
        model = model or _path(results, "model")
        pairs = parsed.pairs or _path(results, "pairs")
        mender = _mender(parsed, model, remarks) if pairs else None
        clips, more = result_clips(results, pairs, mender, parsed.clips, parsed.seconds)
        remarks += more
        sections += result_sections(results, CATALOGUE)
    if run is not None:
        clips = [*clips, *run_clips(run, parsed.seconds)][: parsed.clips]
        sections += run_sections(run, CATALOGUE)
    if model is not None:
        sections.append(model_card(model, trust=parsed.trust))
    what = " and ".join(word for word, there in (("results", results), ("a run", run)) if there is not None)
    lead = f"Made by unshift report of {what}: what can be heard, what was measured, and what it is."
    page = Page(f"unshift: {name}", lead, remarks=remarks, sections=sections)
    return within(page, clips, parsed.megabytes * 1e6)


def _path(results: Results, name: str) -> Path | None:
    return as_place(results.facts.get(name))


def _mender(parsed: argparse.Namespace, model: Path | None, remarks: list[str]) -> Mender | None:
    """Load what is to restore the clips; what the results name may be gone, what the user names may not."""
    if model is None:
        remarks.append("What the model makes of the clips is left out: the results name none (--model names it).")
        return None
    try:
        network, _ = load_network(argparse.Namespace(**{**vars(parsed), "model": model}))
    except ModelError as error:
        if parsed.model is not None:
            raise
        remarks.append(f"What the model makes of the clips is left out: {error}")
        return None
    if not isinstance(network, Mender):
        remarks.append(f"What the model makes of the clips is left out: a {type(network).__name__} mends no files.")
        return None
    return network
