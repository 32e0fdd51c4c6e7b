"""The report's parts: equal loudness, tables that never pool corpora, pictures, and a page that is one whole file."""

import base64
import dataclasses
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gan.evaluating.measures import CATALOGUE
from gan.evaluating.results import UNREPAIRED, Row
from gan.report import pictures
from gan.report.evaluations import choose
from gan.report.page import Clip, Page, Section, Source, Track, curves, make_clip, render, within
from gan.report.sound import alike, flac, loudness, matching_gains
from gan.report.tables import figures

RATE = 48000
VOICE = Path(__file__).parents[1] / "demo/clips/kathleen/speech_en_kathleen_1.flac"


def sine(seconds: float, level: float = 1.0, hertz: float = 997.0) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return (level * np.sin(2 * np.pi * hertz * time)).astype(np.float32)[None]


def row(file: str, system: str, mel: float, corpus: str = "speech", semitones: float = 12.0, **more: str) -> Row:
    words = {"recording": file, "speaker": "someone", "shifter": "Signalsmith", "direction": "there_and_back"} | more
    return Row(file=file, corpus=corpus, semitones=semitones, system=system, values={"mel": mel}, **words)


def clip(title: str = "voice & <title>", note: str = "a <note>") -> Clip:
    wave, rate = soundfile.read(VOICE, dtype="float32", always_2d=True)
    tracks = [Track("original", wave.T, reference=True), Track("shifted", wave.T * 0.5, note)]
    return make_clip(title, tracks, rate, 1.0)


def test_a_sine_is_as_loud_as_the_standard_says() -> None:
    # BS.1770-4: 997 Hz at full scale in one channel reads -3.01 LKFS, in both channels 3 dB more.
    assert loudness(sine(2), RATE) == pytest.approx(-3.01, abs=0.05)
    assert loudness(np.repeat(sine(2), 2, axis=0), RATE) == pytest.approx(0.0, abs=0.05)
    assert loudness(np.concatenate([sine(2), 0 * sine(2)], axis=1), RATE) == pytest.approx(-3.01, abs=0.4), "gated"
    assert loudness(sine(0.1), RATE) == pytest.approx(-3.01, abs=0.1), "shorter than a block"
    assert loudness(np.zeros((1, RATE), np.float32), RATE) == -np.inf


def test_gains_make_sounds_equally_loud_and_clip_none(voice: np.ndarray) -> None:
    crest = voice[None] / np.abs(voice).max()
    waves = [sine(1, 0.5), crest, sine(1, 0.05), np.zeros((1, RATE), np.float32)]
    gains = matching_gains(waves, RATE)
    loud = [loudness(np.float32(gain) * wave, RATE) for gain, wave in zip(gains, waves, strict=True)]
    assert loud[:3] == pytest.approx([loud[0]] * 3, abs=0.05)
    assert max(gain * np.abs(wave).max() for gain, wave in zip(gains, waves, strict=True)) <= 0.99 + 1e-6
    assert gains[0] < 1, "the voice's peaks ask for all to be softer"
    assert matching_gains([sine(1, 0.5), sine(1, 0.25)], RATE) == pytest.approx([1.0, 2.0], rel=1e-3)


def test_what_is_nearly_silent_is_not_brought_up_to_the_others() -> None:
    assert matching_gains([sine(1, 0.05), sine(1, 5e-4)], RATE)[1] == pytest.approx(10.0)


def test_sounds_of_a_clip_are_of_one_length_and_within_scale() -> None:
    loud, short = alike([3 * sine(2), sine(1)], 10, RATE)
    assert loud.shape == short.shape == (1, RATE)
    assert np.abs(loud).max() == pytest.approx(0.99)
    decoded, rate = soundfile.read(io.BytesIO(flac(short, RATE)), dtype="float32", always_2d=True)
    assert rate == RATE
    assert np.abs(decoded.T - short).max() <= 2**-15


def test_clips_that_do_not_fit_are_left_out_by_name() -> None:
    clips = [Clip(name, (Source("a", bytes(3000)),), b"") for name in ("one", "two", "three")]
    page = within(Page("title", "lead"), clips, largest=9000)
    assert [kept.title for kept in page.clips] == ["one", "two"]
    assert "three" in page.remarks[0]
    assert "three" in render(page)
    assert "one" not in page.remarks[0]


def test_the_page_is_one_whole_file() -> None:
    shown = clip()
    html = render(Page("title", "lead", clips=[shown]))
    addresses = re.findall(r'(?:src|srcset|href)="([^"]{0,40})', html)
    assert len(addresses) == 3, "two sounds and their picture"
    assert all(address.startswith("data:") for address in addresses)
    sounds = re.findall(r'data:audio/flac;base64,([^"]+)"', html)
    assert [base64.b64decode(sound) for sound in sounds] == [source.flac for source in shown.sources]
    code = re.sub(r"base64,[^\"]+", "", html)
    assert not re.search(r"https?://|//\w+\.\w|@import|url\(", code), "nothing is fetched"
    assert "default-src 'none'" in html


def test_the_page_is_well_formed_and_escaped() -> None:
    page = Page("a <title>", "lead & more", "<head>", clips=[clip()], sections=[Section("<b>", "<p>x</p>")])
    html = render(page)
    assert "voice &amp; &lt;title&gt;" in html
    assert "a &lt;note&gt;" in html
    assert "&lt;head&gt;" in html and "<h2>&lt;b&gt;</h2>" in html
    assert not re.search(r"\$(title|lead|clips|sections|style|script|remarks)", html)
    open_tags = []

    class Check(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in {"meta", "img", "source"}:
                open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

    Check().feed(html)
    assert open_tags == []


def test_corpora_are_never_pooled() -> None:
    rows = []
    for number in range(6):
        change = (-0.3, 0.3)[number % 2]
        corpus = ("speech", "singing")[number % 2]
        rows += [row(f"f{number}", UNREPAIRED, 2.0, corpus), row(f"f{number}", "mine", 2.0 + change, corpus)]
    html = figures(rows, CATALOGUE, [UNREPAIRED, "mine"])
    assert html.count("<table>") == 2
    singing, speech = html.split("<h3>")[1:]
    assert singing.startswith("singing (3 files of 3 recordings)") and "+0.300 worse" in singing
    assert speech.startswith("speech (3 files of 3 recordings)") and "-0.300 better" in speech
    assert "unclear</small>" not in html, "the mean over both would be that"


def test_clean_input_has_a_table_of_its_own() -> None:
    rows = [row("a", UNREPAIRED, 2.0), row("a", "mine", 1.5)]
    rows += [row("b", UNREPAIRED, 0.0, semitones=0.0), row("b", "mine", 0.25, semitones=0.0)]
    html = figures(rows, CATALOGUE, [UNREPAIRED, "mine"])
    assert ">1.500<small" in html and ">0.250<small" in html
    assert "0.875" not in html, "no mean over both"
    assert '<th scope="row">+12</th><td>1</td><td>2.000</td><td>1.500</td>' in html, "by shift"


def test_files_to_hear_come_from_every_corpus_and_shift() -> None:
    rows = [
        row(f"{corpus}{shift}{take}", "mine", 1.0, corpus, shift, recording=f"take {take}")
        for corpus in ("speech", "song")
        for shift in (-12.0, 0.0, 12.0)
        for take in range(5)
    ]
    chosen = choose(rows, 4)
    assert {(one.corpus, one.semitones) for one in chosen} == {
        (corpus, shift) for corpus in ("speech", "song") for shift in (-12.0, 12.0)
    }
    assert len({one.file for one in choose(rows, 100)}) == len(rows)


def test_a_curve_leaves_out_what_is_not_finite_and_keeps_what_the_doctor_says() -> None:
    entries = [
        {"kind": "train", "step": 0, "values": {"loss/mel": 3.0, "loss/total": float("nan")}},
        {"kind": "note", "step": 1, "values": {"x": 1.0}},
        {"kind": "verdict", "step": 5, "values": {}, "sentence": "the <critics> won"},
        {"kind": "validation", "step": 10, "values": {"mel": 1.5, "mel_baseline": 2.0}},
    ]
    made = pictures.curve("stage 1", entries)
    assert made.train == {"loss/mel": [(0, 3.0)]}
    assert made.validation == {"mel": [(10, 1.5)], "mel_baseline": [(10, 2.0)]}
    assert made.verdicts == [(5, "the <critics> won")]
    silent = dataclasses.replace(made, verdicts=[])
    assert pictures.loss_curves([made], "dark") != pictures.loss_curves([silent], "dark"), "a line marks the step"
    assert "step 5</dt><dd>the &lt;critics&gt; won" in curves([made])


def test_a_sine_stands_at_its_frequency_and_level() -> None:
    level = pictures.power_db(sine(1, 0.5, 3000))
    assert set(np.argmax(level, axis=0).tolist()) == {round(3000 * pictures.WINDOW / RATE)}
    assert np.median(level.max(axis=0)) == pytest.approx(20 * np.log10(0.5), abs=0.1)


def test_a_clip_shorter_than_a_window_has_a_picture() -> None:
    drawn = pictures.spectrograms([("a", np.zeros((1, 1), np.float32)), ("b", np.zeros((2, 100), np.float32))], 8000)
    assert io.BytesIO(drawn).read(4) == b"\x89PNG"
