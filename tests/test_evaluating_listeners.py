"""Models of listeners say what the packages say that they come from."""

from importlib.util import find_spec

import numpy as np
import pytest
import soxr
import torch
from known_sounds import RATE, take

from gan.evaluating.contract import Judge, MeasureError
from gan.evaluating.listeners import Aesthetics, DistillMos, Dnsmos, Pesq, Stoi, VisqolAudio, VisqolSpeech


def resampled(waveform: np.ndarray, rate: int) -> np.ndarray:
    return soxr.resample(waveform.mean(axis=0), RATE, rate, "VHQ")


def by_visqol(output: np.ndarray, original: np.ndarray, mode: str, rate: int, **more: bool) -> float:
    from visqol import VisqolApi

    api = VisqolApi()
    api.create(mode=mode, **more)
    sides = (resampled(side, rate).astype(np.float64) for side in (original, output))
    return api.measure_from_arrays(*sides, rate).moslqo


def by_distillmos(output: np.ndarray, _: np.ndarray) -> float:
    import distillmos

    with torch.inference_mode():
        return distillmos.ConvTransformerSQAModel().eval()(torch.from_numpy(resampled(output, 16_000))[None]).item()


def by_pesq(output: np.ndarray, original: np.ndarray) -> float:
    import pesq

    return pesq.pesq(16_000, resampled(original, 16_000), resampled(output, 16_000), "wb")


def by_stoi(output: np.ndarray, original: np.ndarray) -> float:
    import pystoi

    return pystoi.stoi(resampled(original, 16_000), resampled(output, 16_000), 16_000)


def by_speechmos(output: np.ndarray, _: np.ndarray) -> float:
    from speechmos import dnsmos

    return dnsmos.run(resampled(output, 16_000), 16_000)["ovrl_mos"]


def by_audiobox(output: np.ndarray, _: np.ndarray) -> float:
    from audiobox_aesthetics.infer import AesPredictor

    heard = {"wav": torch.from_numpy(resampled(output, 16_000))[None], "sample_rate": 16_000}
    return AesPredictor(None, data_col="wav").forward([heard])[0]["PQ"]


@pytest.mark.parametrize(
    ("kind", "oracle"),
    [
        (VisqolAudio, lambda *sides: by_visqol(*sides, "audio", RATE)),
        (VisqolSpeech, lambda *sides: by_visqol(*sides, "speech", 16_000, use_lattice_model=True)),
        (Pesq, by_pesq),
        (Stoi, by_stoi),
        (DistillMos, by_distillmos),
        (Dnsmos, by_speechmos),
        (Aesthetics, by_audiobox),
    ],
    ids=lambda part: getattr(part, "__name__", "oracle"),
)
def test_listeners_say_what_their_packages_say(
    kind: type[Judge], oracle: object, speech: np.ndarray, noisy: np.ndarray
) -> None:
    for package in kind.packages:
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install 'unshift[{kind.extra}]'")
    try:
        judge, (name,) = kind(), kind.measures
    except MeasureError as error:
        if kind.unasked or "hf download" not in str(error):
            raise
        pytest.skip(f"offline: {error}")
    marks = [judge(take(output, speech))[name] for output in (noisy, speech)]
    assert marks[0] == pytest.approx(oracle(noisy, speech), abs=1e-3)
    assert marks[0] < marks[1]
    silence = np.zeros_like(speech)
    assert judge(take(noisy, silence)) == judge(take(silence, speech)) == {}
    assert judge(take(noisy[:, :4_000], speech[:, :4_000])) == {}
