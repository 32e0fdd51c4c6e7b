"""What one adversarial step costs: ours, the plain form of ours, and descript-audio-codec's own, in turns in one run.

    python benchmarks/train_step.py --rounds 7
    python benchmarks/train_step.py --check

All three train a DAC codec of one size (its parts, losses and weights as in descript's base.yml) against the same
critics (periods 2, 3, 5, 7, 11 and multi-band spectrograms of 2048, 1024 and 512 samples) on the same batch of speech.
Descript's side is its package's classes in the order of its scripts/train.py. Plain is our own parts as one writes them
down first: a forward of all critics for each purpose, weight gradients on in the generator's backward. --check takes a
step with ours and with the plain form in 64-bit floats and compares every gradient.
"""

import argparse
import statistics
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peak import peak
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, parameters_to_vector
from tqdm import tqdm

from discriminators.ensemble import Ensemble
from discriminators.period import Period
from discriminators.spectrogram import MultiBandSpectrogram
from features.torchaudio_extension import allow_torchaudio_without_extension
from gan.adversarial import FeatureMatching, LeastSquares
from gan.assembly import Wires, meet
from gan.audio import read_section
from gan.critics import Critics
from gan.losses import L1, MelDistance
from gan.step import Step
from generators.codec import Codec
from generators.contract import Pair
from generators.dac import Decoder, Encoder
from generators.factorised import FactorisedVQ

RATE = 44100
CLIP = Path(__file__).parents[1] / "demo" / "clips" / "kathleen" / "speech_en_kathleen_0.flac"
WEIGHTS = {"mel": 15.0, "waveform": 0.0, "commitment": 0.25, "codebook": 1.0}
WEIGHTS |= {"adversarial": 1.0, "feature_matching": 2.0}
STRIDES = (2, 4, 8, 8)
Adam: dict[str, Any] = {"lr": 1e-4, "betas": (0.8, 0.99)}


class Clock:
    """Seconds by the name of a part of the step."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Count what happens within for a part."""
        begun = time.perf_counter()
        yield
        self.parts[part] += time.perf_counter() - begun

    def around(self, part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Give the work, counted for a part."""

        def counted(*arguments: Any, **named: Any) -> Any:
            with self(part):
                return work(*arguments, **named)

        return counted


def batch(count: int, samples: int) -> Tensor:
    """Read [count, 1, samples] of speech."""
    starts = [1000 + place * samples // 2 for place in range(count)]
    return torch.stack([torch.from_numpy(read_section(CLIP, start, samples)[:1]) for start in starts])


def our_parts(width: int) -> tuple[Codec, Ensemble]:
    """Build a codec and its critics, the same each time."""
    torch.manual_seed(0)
    encoder, decoder = Encoder(width, STRIDES, 16 * width), Decoder(24 * width, STRIDES, dimension=16 * width)
    codec = Codec(encoder, FactorisedVQ(16 * width, dropout=0.5), decoder, RATE)
    members: dict[str, nn.Module] = {f"period{period}": Period(period) for period in (2, 3, 5, 7, 11)}
    members |= {f"stft{window}": MultiBandSpectrogram(window) for window in (2048, 1024, 512)}
    return codec.train(), Ensemble(members)


class Ours:
    """Our step."""

    def __init__(self, width: int, clock: Clock) -> None:
        self.codec, panel = our_parts(width)
        wires = Wires(meet())
        of_panel = torch.optim.AdamW(panel.parameters(), **Adam, fused=True)
        critics = Critics(panel, of_panel, LeastSquares(), FeatureMatching(), 10.0, wires)
        optimiser = torch.optim.AdamW(self.codec.parameters(), **Adam, fused=True)
        terms = {"mel": MelDistance(RATE), "waveform": L1()}
        self.step = Step(self.codec, optimiser, terms, WEIGHTS, wires, critics, Always(), 1000.0)
        for part, owner, name in (
            ("generator", self.step, "_estimate"),
            ("critics", critics, "hear"),
            ("generator's backward", wires, "backward"),
            ("optimisers", self.step, "_learn"),
        ):
            setattr(owner, name, clock.around(part, getattr(owner, name)))

    def __call__(self, waveform: Tensor) -> None:
        """Take a step."""
        self.step([Pair(waveform, waveform, RATE)], 0)


class Always:
    """Critics learn and judge at every step."""

    def learns(self, step: int) -> bool:
        """Yes."""
        return True

    def judges(self, step: int) -> bool:
        """Yes."""
        return True


class Plain:
    """The plain form of our step."""

    def __init__(self, width: int, clock: Clock) -> None:
        self.codec, self.panel = our_parts(width)
        self.clock = clock
        self.mel, self.loss, self.matching = MelDistance(RATE), LeastSquares(), FeatureMatching()
        self.of_codec = torch.optim.AdamW(self.codec.parameters(), **Adam)
        self.of_panel = torch.optim.AdamW(self.panel.parameters(), **Adam)

    def gradients(self, waveform: Tensor) -> None:
        """Leave every gradient of a step in its parameter."""
        with self.clock("generator"):
            estimate = self.codec(Pair(waveform, waveform, RATE))
        with self.clock("critics"):
            of_real, of_fake = self.panel(waveform), self.panel(estimate.output)
            adversarial = torch.stack([self.loss.judge(opinion.score) for opinion in of_fake.values()]).sum()
            matching = self.matching(of_real, of_fake)
        losses = {"mel": self.mel(estimate), **estimate.penalties}
        losses |= {"adversarial": adversarial, "feature_matching": matching}
        with self.clock("generator's backward"):
            torch.stack([WEIGHTS[name] * loss for name, loss in losses.items()]).sum().backward()
        self.of_panel.zero_grad()
        with self.clock("critics"):
            of_real, of_fake = self.panel(waveform), self.panel(estimate.output.detach())
            learned = [self.loss.learn(of_real[name].score, of_fake[name].score) for name in of_real]
            torch.stack(learned).sum().backward()

    def __call__(self, waveform: Tensor) -> None:
        """Take a step."""
        self.of_codec.zero_grad()
        self.gradients(waveform)
        with self.clock("optimisers"):
            clip_grad_norm_(self.codec.parameters(), 1000.0)
            clip_grad_norm_(self.panel.parameters(), 10.0)
            self.of_codec.step()
            self.of_panel.step()


class Descript:
    """Descript's own step (scripts/train.py of descript-audio-codec 1.0.0, conf/base.yml), without its AMP."""

    def __init__(self, width: int, clock: Clock) -> None:
        allow_torchaudio_without_extension()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from audiotools import AudioSignal
            from dac.model.dac import DAC
            from dac.model.discriminator import Discriminator
            from dac.nn.loss import GANLoss, L1Loss, MelSpectrogramLoss, MultiScaleSTFTLoss

            torch.manual_seed(0)
            self.codec = DAC(encoder_dim=width, decoder_dim=24 * width, quantizer_dropout=0.5).train()
            self.panel = Discriminator()
        self.signal, self.clock = AudioSignal, clock
        self.game = GANLoss(self.panel)
        windows = [32, 64, 128, 256, 512, 1024, 2048]
        bands: dict[str, Any] = {"n_mels": [5, 10, 20, 40, 80, 160, 320], "mel_fmin": [0] * 7, "mel_fmax": [None] * 7}
        self.mel = MelSpectrogramLoss(window_lengths=windows, mag_weight=0.0, pow=1.0, **bands)
        self.waveform, self.stft = L1Loss(), MultiScaleSTFTLoss()
        self.of_codec = torch.optim.AdamW(self.codec.parameters(), **Adam)
        self.of_panel = torch.optim.AdamW(self.panel.parameters(), **Adam)

    def __call__(self, waveform: Tensor) -> None:
        """Take a step."""
        signal = self.signal(waveform, RATE)
        with self.clock("generator"):
            made = self.codec(waveform, RATE)
            fake = self.signal(made["audio"], RATE)
        with self.clock("critics"):
            learned = self.game.discriminator_loss(fake, signal)
            self.of_panel.zero_grad()
            learned.backward()
        with self.clock("optimisers"):
            clip_grad_norm_(self.panel.parameters(), 10.0)
            self.of_panel.step()
        with self.clock("losses"):
            self.stft(fake, signal), self.waveform(fake, signal)
            losses = {"mel": self.mel(fake, signal), "commitment": made["vq/commitment_loss"]}
            losses["codebook"] = made["vq/codebook_loss"]
        with self.clock("critics"):
            losses["adversarial"], losses["feature_matching"] = self.game.generator_loss(fake, signal)
        with self.clock("generator's backward"):
            self.of_codec.zero_grad()
            sum(WEIGHTS[name] * loss for name, loss in losses.items()).backward()
        with self.clock("optimisers"):
            clip_grad_norm_(self.codec.parameters(), 1000.0)
            self.of_codec.step()


Make = Callable[[int, Clock], Callable[[Tensor], None]]
SIDES: dict[str, Make] = {"ours": Ours, "plain": Plain, "descript": Descript}


def check(width: int, waveform: Tensor) -> None:
    """Compare the gradients of one step, ours and plain, in 64-bit floats."""
    ours, plain = Ours(width, Clock()), Plain(width, Clock())
    step = ours.step
    assert step.critics
    for module in (ours.codec, plain.codec, step.critics.panel, plain.panel, plain.mel, *step.terms.values()):
        module.double()
    step._learn = lambda _: {}  # type: ignore[method-assign]
    torch.manual_seed(1)
    ours(waveform.double())
    torch.manual_seed(1)
    plain.gradients(waveform.double())
    for name, one, other in (("generator", ours.codec, plain.codec), ("critics", step.critics.panel, plain.panel)):
        found, wanted = (
            parameters_to_vector([p.grad for p in module.parameters() if p.grad is not None]) for module in (one, other)
        )
        apart = (found - wanted).abs().max() / wanted.abs().max()
        print(f"{name}: {found.numel():,} gradients differ by {apart:.1e} of the largest")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--width", type=int, default=16, help="channels of the encoder's first layer; DAC has 64 (16)")
    parser.add_argument("--batch", type=int, default=4, help="examples (4)")
    parser.add_argument("--seconds", type=float, default=0.38, help="of an example (0.38, as descript trains)")
    parser.add_argument("--rounds", type=int, default=7, help="steps that are timed, of each side (7)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch")
    parser.add_argument("--check", action="store_true", help="compare gradients instead")
    parser.add_argument("--only", choices=SIDES, help="take two steps of a side, for its memory")
    parsed = parser.parse_args()
    torch.set_num_threads(parsed.threads)
    waveform = batch(parsed.batch, round(parsed.seconds * RATE))
    if parsed.check:
        return check(parsed.width, waveform)
    if parsed.only:
        side = SIDES[parsed.only](parsed.width, Clock())
        for _ in range(2):
            side(waveform)
        return None
    words = [f"--{name}={getattr(parsed, name)}" for name in ("width", "batch", "seconds", "threads")]
    memory = {name: peak([sys.executable, __file__, *words, "--only", name])[1] for name in SIDES}
    print(table(measure(parsed.width, waveform, parsed.rounds), memory))
    return None


def measure(width: int, waveform: Tensor, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Take steps in turns; give the seconds of each part of each step, and of all as "step"."""
    clocks = {name: Clock() for name in SIDES}
    sides = {name: make(width, clocks[name]) for name, make in SIDES.items()}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in SIDES}
    for number in tqdm(range(rounds + 1), desc="rounds", disable=None):
        for name, side in sides.items():
            clocks[name].parts.clear()
            with clocks[name]("step"):
                side(waveform)
            if number:  # the first one warms up
                found[name].append(dict(clocks[name].parts))
    return found


def table(found: dict[str, list[dict[str, float]]], memory: dict[str, float]) -> str:
    """Give medians in seconds, ratios to ours with their least and most, and peak memory."""
    parts = ["generator", "critics", "losses", "generator's backward", "optimisers", "step"]
    lines = ["| | " + " | ".join(found) + " |", "|---" * (len(found) + 1) + "|"]
    for part in parts:
        cells = [statistics.median(step.get(part, 0.0) for step in steps) for steps in found.values()]
        lines.append(f"| {part} | " + " | ".join(f"{cell:.3f} s" if cell else "-" for cell in cells) + " |")
    ratios = []
    for steps in found.values():
        each = [step["step"] / ours["step"] for step, ours in zip(steps, found["ours"], strict=True)]
        ratios.append(f"{statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f})")
    lines.append("| times our step | " + " | ".join(ratios) + " |")
    lines.append("| peak memory | " + " | ".join(f"{memory[name]:,.0f} MiB" for name in found) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
