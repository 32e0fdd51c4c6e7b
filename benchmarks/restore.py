"""What restoring costs: real-time factor and peak memory of `unshift restore` on a short and a long file, run in turns.

    .venv/bin/python benchmarks/restore.py --model recipes/models/spectral48.yaml --minutes 1 10
    .venv/bin/python benchmarks/restore.py --model recipes/models/spectral48.yaml --chunk-seconds 2 5 10 20
    .venv/bin/python benchmarks/restore.py --model recipes/models/spectral48.yaml --peers

The network has fresh weights: its speed does not depend on them. Each run is a process of its own; its start (imports,
loading) is measured by a file of one second and taken off the real-time factors, which are seconds of work for a second
of sound: by the clock, and of all cores together, which other work on the machine hardly changes.

With --peers the networks alone run in turns in this process, each on one chunk of each length: descript's DAC
(encoder, quantiser and decoder, at 44.1 kHz) and Vocos (mel spectrogram, backbone and head) of about the same
parameters, also with fresh weights. Its factors are of the processor's time, so they want one thread.
"""

import argparse
import math
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from peak import Cost, cost
from torch import nn

from features.torchaudio_extension import allow_torchaudio_without_extension
from gan.audio import read, write
from generators import store

CLIP = Path(__file__).parents[1] / "demo" / "clips" / "kathleen" / "speech_en_kathleen_0.flac"
DAC_SIZES = ((6, 160), (16, 352), (24, 640), (64, 1152))  # widths of encoder and decoder, 0.9 to 55 M
VOCOS_SIZES = ((128, 4), (256, 8), (512, 6), (896, 8))  # channels and layers, 0.8 to 53 M
Work = Callable[[], object]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="a YAML file of recipes/models")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 10])
    parser.add_argument("--chunk-seconds", type=float, nargs="+", default=[10.0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peers", action="store_true", help="beside descript's DAC and Vocos")
    options = parser.parse_args()
    spec = yaml.safe_load(options.model.read_text())
    room, _, name = spec["class_path"].rpartition(".")
    network: nn.Module = getattr(import_module(room), name)(**spec["init_args"]).eval()
    print(f"{options.model.stem}, {millions(network):.2f} M parameters, {options.threads} of {os.cpu_count()} cores")
    if options.peers:
        torch.set_num_threads(options.threads)
        race(options, network)
    else:
        os.environ["OMP_NUM_THREADS"] = str(options.threads)
        command(options, network, spec)


def command(options: argparse.Namespace, network: nn.Module, spec: dict[str, Any]) -> None:
    """Run the command on files."""
    unshift = str(Path(sys.executable).with_name("unshift"))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        store.save(folder / "model", network, spec)
        speech, rate = read(CLIP)
        for minutes in (1 / 60, *options.minutes):
            write(folder / f"{minutes}.wav", np.resize(speech, (1, round(minutes * 60 * rate))), rate)
        cases = [(1 / 60, 1.0)] + [(minutes, chunk) for minutes in options.minutes for chunk in options.chunk_seconds]
        rows: dict[tuple[float, float], list[Cost]] = {case: [] for case in cases}
        for _ in range(options.rounds):
            for minutes, chunk in cases:
                files = [str(folder / f"{minutes}.wav"), str(folder / "out.wav"), "--overwrite"]
                more = ["--model", str(folder / "model"), "--device", "cpu", "--chunk-seconds", str(chunk)]
                rows[minutes, chunk].append(cost([unshift, "restore", *files, *more]))
    start = [float(np.median(column)) for column in zip(*rows[cases[0]], strict=True)]
    print(f"start {start[0]:.1f} s, of the processor {start[1]:.1f} s")
    print("minutes   chunk, s   real-time factor (spread)   processor (spread)      peak MiB, least and most")
    for minutes, chunk in cases[1:]:
        taken = rows[minutes, chunk]
        clock = spread([(one.seconds - start[0]) / (60 * minutes) for one in taken])
        processor = spread([(one.processor - start[1]) / (60 * minutes) for one in taken])
        most = sorted(one.most for one in taken)
        print(f"{minutes:7g}   {chunk:8g}   {clock:25}   {processor:21}   {most[0]:.0f} {most[-1]:.0f}")


def race(options: argparse.Namespace, network: nn.Module) -> None:
    """Run the networks alone on chunks, in turns."""
    peers = [make(millions(network)) for make in (descript, vocos)]
    print("chunk, s   network                       processor for a second (spread)   to ours (spread)")
    for chunk in options.chunk_seconds:
        sound = 0.1 * torch.randn(1, 1, round(chunk * 48000))
        works: dict[str, Work] = {"ours": lambda sound=sound: network.restore(sound)}  # type: ignore[misc,operator]
        works |= {name: make(chunk) for name, make in peers}
        taken: dict[str, list[float]] = {name: [] for name in works}
        with torch.inference_mode():
            for number in range(options.rounds + 1):  # the first one warms up
                for name, work in works.items():
                    seconds = processor(work) / chunk
                    taken[name] += [seconds] if number else []
        for name, factors in taken.items():
            ratios = [one / ours for one, ours in zip(factors, taken["ours"], strict=True)]
            print(f"{chunk:8g}   {name:27}   {spread(factors):31}   {spread(ratios, 2)}")


def processor(work: Work) -> float:
    """Give the processor's seconds for a work."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def descript(wanted: float) -> tuple[str, Callable[[float], Work]]:
    """Give descript's DAC of about so many million parameters, on so many seconds."""
    allow_torchaudio_without_extension()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from dac.model.dac import DAC
        except ImportError:
            raise SystemExit("descript's DAC is missing: .venv/bin/python -m pip install -e '.[dac]'") from None
        nets = [DAC(encoder_dim=narrow, decoder_dim=wide).eval() for narrow, wide in DAC_SIZES]
    net = min(nets, key=lambda one: abs(math.log(millions(one) / wanted)))

    def make(seconds: float) -> Work:
        sound = 0.1 * torch.randn(1, 1, round(seconds * 44100))
        return lambda: net(sound, 44100)

    return f"descript's DAC, {millions(net):.2f} M", make


def vocos(wanted: float) -> tuple[str, Callable[[float], Work]]:
    """Give Vocos of about so many million parameters, at our rate, on so many seconds."""
    allow_torchaudio_without_extension()
    try:
        from vocos.feature_extractors import MelSpectrogramFeatures  # type: ignore[import-not-found,unused-ignore]
        from vocos.heads import ISTFTHead  # type: ignore[import-not-found,unused-ignore]
        from vocos.models import VocosBackbone  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise SystemExit("Vocos is missing: .venv/bin/python -m pip install --no-deps vocos encodec==0.1.1") from None
    nets = []
    for width, layers in VOCOS_SIZES:
        mel = MelSpectrogramFeatures(sample_rate=48000, n_fft=1024, hop_length=256, n_mels=100)
        backbone = VocosBackbone(100, width, 4 * width, layers)
        nets.append(nn.Sequential(mel, backbone, ISTFTHead(width, 1024, 256)).eval())
    net = min(nets, key=lambda one: abs(math.log(millions(one) / wanted)))

    def make(seconds: float) -> Work:
        sound = 0.1 * torch.randn(1, round(seconds * 48000))
        return lambda: net(sound)

    return f"Vocos, {millions(net):.2f} M", make


def millions(network: nn.Module) -> float:
    """Count parameters."""
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6


def spread(values: list[float], digits: int = 3) -> str:
    """Give a median, the least and the most."""
    return f"{np.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


if __name__ == "__main__":
    main()
