"""The report's parts: equal loudness, tables that never pool corpora, pictures, and a page that is one whole file."""

import base64
import dataclasses
import io
import re
import tracemalloc
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from gan.audio import AudioError, write
from gan.evaluating.measures import CATALOGUE
from gan.evaluating.results import UNREPAIRED, Row
from gan.pairs.settings import SETTINGS
from gan.report import pictures
from gan.report.card import as_text, model_card
from gan.report.evaluations import choose, mended_beginning
from gan.report.page import Clip, Page, Plan, Section, Source, Track, curves, make_clip, render, within
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


def test_clips_after_the_one_that_does_not_fit_are_not_made() -> None:
    made = []

    def plan(name: str) -> Plan:
        def make() -> Clip:
            made.append(name)
            if name == "broken":
                raise AudioError("broken: is not audio")
            return Clip(name, (Source("a", bytes(3000)),), b"")

        return Plan(name, make)

    page = within(Page("title", "lead"), map(plan, ["one", "broken", "two", "three", "four"]), largest=5000)
    assert [kept.title for kept in page.clips] == ["one"]
    assert made == ["one", "broken", "two"]
    assert page.remarks[0] == "Left out: broken: is not audio"
    assert page.remarks[1].endswith("the clips under 0 MB: two; three; four.")


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
    for number in range(12):
        change = (-0.3, 0.3)[number % 2]
        corpus = ("speech", "singing")[number % 2]
        rows += [row(f"f{number}", UNREPAIRED, 2.0, corpus), row(f"f{number}", "mine", 2.0 + change, corpus)]
    html = figures(rows, CATALOGUE, [UNREPAIRED, "mine"])
    assert html.count("<table>") == 2
    singing, speech = html.split("<h3>")[1:]
    assert singing.startswith("singing (6 files of 6 recordings)") and "+0.300 worse" in singing
    assert speech.startswith("speech (6 files of 6 recordings)") and "-0.300 better" in speech
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


def test_the_verdict_knows_which_way_is_better() -> None:
    name = next(name for name, measure in CATALOGUE.items() if not measure.lower_is_better)
    rows = []
    for number in range(6):
        for system, value in ((UNREPAIRED, 2.0), ("mine", 2.5), ("yours", 1.5)):
            rows.append(dataclasses.replace(row(f"f{number}", system, 0.0), values={name: value}))
    html = figures(rows, CATALOGUE, [UNREPAIRED, "mine", "yours"])
    assert "+0.500 better" in html and "-0.500 worse" in html
    assert "higher is better" in html


def test_a_dollar_sign_in_a_name_is_no_formula() -> None:
    name = r"run $\frac{$"
    assert pictures.spectrograms([(name, sine(0.1))], RATE)
    assert pictures.loss_curves([pictures.Curve(name, {f"loss/{name}": [(0, 1.0)]}, {"mel": [(0, 1.0)]})], "dark")


@pytest.mark.parametrize(
    "config",
    ["data: [1]", "weights: 5", 'data: {pairs: "a\\0b"}', "data: {pairs: 3}", "steps: {a: [1]}", "[" * 1500, "- 1"],
)
def test_a_run_from_strangers_has_a_card(config: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(config)
    assert "Not known" in model_card(tmp_path).html


@pytest.mark.parametrize("began", ['{"devices": 3}', '{"versions": {"torch": [1]}}', '{"manifest": {}}', "3"])
def test_how_a_run_began_may_be_anything(began: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("steps: 7")
    (tmp_path / "provenance.json").write_text(began)
    assert "<dt>steps</dt><dd>7</dd>" in model_card(tmp_path).html


@pytest.mark.parametrize("source", ['{"source": 5}', '{"source": "a\\u0000b"}'])
def test_settings_of_pairs_may_be_anything(source: str, tmp_path: Path) -> None:
    (tmp_path / SETTINGS).write_text(source)
    assert "no LICENCE file lies" in model_card(tmp_path, tmp_path).html


def test_facts_within_facts_have_an_end() -> None:
    deep: object = "end"
    for _ in range(900):
        deep = {"in": deep}
    assert as_text(deep).endswith("and more")
    assert as_text({"a": ["b", "c"], "d": {"e": 1}}) == "a b, c, d e 1"


def test_half_a_character_does_not_spoil_the_page() -> None:
    assert "lead ?" in render(Page("title", "lead \ud800")).encode("utf-8").decode("utf-8")


class Smearing:
    """A mender whose every output sample depends on input as far away as its reach, to both sides."""

    sample_rate, hop, reach = 48000, 64, 12000

    def __init__(self) -> None:
        self.heard = 0

    def restore(self, waveform: torch.Tensor) -> torch.Tensor:
        self.heard += waveform.shape[-1]
        wide = torch.nn.functional.pad(waveform, (self.reach, self.reach))
        return (wide[..., : waveform.shape[-1]] + wide[..., 2 * self.reach :]) / 2


@pytest.mark.parametrize("rate", [48000, 44100])
def test_the_beginning_is_mended_as_in_the_whole(rate: int, tmp_path: Path) -> None:
    noise = 0.2 * np.random.default_rng(0).normal(size=(2, 3 * rate)).astype(np.float32)
    file = tmp_path / "noise.wav"
    write(file, noise, rate, subtype="FLOAT")
    found = mended_beginning(file, Smearing(), 1.0)
    whole = mended_beginning(file, Smearing(), 3.0)
    assert found.shape == (2, rate)
    assert np.abs(found - whole[:, :rate]).max() < 1e-5
    assert np.abs(whole[:, rate - 3000 : rate]).max() > 0.001, "there is something to compare"


def test_of_a_long_file_only_the_beginning_is_read(tmp_path: Path) -> None:
    file = tmp_path / "long.wav"
    write(file, np.tile(0.1 * np.ones((1, 48000), np.float32), (1, 120)), 48000)
    mender = Smearing()
    tracemalloc.start()
    found = mended_beginning(file, mender, 1.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert mender.heard < 2 * 48000
    assert peak < 4e6 < 4 * 120 * 48000
    assert make_clip("a", [Track("a", found)], 48000, 1.0, 120.0).note == "The first 1.0 s of 120.0 s."
