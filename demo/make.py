"""The demo: make pairs, train three tiny stages, mend held-out clips with them and with the restorer that comes with
unshift, measure, and write demo/index.html.

Run it with `make demo`. It begins afresh each time; what an earlier run left in demo/work is removed.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from page import Content, compose, read_credits, risen, sentences
from scores import BASELINE, Score
from tqdm import tqdm

from gan.audio import AudioError, read
from gan.data.dataset import select
from gan.data.manifest import ManifestError, PairRecord, read_manifest
from gan.files import write_text
from gan.journal import read_journal
from gan.metrics import measure_pair
from gan.report.card import model_card
from gan.report.page import ORIGINAL, SHIFTED, Clip, Track, make_clip, render
from gan.report.pictures import curve
from generators.store import SHIPPED, SHIPPED_FOLDER

ROOT = Path(__file__).parents[1]
CLIPS = ROOT / "demo/clips"
WORK = ROOT / "demo/work"
PAGE = ROOT / "demo/index.html"
PAIRS = WORK / "pairs"
HELD_OUT = WORK / "held_out"
STAGES = {"stage 1": "stage1", "stage 2": "stage2", "stage 3": "stage3"}
BEFORE = {"stage2": "stage1", "stage3": "stage2"}
LAST = list(STAGES)[-1]
SYSTEMS = {**STAGES, SHIPPED: SHIPPED}
SEMITONES = ("-12", "-7", "0", "7", "12")
# With this seed kerstin, a speaker with one clip, validates; two speakers, a singer and a cello are trained on.
SEED = "13"
# Nobody of these is trained on, by the shipped restorer neither: a woman and a man who speak, a man who sings.
TEST = ("sms_female", "sms_male", "vignesh")
# What the page lets one hear; the table has every clip.
LISTEN = (("sms_female", 12.0), ("sms_male", -12.0), ("vignesh", 12.0))


class DemoError(RuntimeError):
    """A step failed; the message is one line."""


def main() -> int:
    """Take every step, and stop at the first that fails."""
    begun = time.monotonic()
    times: list[tuple[str, float]] = []
    try:
        shutil.rmtree(WORK, ignore_errors=True)
        WORK.mkdir(parents=True)
        with step(1, "Make pairs: shift every clip there and back", times):
            unshift("pairs", CLIPS, PAIRS, "--semitones", *SEMITONES, "--held-out", *TEST, "--seed", SEED)
            records = gather()
        for number, (stage, name) in enumerate(STAGES.items(), start=2):
            with step(number, f"Train {stage}", times):
                train(name)
        with step(5, f"Mend {len(records)} held-out clips with each stage and with {SHIPPED}", times):
            for name in STAGES.values():
                unshift("restore", HELD_OUT / "shifted", HELD_OUT / name, "--model", WORK / name)
            unshift("restore", HELD_OUT / "shifted", HELD_OUT / SHIPPED)
        with step(6, "Measure", times):
            scores = measure(records)
        with step(7, f"Write {PAGE.relative_to(ROOT)}", times):
            write_text(PAGE, render(compose(content(records, scores, times))))
    except (DemoError, AudioError, ManifestError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted", file=sys.stderr)
        return 130
    told = "\n".join(sentences(scores, LAST, SHIPPED))
    print(f"\n{told}\n\n{PAGE.relative_to(ROOT)} is ready after {time.monotonic() - begun:.0f} s.")
    print(f"Mend a file of yours with {SHIPPED}: .venv/bin/unshift restore IN OUT")
    print(f"or with what was trained now: the same, and --model {(WORK / STAGES[LAST]).relative_to(ROOT)}")
    # Three recordings allow no verdict; that the means go down says at least that the parts work together.
    if worse := risen(scores, LAST):
        print(f"demo: the mel distance of {' and '.join(worse)} did not go down, as it ought to", file=sys.stderr)
        return 1
    return 0


@contextmanager
def step(number: int, title: str, times: list[tuple[str, float]]) -> Iterator[None]:
    """Print a numbered heading, and the time that the step took."""
    print(f"\n[{number}/7] {title}", flush=True)
    begun = time.monotonic()
    yield
    times.append((title, time.monotonic() - begun))
    print(f"      {times[-1][1]:.0f} s", flush=True)


def unshift(*arguments: str | Path) -> None:
    """Run the installed command.

    Raises:
        DemoError: it failed; its own message stands above.
    """
    call([str(Path(sys.executable).with_name("unshift")), *map(str, arguments)])


def train(name: str) -> None:
    """Run a stage's script under Accelerate with its tiny configuration; it writes demo/work/<name>.

    Raises:
        DemoError: it failed; its own message stands above.
    """
    where = [] if torch.cuda.is_available() else ["--cpu"]
    folders = ["--folder", str(WORK / name), "--data.pairs", str(PAIRS)]
    if (before := BEFORE.get(name)) is not None:
        folders += ["--initialise.folder", str(WORK / before)]
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "1", "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", *where]
    launch += ["--num_cpu_threads_per_process", str(os.cpu_count() or 1)]
    call([*launch, f"recipes/{name}.py", "--config", f"recipes/tiny/{name}.yaml", *folders])


def call(command: Sequence[str]) -> None:
    """Run a command in the repository's root, its progress bars in this terminal.

    Raises:
        DemoError: it gave another exit code than 0.
    """
    # Nothing here needs a model hub, and a warning of a child is not a figure of the demo.
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    if code:
        raise DemoError(f"`{' '.join(command)}` failed with exit code {code}")


def clip_name(record: PairRecord) -> str:
    """Name a held-out clip by its recording and shift."""
    return f"{record.speaker}_{Path(record.origin).stem}_{record.semitones:+g}{Path(record.source).suffix}"


def gather() -> list[PairRecord]:
    """Copy the shifted side of the test pairs to one folder, and give their records.

    Raises:
        ManifestError: there is no test pair.
    """
    records = select(PAIRS, "test")
    (HELD_OUT / "shifted").mkdir(parents=True)
    for record in records:
        shutil.copyfile(PAIRS / record.source, HELD_OUT / "shifted" / clip_name(record))
    return records


def measure(records: Sequence[PairRecord]) -> list[Score]:
    """Measure every held-out clip, unrepaired and as each system mends it, against the original."""
    scores = []
    for record in tqdm(records, desc="measure", unit="clip"):
        target, rate = read(PAIRS / record.target)
        for system, folder in {BASELINE: "shifted", **SYSTEMS}.items():
            estimate, _ = read(HELD_OUT / folder / clip_name(record))
            values = measure_pair(estimate, target, rate)
            scores.append(Score(system, clip_name(record), record.origin, record.semitones, values))
    return scores


def content(records: Sequence[PairRecord], scores: Sequence[Score], times: Sequence[tuple[str, float]]) -> Content:
    """Put together what the page shows."""
    chosen = [r for listen in LISTEN for r in records if (r.speaker, r.semitones) == listen]
    files = {Path(record.origin).name for record in read_manifest(PAIRS)}
    return Content(
        clips=[clip(record, scores) for record in chosen or records[:1]],
        scores=scores,
        stages=list(STAGES),
        shipped=SHIPPED,
        about=(SHIPPED_FOLDER / "README.md").read_text(encoding="utf-8"),
        curves=[curve(stage, read_journal(WORK / name)) for stage, name in STAGES.items()],
        card=model_card(WORK / STAGES[LAST], PAIRS),
        credits=read_credits((CLIPS / "LICENCES.md").read_text(encoding="utf-8"), files),
        times=[(title, f"{seconds:.0f} s") for title, seconds in times],
    )


def clip(record: PairRecord, scores: Sequence[Score]) -> Clip:
    """Make the players and the spectrograms of a held-out clip."""
    mel = {s.system: s.values["mel"] for s in scores if s.clip == clip_name(record)}
    original, rate = read(PAIRS / record.target)
    tracks = [Track(ORIGINAL, original, reference=True)]
    for label, system, folder in (
        (SHIFTED, BASELINE, "shifted"),
        (LAST, LAST, STAGES[LAST]),
        (SHIPPED, SHIPPED, SHIPPED),
    ):
        change = f", {100 * (mel[system] / mel[BASELINE] - 1):+.1f} %" if system != BASELINE else ""
        wave, _ = read(HELD_OUT / folder / clip_name(record))
        tracks.append(Track(label, wave, f"mel distance {mel[system]:.3f}{change}"))
    return make_clip(f"{record.speaker}, {record.semitones:+g} semitones and back", tracks, rate)


if __name__ == "__main__":
    sys.exit(main())
