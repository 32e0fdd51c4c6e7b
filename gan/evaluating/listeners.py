"""Measures of other people's packages: models of listeners, which say what a mark a panel would have given."""

import warnings
from contextlib import redirect_stdout
from io import StringIO
from typing import Any, ClassVar

import numpy as np
import torch

from features.torchaudio_extension import allow_torchaudio_without_extension
from gan.evaluating.contract import ChannelJudge, Measure, MeasureError, Take

SPEECH_RATE, AUDIO_RATE = 16000, 48000
SHORTEST = 0.5
"""Of fewer seconds none of these can say anything."""


class Listener(ChannelJudge):
    """A model of somebody who hears one channel."""

    def __call__(self, take: Take) -> dict[str, float]:
        """Measure; nothing of what is too short, or has a silent channel where the original has none.

        Of these a mark would mean nothing: silence against noise is excellent to some.
        """
        if take.output.seconds < SHORTEST or any(channel.output.silent for channel in take.channels):
            return {}
        return super().__call__(take)


class _Visqol(Listener):
    """ViSQOL v3 (Chinen et al. 2020), its port to Python."""

    name: str
    rate: int
    options: ClassVar[dict[str, Any]]

    def __init__(self) -> None:
        from visqol import VisqolApi

        self._judge = VisqolApi()
        self._judge.create(**self.options)

    def hear(self, take: Take) -> dict[str, float]:
        """Measure."""
        sides = (sound.first(self.rate).astype(np.float64) for sound in (take.original, take.output))
        return {self.name: float(self._judge.measure_from_arrays(*sides, self.rate).moslqo)}


class VisqolAudio(_Visqol):
    """ViSQOL's model of music and any sound, at 48 kHz."""

    measures: ClassVar = {
        "visqol": Measure("ViSQOL, audio", "MOS", False, "Likeness to the original as a listener marks it, 1 to 4.75.")
    }
    packages = ("visqol",)
    name, rate = "visqol", AUDIO_RATE
    options: ClassVar = {"mode": "audio"}


class VisqolSpeech(_Visqol):
    """ViSQOL's model of speech, at 16 kHz, with the lattice that its authors' program maps to marks by.

    Noise 160 dB under full scale takes up to 0.09 from a perfect mark (its model of music: nothing), so less than that
    is no difference.
    """

    measures: ClassVar = {
        "visqol_speech": Measure(
            "ViSQOL, speech", "MOS", False, "Likeness of speech to the original as a listener marks it.", speech=True
        )
    }
    packages = ("visqol", "ai_edge_litert")
    name, rate = "visqol_speech", SPEECH_RATE
    options: ClassVar = {"mode": "speech", "use_lattice_model": True}


class Pesq(Listener):
    """PESQ, wide band (ITU-T P.862.2)."""

    measures: ClassVar = {
        "pesq": Measure(
            "PESQ", "MOS", False, "Likeness of speech to the original over a telephone, wide band.", speech=True
        )
    }
    packages = ("pesq",)

    def hear(self, take: Take) -> dict[str, float]:
        """Measure."""
        import pesq

        sides = (sound.first(SPEECH_RATE) for sound in (take.original, take.output))
        try:
            return {"pesq": float(pesq.pesq(SPEECH_RATE, *sides, "wb"))}
        except (pesq.NoUtterancesError, pesq.BufferTooShortError):
            return {}


class Stoi(Listener):
    """Short-time objective intelligibility (Taal et al. 2011)."""

    measures: ClassVar = {
        "stoi": Measure("STOI", "", False, "How much of the speech is understood, 0 to 1.", speech=True)
    }
    packages = ("pystoi",)

    def hear(self, take: Take) -> dict[str, float]:
        """Measure; nothing of less than 0.4 s of speech."""
        from pystoi import stoi

        sides = (sound.first(SPEECH_RATE) for sound in (take.original, take.output))
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            try:
                return {"stoi": float(stoi(*sides, SPEECH_RATE))}
            except RuntimeWarning:  # too few frames: the figure would mean nothing
                return {}


class DistillMos(Listener):
    """DistillMOS (Stahl and Gamper 2025): a small network that marks speech without knowing the original."""

    measures: ClassVar = {
        "distillmos": Measure(
            "DistillMOS", "MOS", False, "Quality of speech as listeners mark it, of the output alone.", False, True
        )
    }
    packages = ("distillmos",)

    def __init__(self) -> None:
        allow_torchaudio_without_extension()
        import distillmos

        with redirect_stdout(StringIO()):  # it says where its weights lie
            self._network = distillmos.ConvTransformerSQAModel().eval()

    def hear(self, take: Take) -> dict[str, float]:
        """Measure."""
        with torch.inference_mode():
            return {"distillmos": float(self._network(torch.from_numpy(take.output.first(SPEECH_RATE))[None]))}


class Dnsmos(Listener):
    """DNSMOS P.835 (Reddy et al. 2022), the overall mark; its package cannot live with the extra `dac`."""

    measures: ClassVar = {
        "dnsmos": Measure(
            "DNSMOS", "MOS", False, "Quality of speech after noise suppression, of the output alone.", False, True
        )
    }
    packages = ("speechmos", "onnxruntime", "librosa", "requests")
    extra = "dnsmos"

    def hear(self, take: Take) -> dict[str, float]:
        """Measure."""
        from speechmos import dnsmos

        waveform = take.output.first(SPEECH_RATE)
        # It refuses what goes over full scale.
        return {"dnsmos": float(dnsmos.run(waveform / max(1.0, np.abs(waveform).max()), SPEECH_RATE)["ovrl_mos"])}


class Aesthetics(Listener):
    """Production quality by audiobox-aesthetics (Tjandra et al. 2025); it hears nothing above 8 kHz.

    Its weights come from the Hugging Face hub at the first use, so it works only where it is asked for.
    """

    measures: ClassVar = {
        "pq": Measure(
            "production quality", "", False, "Technical quality of any sound, 1 to 10, of the output alone.", False
        )
    }
    packages = ("audiobox_aesthetics",)
    extra = "aesthetics"
    unasked = False

    def __init__(self) -> None:
        allow_torchaudio_without_extension()
        from audiobox_aesthetics.infer import AesPredictor

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it is written for an older torch
                # Without a checkpoint's path it takes the hub's safetensors: nothing in them is executed.
                self._judge = AesPredictor(checkpoint_pth=None, data_col="wav")
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            how = "with a connection run `hf download facebook/audiobox-aesthetics` once"
            raise MeasureError(f"the weights of audiobox-aesthetics cannot be loaded ({reason}): {how}") from error

    def hear(self, take: Take) -> dict[str, float]:
        """Measure."""
        waveform = torch.from_numpy(take.output.first(SPEECH_RATE))[None]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return {"pq": float(self._judge.forward([{"wav": waveform, "sample_rate": SPEECH_RATE}])[0]["PQ"])}
