"""The page in a real browser, offline: players that switch at the same instant, blind tests, keys, a narrow window."""

import csv
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import chromium
import numpy as np
import pytest
import soundfile
from scipy import stats

from gan.report.page import Page, Section, Track, make_clip, render
from gan.report.tables import table

pytestmark = pytest.mark.skipif(chromium.BINARY is None, reason=chromium.WITHOUT)
CLIPS = Path(__file__).parents[1] / "demo/clips"
VOICES = ("kathleen/speech_en_kathleen_1.flac", "sms_male/speech_male_sms.flac")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with two clips of different rates, and a wide table."""
    clips = []
    for name in VOICES:
        wave, rate = soundfile.read(CLIPS / name, dtype="float32", always_2d=True)
        versions = {"original": wave.T, "shifted": 0.5 * wave.T, "restored": 0.8 * wave.T}
        tracks = [Track(label, made, f"note of {label}", label == "original") for label, made in versions.items()]
        clips.append(make_clip(Path(name).stem, tracks, rate, 1.5))
    wide = table(["measure", *["system"] * 12], ["<tr>" + "<td>1.234567</td>" * 13 + "</tr>"], "wide")
    page = tmp_path_factory.mktemp("page") / "report.html"
    page.write_text(render(Page("A page", "lead", "No clear change.", clips=clips, sections=[Section("Wide", wide)])))
    return page


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Browser]:
    with chromium.Browser(tmp_path_factory.mktemp("profile")) as opened:
        folder = tmp_path_factory.mktemp("downloads")
        opened.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        opened.downloads = folder
        yield opened


@pytest.fixture
def tab(browser: chromium.Browser, file: Path) -> Iterator[chromium.Tab]:
    opened = chromium.Tab(browser, file)
    yield opened
    assert opened.troubles() == [], "no error, and nothing asked of the network"


def test_a_switch_is_at_the_same_place_to_the_sample(tab: chromium.Tab) -> None:
    rendered = tab.evaluate("""(async () => {
        const rate = 48000, context = new OfflineAudioContext(1, rate, rate);
        const ramp = (sign) => {
            const buffer = new AudioBuffer({length: rate / 2, sampleRate: rate});
            buffer.getChannelData(0).forEach((_, i, data) => { data[i] = sign * (0.1 + i / rate); });
            return buffer;
        };
        const deck = new Deck(context, [ramp(1), ramp(-1)], [1, 0.5]);
        deck.play(0);
        context.suspend(0.25).then(() => { deck.choose(1); context.resume(); });
        return [...(await context.startRendering()).getChannelData(0)];
    })()""")
    heard = np.array(rendered)
    ramp = np.tile(0.1 + np.arange(24000) / 48000, 2)
    switch, settled = 12000, 12000 + 128 + round(8 * 0.002 * 48000)
    assert np.abs(heard[: switch - 128] - ramp[: switch - 128]).max() < 1e-6
    assert np.abs(heard[settled:] + 0.5 * ramp[settled:]).max() < 1e-3, "the other, where the first would have been"


def test_in_a_test_the_same_sound_again_is_heard_like_another(tab: chromium.Tab) -> None:
    rendered = tab.evaluate("""(async () => {
        const rate = 48000;
        const press = async (blind, signs, chosen) => {
            const context = new OfflineAudioContext(1, 24000, rate);
            const buffers = signs.map((sign) => {
                const buffer = new AudioBuffer({length: 12000, sampleRate: rate});
                buffer.getChannelData(0).fill(sign * 0.5);
                return buffer;
            });
            const deck = new Deck(context, buffers, signs.map(() => 1), blind);
            deck.play(0);
            // The second press comes before the first is done.
            context.suspend(0.1).then(() => { deck.choose(chosen); context.resume(); });
            context.suspend(0.104).then(() => { deck.choose(chosen); context.resume(); });
            return [...(await context.startRendering()).getChannelData(0)];
        };
        return [await press(true, [1, 1], 0), await press(true, [1, 1], 1), await press(true, [1, -1], 1),
            await press(false, [1, 1], 0)];
    })()""")
    same, equal, inverted, seeing = np.array(rendered)
    assert np.array_equal(same, equal), "nothing tells X is A from X is B"
    assert np.abs(np.abs(inverted) - same).max() < 1e-6, "whatever B is"
    assert np.abs(seeing - 0.5).max() < 1e-6, "elsewhere the same sound goes on"
    assert same[4600:5400].min() == 0
    assert np.abs(np.diff(same)).max() < 0.03, "no jump"
    assert np.abs(same[4700 + 128 + 2 * 480 :] - 0.5).max() < 1e-3 and np.abs(same[:4700] - 0.5).max() < 1e-6


def test_keys_play_and_switch_equally_loud_sounds(tab: chromium.Tab) -> None:
    tab.evaluate("document.querySelector('.deck button').focus()")
    tab.press("Enter")
    tab.wait("sounding?.deck?.position > 0.1")
    assert tab.evaluate("sounding.deck.blind") is False
    tab.press("2")
    assert tab.evaluate("sounding.deck.chosen") == 1
    assert tab.evaluate("document.querySelectorAll('.deck [aria-pressed=true]')[0].textContent") == "2 shifted"
    assert "note of shifted" in tab.evaluate("document.querySelector('.deck').textContent")
    tab.wait("Math.abs(sounding.deck.voices[1].level.gain.value - clips[0].gains[1]) < 0.001")
    tab.wait("sounding.deck.voices[0].level.gain.value < 0.001")
    heard = tab.evaluate("""sounding.deck.buffers.map((b, i) =>
        clips[0].gains[i] ** 2 * b.getChannelData(0).reduce((sum, x) => sum + x * x, 0))""")
    assert heard == pytest.approx([heard[0]] * 3, rel=0.01)
    tab.evaluate("document.querySelector('.deck input[type=checkbox]').click()")
    assert tab.evaluate("sounding.deck.levels") == [1, 1, 1]
    tab.press("p")
    assert tab.evaluate("sounding") is None
    # Another one that begins stops the first.
    tab.evaluate("document.querySelectorAll('.deck')[1].querySelector('button').click()")
    tab.wait("sounding?.deck?.playing && clips[1].decoded")
    assert tab.evaluate("sounding.deck.context.sampleRate") == 44100, "nothing is resampled before it is mixed"


def test_every_control_is_reached_by_tab_and_has_a_name(tab: chromium.Tab) -> None:
    tab.evaluate("document.querySelectorAll('.test button').forEach((button) => button.click())")
    unnamed = tab.evaluate("""[...document.querySelectorAll('button, input, select')].filter((one) =>
        !(one.textContent.trim() || one.getAttribute('aria-label') || one.labels?.length)).length""")
    assert unnamed == 0
    tab.evaluate("document.activeElement.blur(); document.querySelector('.deck button').focus()")
    seen = []
    for _ in range(60):
        seen.append(
            tab.evaluate("document.activeElement.tagName + (document.activeElement.textContent || '').slice(0, 12)")
        )
        tab.press("Tab")
    for wanted in ("INPUT", "BUTTON2 shifted", "SELECT", "BUTTONX is A", "BUTTON1 Sound 1", "BUTTON0 Referenc"):
        assert any(one.startswith(wanted[:18]) for one in seen), wanted


def test_an_abx_counts_right_answers_and_says_how_likely_guessing_is(
    browser: chromium.Browser, tab: chromium.Tab
) -> None:
    tab.evaluate("document.querySelectorAll('#abx select')[1].value = '24'")
    tab.evaluate("document.querySelector('#abx input').value = 'Ann, \"A\"'")
    tab.evaluate("document.querySelector('#abx > .row > button').click()")
    secrets = []
    for trial in range(24):
        assert tab.evaluate("document.querySelector('#abx h4').textContent") == f"Trial {trial + 1} of 24"
        tab.press("x")
        tab.wait("sounding?.deck?.playing === true")
        assert tab.evaluate("sounding.deck.blind") is True
        secret = tab.evaluate("sounding.deck.chosen")
        secrets.append(secret)
        # Twenty right, four wrong.
        tab.press(str((secret if trial < 20 else 1 - secret) + 1))
    sentence = tab.evaluate("document.querySelector('#abx .result').textContent")
    assert set(secrets) == {0, 1}, "drawn anew"
    assert sentence.startswith(
        f"20 of 24 right; by guessing that many or more come with p = {stats.binom.sf(19, 24, 0.5):.3g}"
    )
    rows = list(csv.DictReader(chromium.fetched(browser, tab, "#abx", "abx.csv").splitlines()))
    assert [row["correct"] for row in rows] == ["true"] * 20 + ["false"] * 4
    assert [row["x"] for row in rows] == ["AB"[secret] for secret in secrets]
    assert {row["listener"] for row in rows} == {'Ann, "A"'}
    words = json.loads(chromium.fetched(browser, tab, "#abx", "abx.json"))
    assert (words["right"], words["trials"], words["test"], words["page"]) == (20, 24, "ABX", "A page")
    assert words["p"] == pytest.approx(stats.binom.sf(19, 24, 0.5))


def test_a_mushra_has_a_hidden_reference_and_an_anchor(browser: chromium.Browser, tab: chromium.Tab) -> None:
    tab.evaluate("document.querySelector('#mushra > .row > button').click()")
    for number in (1, 2):
        assert tab.evaluate("document.querySelector('#mushra h4').textContent") == f"Clip {number} of 2"
        done = "[...document.querySelectorAll('#mushra button')].find((b) => b.textContent.startsWith('Done'))"
        tab.press("0")
        tab.wait("sounding?.deck?.playing === true")
        known: list[Any] = tab.evaluate("""sounding.deck.buffers.slice(1).map((b) => b === sounding.deck.buffers[0])""")
        assert known.count(True) == 1, "the reference is hidden once"
        assert tab.evaluate("sounding.deck.blind") is True
        low = [chromium.high_share(sound, rate) < 1e-5 for sound, rate in chromium.heard_in_test(tab)]
        assert low.count(True) == 1 and not low[0], "one has nothing above 4.5 kHz: the anchor"
        for sound in range(4):
            assert tab.evaluate(f"{done}.disabled"), "not before all are heard and scored"
            tab.press(str(sound + 1))
            tab.evaluate(f"document.querySelectorAll('#mushra .rating input')[{sound}].focus()")
            tab.press("End" if known[sound] else "Home")
        tab.evaluate(f"{done}.click()")
    assert "less than 90 on 0 of 2 clips." in tab.evaluate("document.querySelector('#mushra .result').textContent")
    rows = list(csv.DictReader(chromium.fetched(browser, tab, "#mushra", "mushra.csv").splitlines()))
    scores = {(row["clip"], row["sound"]): int(row["score"]) for row in rows}
    assert len(scores) == len(rows) == 8
    assert {sound for _, sound in scores} == {"hidden reference", "low anchor (3.5 kHz)", "shifted", "restored"}
    assert all(score == (100 if sound == "hidden reference" else 0) for (_, sound), score in scores.items())
    means = json.loads(chromium.fetched(browser, tab, "#mushra", "mushra.json"))["means"]
    assert means[0] == {"sound": "hidden reference", "mean": 100}


def test_the_anchor_of_a_loud_sound_does_not_clip(browser: chromium.Browser, tmp_path: Path) -> None:
    # What a low-pass leaves of a square wave is higher than the wave.
    wave = (0.98 * np.sign(np.sin(2 * np.pi * 700 * (np.arange(48000) + 0.5) / 48000))).astype(np.float32)[None]
    page = tmp_path / "square.html"
    page.write_text(render(Page("A page", "", clips=[make_clip("x", [Track("a", wave, reference=True)] * 2, 48000)])))
    assert "All sounds but MUSHRA's low anchor" in page.read_text()
    tab = chromium.Tab(browser, page)
    tab.evaluate("document.querySelector('#mushra > .row > button').click()")
    tab.press("0")
    tab.wait("sounding?.deck?.playing === true")
    levels = tab.evaluate("sounding.deck.levels")
    peaks = [level * np.abs(sound).max() for level, (sound, _) in zip(levels, chromium.heard_in_test(tab), strict=True)]
    assert len(set(levels)) == 1, "all of them softer alike"
    assert 0.95 < max(peaks) <= 0.9901
    assert max(peaks) > 1.05 * peaks[0], "the anchor's are the highest"
    assert tab.troubles() == []


def test_the_order_of_a_mushra_is_drawn(tab: chromium.Tab) -> None:
    places = set()
    for _ in range(12):
        tab.evaluate("document.querySelector('#mushra > .row > button').click()")
        tab.press("0")
        tab.wait("sounding?.deck?.playing === true")
        places.add(tab.evaluate("sounding.deck.buffers.lastIndexOf(sounding.deck.buffers[0])"))
    assert len(places) > 1


def test_a_listener_who_misses_the_reference_is_told(tab: chromium.Tab) -> None:
    rows = [{"clip": str(clip), "sound": "hidden reference", "score": 89 if clip < 2 else 90} for clip in range(10)]
    assert "do not count" in tab.evaluate(f"mushraWords({json.dumps(rows)}).sentence")
    assert "do not count" not in tab.evaluate(f"mushraWords({json.dumps(rows[1:])}).sentence")


def test_chance_is_what_it_should_be(tab: chromium.Tab) -> None:
    for trials in (1, 8, 16, 24):
        found = tab.evaluate(f"Array.from({{length: {trials + 1}}}, (_, k) => guessing(k, {trials}))")
        assert found == pytest.approx([stats.binom.sf(k - 1, trials, 0.5) for k in range(trials + 1)])
    orders = tab.evaluate("""(() => { const counts = {};
        for (let i = 0; i < 6000; i++) {
            const order = shuffled([0, 1, 2]).join("");
            counts[order] = (counts[order] ?? 0) + 1;
        }
        return counts; })()""")
    assert len(orders) == 6
    assert stats.chisquare(list(orders.values())).pvalue > 1e-6


def test_the_anchor_is_flat_to_3500_hertz_and_gone_above_4500(tab: chromium.Tab) -> None:
    click = "(() => { const x = new Float32Array(4096); x[2048] = 1; return [...lowPassed(x, 48000)]; })()"
    response = np.array(tab.evaluate(click))
    assert response.argmax() == 2048, "in time with the others"
    level = 20 * np.log10(np.abs(np.fft.rfft(response)) + 1e-9)
    hertz = np.fft.rfftfreq(4096, 1 / 48000)
    assert np.abs(level[hertz <= 3500]).max() < 0.1
    assert level[hertz >= 4000].max() < -25
    assert level[hertz >= 4500].max() < -50


def test_a_narrow_window_has_no_sideways_scrolling(browser: chromium.Browser, file: Path, tmp_path: Path) -> None:
    tab = chromium.Tab(browser, file, width=400, dark=True)
    tab.evaluate("document.querySelectorAll('#abx > .row > button, #mushra > .row > button').forEach((b) => b.click())")
    tab.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 400
    assert tab.evaluate("document.querySelector('#mushra .rating input').getBoundingClientRect().width") > 60
    colours = tab.evaluate("['backgroundColor', 'color'].map((name) => getComputedStyle(document.body)[name])")
    ground, ink = (np.mean([int(part) for part in colour[4:-1].split(",")]) for colour in colours)
    assert ground < 40 and ink > 200, "dark"
    tab.screenshot(tmp_path / "narrow.png")
    assert (tmp_path / "narrow.png").stat().st_size > 10_000
    assert tab.troubles() == []


def test_positions_go_on_while_switching(tab: chromium.Tab) -> None:
    tab.evaluate("document.querySelector('.deck button').click()")
    tab.wait("sounding?.deck?.playing === true")
    places = tab.evaluate("""(async () => { const places = [];
        for (let i = 0; i < 8; i++) {
            places.push(sounding.deck.position);
            sounding.hear(i % 3);
            places.push(sounding.deck.position);
            await new Promise((done) => setTimeout(done, 20));
        }
        return places; })()""")
    assert all(0 <= later - earlier < 0.2 for earlier, later in pairwise(places)), places
