"""Make the folder of the model that comes with unshift out of a run: weights, card, credits, how it was trained.

    python recipes/voice48/ship.py runs/voice48 generators/voice48 --figures figures.md --readme README.md

Run it again whenever the run or the figures are new; without --figures those of the card that is there stay.
"""

import argparse
import json
import re
import shutil
import sys
from collections.abc import Sequence
from hashlib import file_digest
from pathlib import Path
from string import Template
from typing import Any

import torch
import yaml
from huggingface_hub import ModelCardData
from torch import nn

from gan.data.manifest import MANIFEST, ManifestError, PairRecord, read_manifest
from gan.files import write_text
from gan.journal import JournalError
from gan.pairs.settings import SETTINGS
from generators import store
from generators.contract import ModelError
from generators.describing import build
from generators.measure import measure
from recipes.voice48.credits import ShipError, keep_credits, read_sources, recordings
from recipes.voice48.lineage import Stage, keep, lineage, read_words, table

LARGEST = 15_000_000  # bytes of weights
BLENDED = "What is shipped is the mean of the last run's weights and {}'s, of all that both have."
NONE_YET = "Not measured yet."
BETWEEN = re.compile(r"(<!-- figures -->\n).*?(\n<!-- /figures -->)", re.S)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, make the folder, and say what came out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", type=Path, help="the run whose best average is shipped")
    parser.add_argument("folder", type=Path, help="the folder to write, replaced if there: generators/voice48")
    blended = "an earlier run: the mean of both runs' weights is shipped, of those that both have"
    parser.add_argument("--blend", type=Path, metavar="RUN", help=blended)
    given = "YAML of a model: its arguments are shipped in place of the run's, as far as the weights fit them"
    parser.add_argument("--described", type=Path, metavar="YAML", help=given)
    parser.add_argument("--pairs", type=Path, help="what it was trained on (default: what the run names)")
    parser.add_argument("--sources", type=Path, help="the recordings' credits (default: sources.jsonl beside them)")
    parser.add_argument("--figures", type=Path, help="Markdown for the card's figures (default: those that are there)")
    parser.add_argument("--readme", type=Path, help="a file whose marked place gets the figures too")
    parsed = parser.parse_args(arguments)
    try:
        told = ship(
            parsed.run, parsed.folder, parsed.pairs, parsed.sources, parsed.figures, parsed.blend, parsed.described
        )
        if parsed.readme:
            write_text(parsed.readme, with_figures(parsed.readme.read_text("utf-8"), figures_of(parsed.folder)))
    except (ShipError, ModelError, ManifestError, JournalError, OSError, yaml.YAMLError) as error:
        print(f"ship: {error}", file=sys.stderr)  # noqa: T201
        return 2
    print(told)  # noqa: T201
    return 0


def ship(
    run: Path,
    folder: Path,
    pairs: Path | None,
    sources: Path | None,
    figures: Path | None,
    blend: Path | None = None,
    described: Path | None = None,
) -> str:
    """Write the folder, whole or not at all, and say how large and how exact the weights are.

    Args:
        run: a run's folder, or a generator's with no run around it.
        folder: is replaced where it stands.
        pairs: the folder of pairs; None for the one that the run names.
        sources: the recordings' credits, a JSON line each; None for sources.jsonl beside the recordings.
        figures: Markdown; None keeps what the folder's card has.
        blend: another run, or None; see `mix`.
        described: YAML of a model whose arguments replace the run's, or None: what needs no training.

    Raises:
        ShipError: something is missing, or the weights are too large.
        ModelError, ManifestError, JournalError, OSError: the run or its pairs are damaged.
    """
    network, spec = _network(store.resolve(run), described, blend)
    pairs = pairs or Path(str((read_words(run / "config.yaml").get("data") or {}).get("pairs") or ""))
    records, settings = read_manifest(pairs), read_words(pairs / SETTINGS)
    rows = read_sources(sources or Path(str(settings.get("source"))) / "sources.jsonl")
    shown = figures.read_text("utf-8").strip() if figures else figures_of(folder)
    partial = folder.with_name(folder.name + ".new")
    store.save(partial, network, spec, half=True)
    try:
        size = (partial / store.WEIGHTS).stat().st_size
        if size > LARGEST:
            raise ShipError(f"the weights take {size:,} bytes, more than {LARGEST:,}: take a smaller network")
        stages = lineage(run)
        keep(stages, partial / "training")
        _keep_pairs(pairs, settings, partial / "training")
        keep_credits(rows, partial)
        facts = _facts(partial, network, spec, records) | {"stages": table(stages), "recordings": recordings(rows)}
        facts |= _began(run) | {"blend": BLENDED.format(_numbered(blend, stages)) if blend else ""}
        body = Template((Path(__file__).with_name("card.md")).read_text("utf-8")).substitute(facts, figures=shown)
        write_text(partial / "README.md", f"---\n{_front(stages)}\n---\n\n{body}")
        if (folder / "critics").is_dir():  # of pack.py
            shutil.copytree(folder / "critics", partial / "critics")
        store.put_in_place(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return f"{folder}: {size:,} bytes of weights; 16 bits change the output by {_change(network, folder):.0f} dB"


def _network(origin: Path, described: Path | None, blend: Path | None) -> tuple[nn.Module, dict[str, Any]]:
    spec = store.describe(origin)
    if described:
        given = read_words(described)
        spec |= {name: given[name] for name in ("class_path",) if name in given}
        spec["init_args"] = spec["init_args"] | (given.get("init_args") or {})
    network = build(spec).eval()
    store.load_weights(origin, network)
    if blend:
        mix(network, store.load(store.resolve(blend)))
    return network, spec


def _numbered(blend: Path, stages: list[Stage]) -> str:
    """Say which of the runs the blended one is."""
    names = [stage.name for stage in stages]
    last = lineage(blend)[-1:]
    return f"run {names.index(last[0].name) + 1}" if last and last[0].name in names else f"another run ({blend.name})"


def mix(network: nn.Module, other: nn.Module) -> None:
    """Give a network the mean of its weights and another's, of all that both have (Wortsman et al. 2022).

    Between two stages of one training, which lie in one valley, the mean does better than either: what the critics
    taught and what the distances did.

    Raises:
        ShipError: the two have nothing in common.
    """
    theirs = other.state_dict()
    shared = {name: x for name, x in network.state_dict().items() if name in theirs and theirs[name].shape == x.shape}
    if not shared:
        raise ShipError("the run to blend with is of another network: name an earlier stage of the same")
    network.load_state_dict({name: (x + theirs[name]) / 2 for name, x in shared.items()}, strict=False)


def figures_of(folder: Path) -> str:
    """Give the figures of a shipped folder's card, "Not measured yet." where it has none."""
    card = folder / "README.md"
    found = BETWEEN.search(card.read_text("utf-8")) if card.is_file() else None
    return found[0].split("\n", 1)[1].rsplit("\n", 1)[0] if found else NONE_YET


def with_figures(text: str, figures: str) -> str:
    """Put figures where a text has `<!-- figures -->` and `<!-- /figures -->` on lines of their own.

    Raises:
        ShipError: it has no such place.
    """
    if not BETWEEN.search(text):
        raise ShipError("there is no place for figures: write <!-- figures -->, a line and <!-- /figures -->")
    return BETWEEN.sub(lambda place: f"{place[1]}{figures}{place[2]}", text)


def _keep_pairs(pairs: Path, settings: dict[str, Any], folder: Path) -> None:
    digests = {}
    for name in (MANIFEST, SETTINGS):
        if (pairs / name).is_file():
            with (pairs / name).open("rb") as file:
                digests[name] = file_digest(file, "sha256").hexdigest()
    words = {"sha256": digests, "settings": settings | {"source": Path(str(settings.get("source"))).name}}
    write_text(folder / "pairs.json", json.dumps(words, indent=1) + "\n")


def _facts(folder: Path, network: torch.nn.Module, spec: dict[str, Any], records: list[PairRecord]) -> dict[str, str]:
    found = measure(network)
    with (folder / store.WEIGHTS).open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    trained = [record for record in records if record.split == "train"]
    return {
        "class_path": spec["class_path"],
        "parameters": f"{found.parameters:,}",
        "megabytes": f"{(folder / store.WEIGHTS).stat().st_size / 1e6:.1f}",
        "sample_rate": str(found.sample_rate),
        "reach": f"{1000 * found.reach / found.sample_rate:.0f}",
        "safety": _safety(spec["init_args"]),
        "macs": f"{found.macs_per_second / 1e6:,.0f}",
        "sha256": digest,
        "pairs": f"{len(trained):,} to train on, {sum(record.seconds for record in trained) / 60:,.0f} minutes",
        "shifts": ", ".join(f"{shift:+g}" for shift in sorted({record.semitones for record in trained})),
        "shifters": ", ".join(sorted({record.shifter for record in trained} - {"none"})),
    }


def _safety(given: dict[str, Any]) -> str:
    """Give rows of the card's table on what keeps a network from doing harm, where it has it."""
    rows = ""
    if "hold" in given:
        seconds = given["hold"] * given["hop"] / given["sample_rate"]
        rows += (
            f"| gate | hears for {seconds:.1f} s whether a sound was shifted; changes nothing up to a probability of "
        )
        rows += f"{given['shut']:g}, all that it would from {given['wide']:g} on (set after training) |\n"
    if given.get("rise") is not None:
        rows += f"| limit | nothing gets louder by more than {given['rise']:g} dB (set after training) |\n"
    return rows


def _began(run: Path) -> dict[str, str]:
    known = read_words(run / "provenance.json")
    devices = known.get("devices")
    return {
        "started": str(known.get("started") or "at an unknown time"),
        "commit": str(known.get("commit") or "unknown"),
        "devices": ", ".join(map(str, devices)) if isinstance(devices, list) else "an unknown device",
    }


def _front(stages: list[Stage]) -> str:
    values: dict[str, float] = next(
        (one["values"] for stage in stages[-1:] for one in stage.journal if one["kind"] == "validation"), {}
    )
    data = ModelCardData(
        license="mit",
        library_name="unshift",
        pipeline_tag="audio-to-audio",
        tags=["audio", "audio-restoration", "pitch-shifting", "singing", "speech"],
        metrics=sorted(name for name in values if not name.endswith("_baseline")) or None,
    )
    return data.to_yaml()


def _change(exact: torch.nn.Module, folder: Path) -> float:
    """How far off the shipped weights' output is from the exact ones', in dB below it, for a second of noise."""
    generator = torch.Generator().manual_seed(0)
    shipped = store.load(folder)
    noise = 0.1 * torch.randn(1, 1, measure(exact).sample_rate, generator=generator)
    with torch.no_grad():
        outputs = [network.restore(noise) for network in (exact, shipped)]  # type: ignore[operator]
    error = (outputs[1] - outputs[0]).square().mean() / outputs[0].square().mean()
    return float(10 * torch.log10(error + 1e-30))


if __name__ == "__main__":
    sys.exit(main())
