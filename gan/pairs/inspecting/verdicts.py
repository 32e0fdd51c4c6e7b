"""What speaks against one recording, by what was heard of it.

How far to believe it: 829 files of clean sound (54 minutes) in two halves. Thresholds set on the one (speech_train,
music_train; 662 files), halfway between what 99 % of its clean files stay under and what 99 % of copies with a seeded
fault exceed, raise 7 alarms in the 167 files of the other (speech_heldout, music_heldout, stems, other, demo_clips).
Those below were set with all files in view and lie further from clean sound: 3 alarms (`unshift inspect FOLDER`; 1.8 %,
95 % interval 0.4 to 5.2 %), all in drums and effects, and all three real: two brick walls and a clipped kick. In the
first half 10 files alarm: eight strokes of a drum that stand 0.01 to 0.03 off zero after they have died away, and two
sentences whose band above 8 kHz mirrors that below. Of 45 files of the other half, 3 s each, two thirds of silence, an
offset of 0.02, 0.2 % of clipped samples and linear upsampling from 16 kHz were found in all, upsampling by soxr from 16
or 24 kHz in 87 of 90, by a polyphase filter in 36 of 45: what has nothing above the old band has no wall and no image.
"""

from collections.abc import Iterator

import numpy as np

from gan.pairs.check import SILENT
from gan.pairs.inspecting.band import Wall, find_wall
from gan.pairs.inspecting.findings import Finding
from gan.pairs.inspecting.mirror import Mirror
from gan.pairs.inspecting.portrait import IDLE_END, LEVELS, Portrait

MOST_QUIET = 0.8
"""Share of a recording that may be silence: speech with long pauses has 70 %."""
MOST_IDLE = 0.6
"""Share that may be long silence, at the ends above all: clean recordings have up to 42 %."""
CEILING = 0.985
"""Flat runs at so much of their side's peak and above are counted."""
MOST_FLAT, MOST_FLAT_SHARE = 20, 5e-5
"""So many samples in such runs are nobody's chance; an orchestra at full scale has 4, a hard-limited loop 9."""
MOST_OFFSET = 0.01
"""Of full scale, -40 dB. Clean recordings have up to 0.003, drums 0.009."""
LEAST_SECONDS = 0.25
"""In less an offset is not told from one swing of a drum's skin; such recordings make no pairs either."""
BAND = 0.72
"""A wall above this share of half the rate is no fault: 20 kHz at 48 kHz, or the 17 kHz that coders leave at 44.1 kHz.
Under it lie 32 kHz made 44.1 kHz (0.66 to 0.71) and all that is worse."""
DROP, SPREAD = 28.0, 5.0
"""A wall falls by so many dB, to a floor that is level within so many. Weak tops fall slower, and not to a floor."""
DEAD = 30.0
"""One channel so many dB under the other, and silent, is dead."""
OPPOSITE = -20.0
"""Channels of which the mean is so many dB under the two cancel each other."""


def judge(portrait: Portrait, file: str, *, band: bool = True) -> Iterator[Finding]:
    """Give what is wrong with a recording.

    Args:
        portrait: what was heard of it.
        file: its name.
        band: whether its band should be full; of what a shifter made it need not be.
    """
    moving = np.sqrt(np.maximum(portrait.energy - portrait.offset**2, 0))
    if moving.max() < SILENT:
        yield Finding("silent", file, "all of it", f"RMS {_decibels(moving.max()):.0f} dB", _decibels(moving.max()))
    elif portrait.quiet > MOST_QUIET or portrait.idle > MOST_IDLE:
        elsewhere = portrait.quiet * portrait.seconds - portrait.longest_quiet > IDLE_END
        where = f"{portrait.longest_quiet:.2f} s from {portrait.first_quiet:.2f} s on{', and elsewhere' * elsewhere}"
        yield Finding("silent", file, where, f"{100 * portrait.quiet:.0f} % is under -60 dB", portrait.quiet)
    yield from _clipped(portrait, file)
    for channel, offset in enumerate(portrait.offset):
        if abs(offset) >= MOST_OFFSET and portrait.seconds >= LEAST_SECONDS:
            figure = f"{offset:+.4f} of full scale off zero"
            yield Finding("offset", file, _channel(portrait, channel), figure, float(offset))
    if band and (end := upsampled(portrait)):
        half = portrait.sample_rate / 2000
        if isinstance(end, Wall):
            figure = f"its band ends at {end.frequency / 1000:.1f} of {half:g} kHz, falling by {end.drop:.0f} dB"
            value = end.frequency
        else:
            figure = f"of its {half:g} kHz what is above {end.sample_rate / 2000:g} kHz mirrors what is below"
            value = end.sample_rate / 2
        yield Finding("upsampled", file, "all of it", figure, round(value))
    yield from _channels(portrait, file)


def upsampled(portrait: Portrait) -> Wall | Mirror | None:
    """Give the wall at which a recording's band was cut off well under half its rate, or the image above it, if any."""
    wall = find_wall(portrait.loudest, portrait.sample_rate)
    if (
        wall is not None
        and wall.frequency <= BAND * portrait.sample_rate / 2
        and min(wall.drop, wall.above) >= DROP
        and wall.spread <= SPREAD
    ):
        return wall
    return portrait.mirror


def _clipped(portrait: Portrait, file: str) -> Iterator[Finding]:
    for channel, flats in enumerate(portrait.flats):
        tops = [np.arange(LEVELS + 1) >= int(min(CEILING * peak, 1.0) * LEVELS) for peak in flats.peak]
        counts = [float(samples[top].sum()) for samples, top in zip(flats.samples, tops, strict=True)]
        count = sum(counts)
        if count < MOST_FLAT or count < MOST_FLAT_SHARE * portrait.samples:
            continue
        first = min(int(first[top].min()) for first, top in zip(flats.first, tops, strict=True)) / portrait.sample_rate
        where = f"{_channel(portrait, channel)}, first at {first:.2f} s"
        levels = " and ".join(
            f"{sign}{peak:.3f}" for sign, peak, flat in zip("+-", flats.peak, counts, strict=True) if flat
        )
        figure = f"{count:.0f} samples ({100 * count / portrait.samples:.2g} %) lie flat at {levels} of full scale"
        yield Finding("clipped", file, where, figure, count / portrait.samples)


def _channels(portrait: Portrait, file: str) -> Iterator[Finding]:
    if portrait.channels != 2 or portrait.energy.max() < SILENT**2:
        return
    level = 10 * np.log10(portrait.energy + 1e-20)
    weaker = int(level.argmin())
    apart = float(level.max() - level.min())
    if apart > DEAD and np.sqrt(portrait.energy[weaker]) < SILENT:
        yield Finding("dead channel", file, f"channel {weaker + 1}", f"{apart:.0f} dB under the other", apart)
        return
    sum_level = 10 * float(np.log10((portrait.middle_energy + 1e-20) / portrait.energy.mean()))
    if sum_level < OPPOSITE:
        yield Finding("opposite channels", file, "all of it", f"their mean is {-sum_level:.0f} dB softer", sum_level)


def _channel(portrait: Portrait, channel: int) -> str:
    return "all of it" if portrait.channels == 1 else f"channel {channel + 1}"


def _decibels(rms: float) -> float:
    return 20 * float(np.log10(rms + 1e-10))
