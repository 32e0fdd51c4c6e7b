"""The page: one self-contained HTML file with players that switch, blind tests, pictures and figures."""

import base64
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from importlib import resources
from string import Template

from gan.audio import AudioError, Waveform
from gan.report.pictures import Curve, loss_curves, spectrograms
from gan.report.sound import alike, flac, matching_gains

SCRIPTS = ("reckoning.js", "deck.js", "panel.js", "abx.js", "mushra.js", "start.js")
LONGEST = 10.0  # seconds of a clip
LARGEST = 32e6  # bytes of all clips, as they stand in the page
ORIGINAL, SHIFTED, RESTORED = "original", "shifted", "restored"


@dataclass(frozen=True)
class Track:
    """A sound that is to be put on the page.

    Attributes:
        label: what it is, in a word.
        waveform: [channels, samples].
        note: a line about it.
        reference: whether the others of its clip ought to sound like it.
    """

    label: str
    waveform: Waveform
    note: str = ""
    reference: bool = False


@dataclass(frozen=True)
class Source:
    """A sound of a clip: a label, the bytes of a FLAC file, a line about it.

    Attributes:
        gain: makes it as loud as the clip's others.
        reference: whether the others ought to sound like it.
    """

    label: str
    flac: bytes
    note: str = ""
    gain: float = 1.0
    reference: bool = False


@dataclass(frozen=True)
class Clip:
    """One sound in several versions, in time with each other: its title, their rate (Hz), their spectrograms as PNG."""

    title: str
    sources: tuple[Source, ...]
    spectrograms: bytes
    sample_rate: int = 48000
    note: str = ""

    @property
    def size(self) -> int:
        """Bytes that it takes in the page."""
        return sum(4 * len(data) // 3 for data in (self.spectrograms, *(source.flac for source in self.sources)))


@dataclass(frozen=True)
class Plan:
    """A clip that is made only where there is room for it: its title, and what makes it (AudioError: it cannot be)."""

    title: str
    make: Callable[[], Clip]


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it, as HTML."""

    heading: str
    html: str


@dataclass(frozen=True)
class Page:
    """Everything the page shows; `lead`, `headline` and `remarks` are plain text.

    Attributes:
        title: of the page.
        lead: what it is about.
        headline: the one sentence that follows from the figures; "" for none.
        mood: of the headline: "better", "worse" or "unclear".
        clips: to listen to.
        remarks: on the clips: what was left out, say.
        sections: all else, in order.
    """

    title: str
    lead: str
    headline: str = ""
    mood: str = "unclear"
    clips: Sequence[Clip] = ()
    remarks: Sequence[str] = ()
    sections: Sequence[Section] = field(default_factory=tuple)


def make_clip(
    title: str, tracks: Sequence[Track], sample_rate: int, seconds: float = LONGEST, whole: float = 0.0
) -> Clip:
    """Make the sounds and the picture of a clip: cut to one length, the factors of equal loudness found.

    Args:
        title: what it is.
        tracks: the versions, the reference first where there is one; of one rate.
        sample_rate: in Hz.
        seconds: at most so many are taken, from the start.
        whole: seconds of the longest, where the tracks hold only beginnings.
    """
    waves = alike([track.waveform for track in tracks], seconds, sample_rate)
    gains = matching_gains(waves, sample_rate)
    heard = waves[0].shape[1] / sample_rate
    whole = max(whole, *(track.waveform.shape[1] / sample_rate for track in tracks))
    cut = f"The first {heard:.1f} s of {whole:.1f} s."
    sources = tuple(
        Source(track.label, flac(wave, sample_rate), track.note, gain, track.reference)
        for track, wave, gain in zip(tracks, waves, gains, strict=True)
    )
    picture = spectrograms([(track.label, wave) for track, wave in zip(tracks, waves, strict=True)], sample_rate)
    return Clip(title, sources, picture, sample_rate, cut if heard < whole else "")


def within(page: Page, clips: Iterable[Clip | Plan], largest: float = LARGEST) -> Page:
    """Put clips on a page until one does not fit, and say which were left out; those after it are not made."""
    kept, size = list(page.clips), sum(clip.size for clip in page.clips)
    left_out: list[str] = []
    remarks = list(page.remarks)
    for one in clips:
        if left_out:
            left_out.append(one.title)
            continue
        try:
            clip = one.make() if isinstance(one, Plan) else one
        except AudioError as error:
            remarks.append(f"Left out: {error}")
            continue
        size += clip.size
        if size <= largest:
            kept.append(clip)
        else:
            left_out.append(clip.title)
    if left_out:
        remarks.append(f"Left out to keep the clips under {largest / 1e6:.0f} MB: {'; '.join(left_out)}.")
    return replace(page, clips=kept, remarks=remarks)


def render(page: Page) -> str:
    """Build the page's HTML; it names nothing outside itself that a browser would load."""
    headline = f'<p class="headline {escape(page.mood)}">{escape(page.headline)}</p>' if page.headline else ""
    # Template, not format: styles and scripts are full of braces.
    html = Template(_read("page.html")).substitute(
        title=escape(page.title),
        lead=escape(page.lead),
        headline=headline,
        clips=_listening(page),
        sections="\n".join(f"<section><h2>{escape(s.heading)}</h2>\n{s.html}</section>" for s in page.sections),
        style=_read("page.css"),
        script="\n".join(_read(name) for name in SCRIPTS),
    )
    # Names of files and what stands in JSON may hold half a character, which no text file can.
    return html.encode("utf-8", "replace").decode("utf-8")


def embed(data: bytes, kind: str) -> str:
    """Give bytes as an address that holds them."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Give names and values as a list."""
    return "<dl>" + "\n".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows) + "</dl>"


def curves(runs: Sequence[Curve]) -> str:
    """Give the curves of runs, for light and for dark pages, and what the doctor said below them."""
    dark, light = (embed(loss_curves(runs, mode), "image/png") for mode in ("dark", "light"))
    said = [(f"{run.stage}, step {step}", sentence) for run in runs for step, sentence in run.verdicts]
    doctor = (
        f"<h3>What the doctor said</h3>{facts(said)}" if said else "<p>No verdict of the doctor is in the journal.</p>"
    )
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="Curves"><picture>'
        f'<source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" alt="Training losses and validation mel distance"></picture></div>{doctor}'
    )


def _read(name: str) -> str:
    return resources.files("gan.report").joinpath(name).read_text(encoding="utf-8")


def _listening(page: Page) -> str:
    remarks = "".join(f"<p>{escape(remark)}</p>" for remark in page.remarks)
    if not page.clips:
        return f"<section><h2>Listen</h2>{remarks}</section>" if remarks else ""
    return Template(_read("listening.html")).substitute(
        clips="\n".join(_clip(clip) for clip in page.clips), remarks=remarks
    )


def _clip(clip: Clip) -> str:
    players = "\n".join(_player(source) for source in clip.sources)
    alternative = escape(f"Spectrograms of {clip.title}: {', '.join(source.label for source in clip.sources)}")
    note = f'<p class="hint">{escape(clip.note)}</p>' if clip.note else ""
    return (
        f'<article data-title="{escape(clip.title)}" data-rate="{clip.sample_rate}"><h3>{escape(clip.title)}</h3>{note}'
        f'<details class="single" open><summary>One by one, as loud as the files are</summary>'
        f'<div class="players">{players}</div></details>'
        f'<div class="scroll" tabindex="0" role="group" aria-label="Spectrograms">'
        f'<img class="card" src="{embed(clip.spectrograms, "image/png")}" alt="{alternative}"></div></article>'
    )


def _player(source: Source) -> str:
    reference = " data-reference" if source.reference else ""
    note = f" <i>{escape(source.note)}</i>" if source.note else ""
    return (
        f'<figure data-label="{escape(source.label)}" data-gain="{source.gain:.6g}"{reference}>'
        f"<figcaption><b>{escape(source.label)}</b>{note}</figcaption>"
        f'<audio controls preload="metadata" aria-label="{escape(source.label)}" '
        f'src="{embed(source.flac, "audio/flac")}"></audio></figure>'
    )
