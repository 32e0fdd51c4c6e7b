"""What encoding and decoding cost: our codecs and their peers in turns, in one run; and the memory of a long file.

    .venv/bin/python benchmarks/codec.py --seconds 5 --rounds 5
    .venv/bin/python benchmarks/codec.py --memory runs/codec1 --minutes 1 60

Peers: descript-audio-codec at its published 44.1 kHz layout (ours has its weights, folded); transformers' EnCodec at 24
kHz and 6 kbit/s beside our causal codec of its strides, widths and codebooks, without its LSTM; Mimi beside our codec
for a CPU. All have random weights, on which speed does not depend. Real-time factors are seconds of work for a second
of sound; the ratio is the peer's over ours, round by round, with its least and most.
"""

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import yaml
from peak import peak
from tqdm import tqdm

from features.torchaudio_extension import allow_torchaudio_without_extension
from gan.audio import Writer, read
from generators import store
from generators.causal import CausalDecoder, CausalEncoder
from generators.codec import Codec
from generators.published import load_descript
from generators.residual_vq import ResidualVQ

ROOT = Path(__file__).parents[1]
CLIP = ROOT / "demo" / "clips" / "kathleen" / "speech_en_kathleen_0.flac"
Work = Callable[[], object]


def of_recipe(name: str) -> Codec:
    """Build a codec of recipes/models with fresh weights."""
    codec = store.build(yaml.safe_load((ROOT / "recipes" / "models" / name).read_text()))
    assert isinstance(codec, Codec)
    return codec.eval()


def like_encodec() -> Codec:
    """Build a causal codec of EnCodec's sizes (Défossez et al. 2022): 24 kHz, 75 frames a second, 8 of 1024 entries."""
    sizes: dict[str, Any] = {"width": 32, "strides": (2, 4, 5, 8), "dimension": 128, "dilations": (1,)}
    quantiser = ResidualVQ(128, codebooks=8, entries=1024)
    return Codec(CausalEncoder(**sizes), quantiser, CausalDecoder(**sizes), 24000).eval()


def coder(codec: Codec, seconds: float) -> tuple[Work, Work, str]:
    """Give the encoding and the decoding of noise, and the bitrate in words."""
    sound = 0.1 * torch.randn(1, 1, round(seconds * codec.sample_rate))
    code = codec.encode(sound)
    bits = sum((entries - 1).bit_length() for entries in codec.codebooks)
    rate = f"{bits * codec.sample_rate / codec.frame / 1000:.3g} kbit/s, {codec.sample_rate / codec.frame:.4g} frames/s"
    return lambda: codec.encode(sound), lambda: codec.decode(code, sound.shape[-1]), rate


def descript() -> tuple[Any, Codec]:
    """Give descript's codec, and ours with its weights."""
    allow_torchaudio_without_extension()
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        import dac

        theirs = dac.DAC().eval()
        theirs.save(str(Path(folder) / "weights.pth"), package=False)
        return theirs, load_descript(Path(folder) / "weights.pth").eval()


def contestants(seconds: float) -> Iterator[tuple[str, str, Work, Work, str, Work, Work]]:
    """Give our name, the peer's name, our encoding and decoding, the bitrate, the peer's encoding and decoding."""
    theirs, ours = descript()
    sound = 0.1 * torch.randn(1, 1, round(seconds * 44100))
    padded = theirs.preprocess(sound, 44100)
    values = theirs.encode(padded)[0]
    encode, decode, rate = coder(ours, seconds)
    yield (
        "dac44",
        "descript-audio-codec",
        encode,
        decode,
        rate,
        lambda: theirs.encode(padded),
        lambda: theirs.decode(values),
    )
    from transformers import EncodecConfig, EncodecModel, MimiConfig, MimiModel

    sound = 0.1 * torch.randn(1, 1, round(seconds * 24000))
    rows: list[tuple[str, Codec, str, Any, dict[str, float]]] = [
        ("causal 24 kHz", like_encodec(), "EnCodec 24 kHz", EncodecModel(EncodecConfig()).eval(), {"bandwidth": 6.0}),
        ("codec16_cpu", of_recipe("codec16_cpu.yaml"), "Mimi 24 kHz", MimiModel(MimiConfig()).eval(), {}),
    ]
    for mine, codec, name, model, options in rows:
        encode, decode, rate = coder(codec, seconds)
        codes = model.encode(sound, **options)
        yield mine, name, encode, decode, rate, *peer(model, sound, codes, options)


def peer(model: Any, sound: torch.Tensor, codes: Any, options: dict[str, float]) -> tuple[Work, Work]:
    """Give the encoding and the decoding of a codec of transformers."""
    scales = {"audio_scales": codes.audio_scales} if "audio_scales" in codes else {}
    return lambda: model.encode(sound, **options), lambda: model.decode(codes.audio_codes, **scales)


def seconds_of(work: Work) -> float:
    """Time one call."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


@torch.inference_mode()
def race(seconds: float, rounds: int) -> None:
    """Print the table of speeds."""
    print(f"{torch.get_num_threads()} threads, {seconds:g} s of sound, {rounds} rounds in turns")
    print("| ours | bitrate | peer | | ours | peer | peer / ours (least to most) |\n|---|---|---|---|---|---|---|")
    for name, other, encode, decode, rate, their_encode, their_decode in contestants(seconds):
        for verb, mine, theirs in (("encode", encode, their_encode), ("decode", decode, their_decode)):
            mine(), theirs()
            times = [(seconds_of(mine), seconds_of(theirs)) for _ in tqdm(range(rounds), leave=False, desc=name)]
            ratios = sorted(b / a for a, b in times)
            medians = [statistics.median(column) / seconds for column in zip(*times, strict=True)]
            ratio = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            print(f"| {name} | {rate} | {other} | {verb} | {medians[0]:.3f} | {medians[1]:.3f} | {ratio} |")


def memory(model: Path, minutes: list[float]) -> None:
    """Print the time and the peak memory of the commands on files of these lengths."""
    speech, rate = read(CLIP)
    unshift = str(Path(sys.executable).with_name("unshift"))
    print("| minutes | | seconds | peak MiB |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        for length in minutes:
            wave, code, back = (str(Path(scratch) / name) for name in ("in.wav", "in.unshift", "out.wav"))
            with Writer(Path(wave), rate, 1, subtype="PCM_16") as writer:
                for _ in range(round(60 * length)):
                    writer.write(np.ascontiguousarray(speech[:, :rate]))
            for verb, source, output in (("encode", wave, code), ("decode", code, back)):
                took, most = peak([unshift, verb, source, output, "--model", str(model), "--overwrite"])
                print(f"| {length:g} | {verb} | {took:.1f} | {most:.0f} |", flush=True)
            size = Path(code).stat().st_size
            print(f"| {length:g} | {8 * size / (60 * length) / 1000:.3f} kbit/s on disk | | |")
            assert soundfile.info(back).frames == soundfile.info(wave).frames


def main() -> None:
    """Measure what is asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="of sound in the race")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory", type=Path, metavar="MODEL", help="measure memory with this codec instead")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 60], help="lengths for --memory")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.memory:
        memory(options.memory, options.minutes)
    else:
        race(options.seconds, options.rounds)


if __name__ == "__main__":
    main()
