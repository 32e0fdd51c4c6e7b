"""What the commands that judge models do: evaluate."""

import argparse
from collections import Counter
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import cast

from gan.cli.networks import load_network
from gan.cli.worker import FAILED_IN_PART, NOTHING_DONE, say
from gan.evaluating.evaluate import Evaluation, Plan
from gan.evaluating.evaluate import evaluate as evaluate_model
from gan.evaluating.notes import NOTES
from gan.evaluating.origin import identify, versions
from gan.evaluating.results import RESULTS, Results, ResultsError, write_results
from gan.evaluating.summary import as_csv, as_table, summarise
from gan.files import write_text
from generators.contract import Mender, ModelError

SUMMARY = "summary.csv"
MOST_SAID = 10


def evaluate(parsed: argparse.Namespace) -> int:
    """Measure a model on pairs, write results.json, results.csv and summary.csv, and print the summary.

    What is done is kept until all is: stopped, whatever stopped it, the same command goes on with the rest;
    with --overwrite it begins anew.

    Raises:
        EXPECTED: it cannot be done.
    """
    if (parsed.out / RESULTS).exists() and not parsed.overwrite:
        raise ResultsError(f"{parsed.out / RESULTS}: is there already; --overwrite replaces it")
    network, folder = load_network(parsed)
    if not isinstance(network, Mender):
        raise ModelError(f"{parsed.model}: a {type(network).__name__} does not map audio to audio of the same length")
    plan = _plan(parsed, identify(network, folder))
    made = [folder for folder in (parsed.out, *parsed.out.parents) if not folder.exists()]
    parsed.out.mkdir(parents=True, exist_ok=True)  # before the work, which can take hours
    try:
        found = evaluate_model(cast(Mender, network), plan)
    except BaseException as error:
        stopped = not isinstance(error, Exception) or isinstance(error.__cause__, BrokenProcessPool)
        if stopped and (parsed.out / NOTES).is_dir():
            _say_of_notes(parsed)
        with suppress(OSError):  # what was refused leaves nothing behind; what is not empty stays
            for folder in made:
                folder.rmdir()
        raise
    for remark in found.remarks:
        say(remark)
    _say_of_files("failed", found.failed)
    _say_of_files("incomplete", found.complaints)
    if not found.rows:
        say("no file could be evaluated")
        return NOTHING_DONE
    results = Results(_facts(parsed, plan, found, str(folder)), found.rows)
    lines = summarise(results)
    write_results(parsed.out, results)
    write_text(parsed.out / SUMMARY, as_csv(lines))
    found.notes.clear()
    print(as_table(lines, results.systems()))  # noqa: T201
    earlier = f", {found.kept} of them before" if found.kept else ""
    say(f"{parsed.out} holds {RESULTS} and more: {len({row.file for row in found.rows})} files were measured{earlier}")
    return FAILED_IN_PART if found.failed or found.complaints else 0


def _say_of_notes(parsed: argparse.Namespace) -> None:
    again = "the same command"
    if parsed.overwrite:
        moved = f", once {RESULTS} is moved away," if (parsed.out / RESULTS).exists() else ""
        again += f" without --overwrite{moved}"
    say(f"{parsed.out} keeps what is done: {again} goes on with the rest")


def _plan(parsed: argparse.Namespace, identity: Sequence[str]) -> Plan:
    return Plan(
        parsed.pairs,
        parsed.system or parsed.model.resolve().name,
        split=parsed.split,
        files=parsed.files,
        corpora=parsed.corpus,
        measures=parsed.measures,
        speech=parsed.speech,
        beside=tuple(parsed.beside),
        one_way=parsed.one_way,
        workers=parsed.workers,
        chunk_seconds=parsed.chunk_seconds,
        keep=parsed.out,
        afresh=parsed.overwrite,
        identity=identity,
    )


def _facts(parsed: argparse.Namespace, plan: Plan, found: Evaluation, folder: str) -> dict[str, object]:
    return {
        "system": plan.system,
        "model": folder,
        "pairs": str(plan.folder),
        "split": plan.split,
        "files_of_each_corpus": plan.files,
        "corpora": plan.corpora,
        "speech": plan.speech,
        "measures": found.measures,
        "beside": plan.beside,
        "one_way": plan.one_way,
        "device": parsed.device,
        "failed": found.failed,
        "incomplete": found.complaints,
        "versions": versions(),
    }


def _say_of_files(what: str, problems: Sequence[tuple[str, str]]) -> None:
    """Tell the user which files had a problem: one line a reason where many share it, ten lines at most."""
    reasons = Counter(reason for _, reason in problems)
    first = {reason: file for file, reason in reversed(problems)}
    for reason, count in reasons.most_common(MOST_SAID):
        others = f" (and {count - 1} more like it)" if count > 1 else ""
        say(f"{what}: {first[reason]}{others}: {reason}")
    if len(reasons) > MOST_SAID:
        say(f"{what}: {len(reasons) - MOST_SAID} more reasons, see {RESULTS}")
