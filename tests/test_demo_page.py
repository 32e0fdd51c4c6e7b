"""The demo's page: its sentences follow from its numbers, and it holds together as one file."""

import base64
import io
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gan.metrics import LOWER_IS_BETTER, measure_pair

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "demo"))  # the demo is a folder of scripts, not a package

import page  # noqa: E402
import pictures  # noqa: E402
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
    tracks = [("original", wave.T), ("shifted", wave.T * 0.5), ("restored", wave.T * 0.9)]
    players = tuple(page.Player(label, VOICE.read_bytes(), "a <note>") for label, _ in tracks)
    example = page.Example("voice & <title>", players, pictures.spectrograms(tracks, rate))
    curve = pictures.Curve("stage 1", {"loss/mel": [(0, 3.0), (10, 2.0)]}, {"mel": [(10, 1.0)]})
    drawn = {mode: pictures.loss_curves([curve, curve, curve], mode) for mode in ("light", "dark")}
    figures = some_scores({"stage 1": [-0.2, -0.3, -0.1, -0.2], "stage 2": [0.2, 0.1, 0.1, 0.1]})
    credited = [page.Credit("a.flac", "CC-BY-4.0", "MTG <sms>")]
    return page.Content([example], figures, ["stage 1", "stage 2"], drawn, credited, [("time", "3 min")])


@pytest.mark.parametrize(
    ("changes", "word", "percent"),
    [
        ([-0.2, -0.2, -0.4, -0.4], "Better", "-15.0 %"),
        ([0.2, 0.2, 0.4, 0.4], "Worse", "+15.0 %"),
        ([-0.2, -0.2, 0.2, 0.2], "No clear change", "+0.0 %"),
    ],
)
def test_the_headline_says_which_way_it_went(changes: list[float], word: str, percent: str) -> None:
    sentence = scores.headline(some_scores({"stage 3": changes}), "stage 3")
    assert sentence.startswith(f"{word}: on 4 shifted clips from 2 recordings")
    assert percent in sentence
    assert "2.000 (unrepaired)" in sentence


def test_clips_that_were_not_shifted_do_not_count_in_the_headline() -> None:
    made = some_scores({"stage 3": [-0.2, -0.2, -0.4, -0.4]})
    clean = [scores.Score(system, "clean", "voice0", 0.0, {"mel": 0.0}) for system in (scores.BASELINE, "stage 3")]
    assert scores.headline([*made, *clean], "stage 3") == scores.headline(made, "stage 3")


def test_better_is_higher_for_si_sdr() -> None:
    made = some_scores({"stage 3": [-0.2, -0.2, -0.4, -0.4]})
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


def test_the_page_is_one_whole_file(content: page.Content) -> None:
    html = page.render(content)
    addresses = re.findall(r'(?:src|srcset|href)="([^"]{0,40})', html)
    assert len(addresses) == 7, "three players, one picture, two curves and the licence"
    assert all(a.startswith(("data:", "https://creativecommons.org/")) for a in addresses)
    audio = re.findall(r'data:audio/flac;base64,([^"]+)"', html)
    assert [base64.b64decode(a) for a in audio] == [VOICE.read_bytes()] * 3
    for picture in re.findall(r'data:image/png;base64,([^"]+)"', html):
        assert base64.b64decode(picture).startswith(b"\x89PNG")


def test_the_page_is_well_formed_and_escaped(content: page.Content) -> None:
    html = page.render(content)
    assert "voice &amp; &lt;title&gt;" in html
    assert "a &lt;note&gt;" in html
    assert "<sms>" not in html
    assert "$" not in re.sub(r"base64,[^\"]+", "", html)
    open_tags = []

    class Check(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in {"meta", "img", "source"}:
                open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

    Check().feed(html)
    assert open_tags == []


def test_the_table_has_the_baseline_and_marks_what_got_worse(content: page.Content) -> None:
    html = page.render(content)
    assert html.index("unrepaired</th>") < html.index('row">stage 1</th>') < html.index('row">stage 2</th>')
    assert 'class="headline worse"' in html, "the headline is about the last stage"
    assert "1.800<small" in html
    assert '<small class="better">-0.200 better</small><small>-0.250 to -0.150</small>' in html
    assert '<small class="worse">+0.125' in html
    assert "<td>2</td><td>2.000</td><td>1.850</td><td>2.150</td>" in html, "the row of one shift"


def test_credits_come_from_the_licence_table() -> None:
    table = (ROOT / "demo/clips/LICENCES.md").read_text()
    clips = {p.name for p in (ROOT / "demo/clips").glob("*/*.flac")}
    credited = page.read_credits(table, clips)
    assert {c.file for c in credited} == clips, "every clip that the repository carries has its licence"
    assert {c.licence for c in credited} == {"CC0-1.0", "CC-BY-4.0"}
    with pytest.raises(ValueError, match=r"unknown\.flac"):
        page.read_credits(table, {"unknown.flac"})


def test_a_curve_leaves_out_what_is_not_finite() -> None:
    entries = [
        {"kind": "train", "step": 0, "values": {"loss/mel": 3.0, "loss/total": float("nan")}},
        {"kind": "note", "step": 1, "values": {"x": 1.0}},
        {"kind": "validation", "step": 10, "values": {"mel": 1.5, "mel_baseline": 2.0}},
    ]
    made = pictures.curve("stage 1", entries)
    assert made.train == {"loss/mel": [(0, 3.0)]}
    assert made.validation == {"mel": [(10, 1.5)], "mel_baseline": [(10, 2.0)]}


def test_a_sine_stands_at_its_frequency_and_level() -> None:
    rate = 48000
    time = np.arange(rate) / rate
    sine = 0.5 * np.sin(2 * np.pi * 3000 * time, dtype=np.float64)[None]
    level = pictures.power_db(sine)
    bins = np.argmax(level, axis=0)
    assert set(bins.tolist()) == {round(3000 * pictures.WINDOW / rate)}
    assert np.median(level.max(axis=0)) == pytest.approx(20 * np.log10(0.5), abs=0.1)


def test_a_clip_shorter_than_a_window_has_a_picture() -> None:
    drawn = pictures.spectrograms([("a", np.zeros((1, 1), np.float32)), ("b", np.zeros((2, 100), np.float32))], 8000)
    assert io.BytesIO(drawn).read(4) == b"\x89PNG"
