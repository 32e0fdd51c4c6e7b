"""What the shipped restorer is worth, as Markdown tables, out of what `unshift evaluate` wrote.

    unshift evaluate generators/voice48 held_out_pairs --out results --speech women men
    python recipes/voice48/figures.py results > figures.md

Each corpus stands for itself. A change is the mean over recordings, with its 95 % bootstrap interval over recordings:
in bold where that excludes 0 on the better side, in italics where it does on the worse.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from gan.evaluating.compare import STILL, material_of, system_of
from gan.evaluating.measures import CATALOGUE
from gan.evaluating.results import UNREPAIRED, Results, ResultsError, Row, read_results
from gan.evaluating.statistics import difference, mean

SHIFTED = (
    "mel",
    "stft",
    "lsd_0_4k",
    "lsd_4_8k",
    "lsd_8_16k",
    "lsd_16_24k",
    "envelope",
    "f0_median",
    "visqol",
    "distillmos",
)
CLEAN = ("mel", "stft", "f0_median", "si_sdr", "visqol", "distillmos")
Pairs = list[tuple[Row, Row]]


def tables(results: Results) -> Iterator[str]:
    """Give the lines of all tables."""
    system = system_of(results, None, "results")
    before, after = results.of(UNREPAIRED), results.of(system)
    materials: dict[str, Pairs] = {}
    for file, row in after.items():
        materials.setdefault(material_of(row), []).append((row, before[file]))
    for measures, still, words in (
        (SHIFTED, False, "Shifted and back again, unrepaired to mended:"),
        (CLEAN, True, 'What was never shifted, as it was to "mended" (all that a model can do is harm):'),
    ):
        names = [name for name, pairs in materials.items() if (pairs[0][0].semitones == 0) is still]
        yield from ("", words, "", f"| | {' | '.join(name.removesuffix(STILL) for name in names)} |")
        yield "|---" * (len(names) + 1) + "|"
        counts = [len({row.recording for row, _ in materials[name]}) for name in names]
        yield f"| recordings | {' | '.join(map(str, counts))} |"
        for measure in measures:
            cells = [_cell(materials[name], measure) for name in names]
            if any(cell != "-" for cell in cells):
                yield f"| {_label(measure)} | {' | '.join(cells)} |"
    yield from _gaps(materials, "distillmos")


def _label(measure: str) -> str:
    known = CATALOGUE[measure]
    return f"{known.label}{f', {known.unit}' if known.unit else ''} ({'lower' if known.lower_is_better else 'higher'})"


def _cell(pairs: Pairs, measure: str) -> str:
    """Give "before to after: change (interval)", or a dash where the measure was not taken."""
    both = [(a, b) for a, b in pairs if measure in a.values and measure in b.values]
    found = None
    if both:
        ours, theirs = ([row.values[measure] for row in side] for side in zip(*both, strict=True))
        found = difference(ours, theirs, [row.recording for row, _ in both])
    if found is None:
        return "-"
    text = f"{found.change:+.3g} ({found.low:+.3g} to {found.high:+.3g})"
    sign = -1 if CATALOGUE[measure].lower_is_better else 1
    if min(sign * found.low, sign * found.high) > 0:
        text = f"**{text}**"
    elif max(sign * found.low, sign * found.high) < 0:
        text = f"*{text}*"
    return f"{found.baseline:.3g} to {found.mean:.3g}: {text}"


def _gaps(materials: dict[str, Pairs], measure: str) -> Iterator[str]:
    """Say shift by shift how much of what a shift costs in a measure of the output alone is won back."""
    spoken = [name for name, pairs in materials.items() if any(measure in row.values for row, _ in pairs)]
    shifted = [name for name in spoken if not name.endswith(STILL) and name + STILL in materials]
    if not shifted:
        return
    label = CATALOGUE[measure].label
    words = "unrepaired, mended, never shifted, and how much of the gap is closed (the gain's 95 % interval)"
    yield from ("", f"{label} by shift: {words}:", "")
    yield f"| semitones | {' | '.join(shifted)} |"
    yield "|---" * (len(shifted) + 1) + "|"
    for shift in sorted({row.semitones for name in shifted for row, _ in materials[name]}):
        cells = []
        for name in shifted:
            pairs = [pair for pair in materials[name] if pair[0].semitones == shift]
            pairs = [pair for pair in pairs if all(measure in row.values for row in pair)]
            if not pairs:
                cells.append("-")
                continue
            still = [pair for pair in materials[name + STILL] if measure in pair[1].values]
            clean = mean([row.values[measure] for _, row in still], [row.recording for row, _ in still])
            cells.append(_closed(pairs, measure, clean))
        yield f"| {shift:+g} | {' | '.join(cells)} |"


def _closed(pairs: Pairs, measure: str, clean: float) -> str:
    """Give both means and the clean one's, and the gain as a share of the gap between, with the gain's interval."""
    ours, theirs = ([row.values[measure] for row in side] for side in zip(*pairs, strict=True))
    found = difference(ours, theirs, [row.recording for row, _ in pairs])
    assert found is not None  # there are pairs
    gap = clean - found.baseline
    shares = [100 * gain / gap for gain in (found.change, found.low, found.high)] if gap > 0 else []
    closed = "{:.0f} % ({:.0f} to {:.0f})".format(*shares) if shares else "no gap"
    return f"{found.baseline:.2f}, {found.mean:.2f}, {clean:.2f}: {closed}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("results", type=Path, help="what `unshift evaluate` wrote")
    parsed = parser.parse_args(arguments)
    try:
        results = read_results(parsed.results)
    except ResultsError as error:
        parser.error(str(error))
    sys.stdout.write("\n".join(tables(results)).lstrip("\n") + "\n")


if __name__ == "__main__":
    main()
