"""The demo's page: its sentences follow from its numbers, and it holds together as one file."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gan.metrics import LOWER_IS_BETTER, measure_pair
from gan.report.page import Section, Track, make_clip, render
from gan.report.pictures import Curve

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "demo"))  # the demo is a folder of scripts, not a package

import page  # noqa: E402
import scores  # noqa: E402

VOICE = ROOT / "demo/clips/kathleen/speech_en_kathleen_1.flac"


def some_scores(changes: dict[str, list[float]], before: float = 2.0) -> list[scores.Score]:
    """Invent the mel distances of clips, two a recording: `before` unrepaired, plus the change of each stage."""
    made = []
    for system, values in {scores.BASELINE: [0.0] * len(next(iter(changes.values()))), **changes}.items():
        for i, change in enumerate(values):
            figures = {"mel": before + change, "si_sdr": -10.0 - change}
            made.append(scores.Score(system, f"clip{i}", f"voice{i // 2}", [-12.0, 12.0][i % 2], figures))
    return made


@pytest.fixture(scope="module")
def content() -> page.Content:
    wave, rate = soundfile.read(VOICE, dtype="float32", always_2d=True)
    tracks = [Track("original", wave.T, reference=True), Track("restored", wave.T * 0.9, "a <note>")]
    curve = Curve("stage 1", {"loss/mel": [(0, 3.0), (10, 2.0)]}, {"mel": [(10, 1.0)]})
    figures = some_scores({"stage 1": 3 * [-0.2, -0.3, -0.1, -0.2], "stage 2": 3 * [0.2, 0.1, 0.1, 0.1]})
    return page.Content(
        clips=[make_clip("a voice", tracks, rate, 1.0)],
        scores=figures,
        stages=["stage 1", "stage 2"],
        curves=[curve, curve, curve],
        card=Section("Model card", "<p>a card</p>"),
        credits=[page.Credit("a.flac", "CC-BY-4.0", "MTG <sms>")],
        times=[("Train", "3 min")],
    )


@pytest.mark.parametrize(
    ("changes", "word", "percent"),
    [
        (3 * [-0.2, -0.2, -0.4, -0.4], "Better", "-15.0 %"),
        (3 * [0.2, 0.2, 0.4, 0.4], "Worse", "+15.0 %"),
        (3 * [-0.2, -0.2, 0.2, 0.2], "No clear change", "+0.0 %"),
    ],
)
def test_the_headline_says_which_way_it_went(changes: list[float], word: str, percent: str) -> None:
    sentence = scores.headline(some_scores({"stage 3": changes}), "stage 3")
    assert sentence.startswith(f"{word}: on 12 shifted clips from 6 recordings")
    assert percent in sentence
    assert "2.000 (unrepaired)" in sentence


def test_clips_that_were_not_shifted_do_not_count_in_the_headline() -> None:
    made = some_scores({"stage 3": [-0.2, -0.2, -0.4, -0.4]})
    clean = [scores.Score(system, "clean", "voice0", 0.0, {"mel": 0.0}) for system in (scores.BASELINE, "stage 3")]
    assert scores.headline([*made, *clean], "stage 3") == scores.headline(made, "stage 3")


def test_better_is_higher_for_si_sdr() -> None:
    made = some_scores({"stage 3": 3 * [-0.2, -0.2, -0.4, -0.4]})
    found = scores.compare(made, "stage 3", "si_sdr")
    assert found.change == pytest.approx(0.3)
    assert found.verdict(scores.METRICS["si_sdr"].lower_is_better) == "better"


def test_the_columns_are_what_is_measured() -> None:
    noise = np.random.default_rng(0).normal(size=(1, 24000)).astype(np.float32)
    measured = measure_pair(noise, 0.9 * noise, 48000)
    assert set(scores.METRICS) == set(measured)
    assert {name for name, metric in scores.METRICS.items() if metric.lower_is_better} == set(LOWER_IS_BETTER)


def test_a_clip_counts_in_both_means_or_in_neither() -> None:
    made = some_scores({"stage 3": [1.0, float("nan"), 1.0, float("inf")]})
    found = scores.compare(made, "stage 3", "mel")
    assert (found.mean, found.baseline, found.change) == (3.0, 2.0, 1.0)
    assert scores.compare(made, "stage 3", "stft") is None
    assert scores.compare(made, "stage 9", "mel") is None


def test_clips_of_one_recording_do_not_count_as_independent() -> None:
    rng = np.random.default_rng(1)
    voices = np.repeat(rng.normal(size=8), 50)
    changes = list(voices + 0.01 * rng.normal(size=400))
    by_recording = scores.interval(changes, [f"voice{i // 50}" for i in range(400)])
    by_clip = scores.interval(changes, [str(i) for i in range(400)])
    assert by_recording[1] - by_recording[0] > 4 * (by_clip[1] - by_clip[0])


def test_the_interval_holds_the_true_mean_about_as_often_as_it_says() -> None:
    held = 0
    for seed in range(200):
        drawn = np.random.default_rng(seed).normal(0.5, 1.0, size=30)
        low, high = scores.interval(list(drawn), [str(i) for i in range(30)], draws=400)
        held += low <= 0.5 <= high
    assert 0.88 <= held / 200 <= 0.99


def test_the_page_has_every_part_and_loads_nothing(content: page.Content) -> None:
    html = render(page.compose(content))
    addresses = re.findall(r'(?:src|srcset|href)="([^"]{0,40})', html)
    assert len(addresses) == 6, "two players, one picture, two curves and the licence"
    assert all(a.startswith(("data:", "https://creativecommons.org/")) for a in addresses)
    assert "<sms>" not in html
    for part in ("a voice", "a &lt;note&gt;", "a card", "<dt>Train</dt><dd>3 min</dd>", "<code>a.flac</code>"):
        assert part in html


def test_the_table_has_the_baseline_and_marks_what_got_worse(content: page.Content) -> None:
    html = render(page.compose(content))
    assert 'unrepaired</th><th scope="col">stage 1</th><th scope="col">stage 2</th>' in html
    assert 'class="headline worse"' in html, "the headline is about the last stage"
    assert "1.800<small" in html
    assert '<small class="better">-0.200 better</small>' in html
    assert '<small class="worse">+0.125' in html
    assert "<td>6</td><td>2.000</td><td>1.850</td><td>2.150</td>" in html, "the row of one shift"


def test_credits_come_from_the_licence_table() -> None:
    table = (ROOT / "demo/clips/LICENCES.md").read_text()
    clips = {p.name for p in (ROOT / "demo/clips").glob("*/*.flac")}
    credited = page.read_credits(table, clips)
    assert {c.file for c in credited} == clips, "every clip that the repository carries has its licence"
    assert {c.licence for c in credited} == {"CC0-1.0", "CC-BY-4.0"}
    with pytest.raises(ValueError, match=r"unknown\.flac"):
        page.read_credits(table, {"unknown.flac"})


def of_corpora(speech: list[float], singing: list[float]) -> list[scores.Score]:
    """Invent the changes of a recording each, one clip, of the two corpora of the demo."""
    made = []
    for folder, changes in (("sms_male", speech), ("vignesh", singing)):
        for i, change in enumerate(changes):
            for system, mel in ((scores.BASELINE, 2.0), ("stage 3", 2.0 + change)):
                made.append(scores.Score(system, f"{folder}{i}", f"{folder}/{i}.flac", 12.0, {"mel": mel}))
    return made


def test_speech_and_singing_are_never_pooled() -> None:
    made = of_corpora(6 * [-0.2], 6 * [0.4])
    assert {row.corpus for row in page.rows(made)} == {"speech", "singing"}
    speech, singing = page.sentences(made, "stage 3")
    assert speech.startswith("Speech: Better: on 6 shifted clips from 6 recordings") and "-10.0 %" in speech
    assert singing.startswith("Singing: Worse: on 6 shifted clips from 6 recordings") and "+20.0 %" in singing
    assert page.mood(made, "stage 3") == "worse"
    assert page.mood(of_corpora(6 * [-0.2], 6 * [-0.4]), "stage 3") == "better"
    assert page.mood(of_corpora(6 * [-0.2], [-0.2, 0.2, -0.2, 0.2, -0.2, 0.2]), "stage 3") == "unclear"


def test_what_is_held_out_has_its_corpus() -> None:
    import make

    assert set(make.TEST) == set(page.CORPORA), "none is another recording"


def test_what_the_demo_holds_out_the_shipped_restorer_never_heard() -> None:
    import make

    table = (ROOT / "demo/clips/LICENCES.md").read_text().splitlines()
    held_out = {file.name for name in make.TEST for file in (make.CLIPS / name).glob("*.flac")}
    sounds = [
        re.search(r"sounds/\S+\.wav", line)
        for line in table
        if line.split("|")[1:2] and line[2:].split(" ")[0] in held_out
    ]
    assert len(sounds) == 3 and all(sounds)
    credited = (ROOT / "generators/voice48/credits.tsv").read_text()
    assert "sounds/organ-C3.wav" in credited, "others of that collection it did hear"
    assert not [found[0] for found in sounds if found and found[0] in credited]


def test_the_shipped_restorer_stands_beside_the_stages(content: page.Content) -> None:
    shipped = [score for score in content.scores if score.system == "stage 1"]
    more = [*content.scores, *(replace(score, system="voice48") for score in shipped)]
    about = "---\nlicense: mit\n---\n\n# voice48 & more\n"
    html = render(page.compose(replace(content, scores=more, shipped="voice48", about=about)))
    assert 'scope="col">stage 2</th><th scope="col">voice48</th>' in html
    assert "that training never saw, voice48 brings the mel distance down from 2.000" in html
    assert "# voice48 &amp; more" in html and "license: mit" not in html
    assert "voice48" not in render(page.compose(content))


def test_a_few_recordings_are_said_to_be_few() -> None:
    assert page.sentences(of_corpora(6 * [-0.2], [-0.4]), "stage 3")[-1] == page.FEW
    assert page.FEW not in page.sentences(of_corpora(6 * [-0.2], 6 * [-0.4]), "stage 3")


def test_the_demo_fails_where_a_corpus_did_not_get_better() -> None:
    assert page.risen(of_corpora([-0.2, -0.1], [-0.1]), "stage 3") == []
    assert page.risen(of_corpora([-0.9, -0.9], [0.1]), "stage 3") == ["singing"], "which the mean over both would hide"
    assert page.risen(of_corpora([0.0], [float("nan")]), "stage 3") == ["speech", "singing"]
