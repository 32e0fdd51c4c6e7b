"""What encoding and decoding cost: our codecs and their peers in turns, in one run; and the memory of a long file.

    .venv/bin/python benchmarks/codec.py --seconds 5 --rounds 5
    .venv/bin/python benchmarks/codec.py --memory runs/codec1 --minutes 1 60

Peers: descript-audio-codec at its published 44.1 kHz layout (ours has its weights, folded); transformers' EnCodec at 24
kHz and 6 kbit/s beside our causal codec of its strides, widths and codebooks, without its LSTM; Mimi beside our codec
for a CPU, with the number of codebooks that comes nearest to our rate. All decode from codes, and have random weights,
on which speed does not depend. Real-time factors are seconds of work for a second of sound; the ratio is the peer's
over ours, round by round, with its least and most.
"""

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
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
# Our name and the peer's with bitrates, our encoding and decoding, the peer's encoding and decoding.
Race = tuple[str, str, Work, Work, Work, Work]


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


def kbits(codec: Codec) -> float:
    """Give a codec's bitrate, kbit/s."""
    return sum((entries - 1).bit_length() for entries in codec.codebooks) * codec.sample_rate / codec.frame / 1000


def coder(codec: Codec, seconds: float) -> tuple[Work, Work]:
    """Give the encoding and the decoding of noise."""
    sound = 0.1 * torch.randn(1, 1, round(seconds * codec.sample_rate))
    code = codec.encode(sound)
    return lambda: codec.encode(sound), lambda: codec.decode(code, sound.shape[-1])


def descript() -> tuple[Any, Codec]:
    """Give descript's codec, and ours with its weights."""
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        import dac

        theirs = dac.DAC().eval()
        theirs.save(str(Path(folder) / "weights.pth"), package=False)
        return theirs, load_descript(Path(folder) / "weights.pth").eval()


def against_descript(seconds: float) -> Race:
    """Set dac44 beside descript's own, both with the same weights."""
    theirs, ours = descript()
    padded = theirs.preprocess(0.1 * torch.randn(1, 1, round(seconds * 44100)), 44100)
    codes = theirs.encode(padded)[1]
    rate = f"{kbits(ours):.3g} kbit/s"
    return (
        f"dac44, {rate}",
        f"descript-audio-codec, {rate}",
        *coder(ours, seconds),
        lambda: theirs.encode(padded),
        lambda: theirs.decode(theirs.quantizer.from_codes(codes)[0]),
    )


def against_encodec(seconds: float) -> Race:
    """Set our codec of EnCodec's sizes beside it."""
    from transformers import EncodecConfig, EncodecModel

    codec = like_encodec()
    name = f"causal 24 kHz, {kbits(codec):.3g} kbit/s"
    peer = of_transformers(EncodecModel(EncodecConfig()).eval(), seconds, bandwidth=6.0)
    return name, "EnCodec 24 kHz, 6 kbit/s", *coder(codec, seconds), *peer


def against_mimi(seconds: float) -> Race:
    """Set our codec for a CPU beside Mimi at the bitrate nearest to its."""
    from transformers import MimiConfig, MimiModel

    codec, config = of_recipe("codec16_cpu.yaml"), MimiConfig()
    book = (config.codebook_size - 1).bit_length() * config.frame_rate / 1000
    books = min(config.num_quantizers, round(kbits(codec) / book))
    peer = of_transformers(MimiModel(config).eval(), seconds, num_quantizers=books)
    name = f"codec16_cpu, {kbits(codec):.4g} kbit/s"
    return name, f"Mimi 24 kHz, {books} codebooks, {books * book:.4g} kbit/s", *coder(codec, seconds), *peer


PEERS = {"descript": against_descript, "encodec": against_encodec, "mimi": against_mimi}


def of_transformers(model: Any, seconds: float, **options: float) -> tuple[Work, Work]:
    """Give the encoding and the decoding of a codec of transformers at 24 kHz."""
    sound = 0.1 * torch.randn(1, 1, round(seconds * 24000))
    codes = model.encode(sound, **options)
    scales = {"audio_scales": codes.audio_scales} if "audio_scales" in codes else {}
    return lambda: model.encode(sound, **options), lambda: model.decode(codes.audio_codes, **scales)


def seconds_of(work: Work) -> float:
    """Time one call."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


@torch.inference_mode()
def race(seconds: float, rounds: int, peers: list[str]) -> None:
    """Print the table of speeds."""
    print(f"{torch.get_num_threads()} threads, {seconds:g} s of sound, {rounds} rounds in turns")
    print("| ours | peer | | ours | peer | peer / ours (least to most) |\n|---|---|---|---|---|---|")
    for peer in peers:
        allow_torchaudio_without_extension()
        name, other, encode, decode, their_encode, their_decode = PEERS[peer](seconds)
        for verb, mine, theirs in (("encode", encode, their_encode), ("decode", decode, their_decode)):
            mine(), theirs()
            times = [(seconds_of(mine), seconds_of(theirs)) for _ in tqdm(range(rounds), leave=False, desc=name)]
            ratios = sorted(b / a for a, b in times)
            medians = [statistics.median(column) / seconds for column in zip(*times, strict=True)]
            ratio = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            print(f"| {name} | {other} | {verb} | {medians[0]:.3f} | {medians[1]:.3f} | {ratio} |")


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
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory", type=Path, metavar="MODEL", help="measure memory with this codec instead")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 60], help="lengths for --memory")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.memory:
        memory(options.memory, options.minutes)
    else:
        race(options.seconds, options.rounds, options.peers)


if __name__ == "__main__":
    main()
