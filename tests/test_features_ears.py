"""The frozen ears: the same maps as transformers gives, gradients to the waveform alone, and clear errors."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor, nn

from features.contract import EarError
from features.dac import DACEncoder, EncoderEar, RandomDAC
from features.pretrained import FrozenEar, resample
from features.torchaudio_extension import allow_torchaudio_without_extension
from features.wavlm import ConvolutionalEar, RandomWavLM, WavLM
from gan.losses import FeatureDistance

ROOT = Path(__file__).parents[1]
CLIP = ROOT / "demo/clips/kathleen/speech_en_kathleen_0.flac"


@pytest.fixture(scope="module")
def speech() -> Tensor:
    """Two channels of two sections of real speech at 48 kHz, [2, 2, samples]."""
    waveform, rate = soundfile.read(CLIP, dtype="float32")
    sections = np.stack([waveform[start : start + 9_600] for start in (10_000, 20_000, 30_000, 40_000)])
    assert rate == 48_000
    return torch.from_numpy(sections).reshape(2, 2, -1)


@pytest.fixture(scope="module")
def wavlm() -> RandomWavLM:
    return RandomWavLM(48_000, layers="all")


@pytest.fixture(scope="module")
def dac() -> RandomDAC:
    return RandomDAC(48_000)


@pytest.fixture(params=["wavlm", "dac"])
def ear(request: pytest.FixtureRequest) -> FrozenEar:
    return request.getfixturevalue(request.param)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def test_wavlm_maps_are_the_front_ends(wavlm: RandomWavLM, speech: Tensor) -> None:
    heard = resample(speech.flatten(0, 1), 48_000, 16_000)
    maps = wavlm(speech)
    assert torch.equal(maps[-1], wavlm.network(heard))
    assert [one.shape[-1] for one in maps] == [639, 319, 159, 79, 39, 19, 9]
    assert len(RandomWavLM(48_000)(speech)) == 1
    assert torch.equal(RandomWavLM(48_000)(speech)[0], maps[-1])


def test_wavlm_normalises_when_asked(wavlm: RandomWavLM, speech: Tensor) -> None:
    indifferent = ConvolutionalEar(wavlm.network, 48_000, normalise=True)
    waveform = speech[0]
    assert torch.allclose(indifferent.maps(0.1 * waveform + 0.2)[0], indifferent.maps(waveform)[0], atol=1e-2)
    assert not torch.allclose(wavlm.maps(0.1 * waveform)[-1], wavlm.maps(waveform)[-1], atol=1e-2)
    by_hand = (waveform - waveform.mean(-1, keepdim=True)) / waveform.std(-1, correction=0, keepdim=True)
    assert torch.allclose(indifferent.maps(waveform)[0], wavlm.maps(by_hand)[-1], atol=1e-3)


def test_dac_maps_are_those_after_each_residual_unit(speech: Tensor) -> None:
    allow_torchaudio_without_extension()
    from transformers import DacConfig, DacModel

    config = DacConfig(encoder_hidden_size=4, decoder_hidden_size=16, n_codebooks=1, codebook_size=2)
    encoder = DacModel(config).eval().encoder
    seen: list[Tensor] = []
    for block in encoder.block[:2]:
        for unit in (block.res_unit1, block.res_unit2, block.res_unit3):
            unit.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    ear = EncoderEar(encoder, 48_000, 16_000, blocks=2)
    encoder(resample(speech.flatten(0, 1), 48_000, 16_000)[:, None])
    expected, seen[:] = list(seen), []
    maps = ear(speech)
    assert len(maps) == len(expected) == 6
    assert all(torch.equal(one, other) for one, other in zip(maps, expected, strict=True))
    assert [one.shape[1:] for one in maps[::3]] == [(4, 3200), (8, 1600)]


def test_dac_checkpointing_changes_memory_alone(speech: Tensor) -> None:
    gradients = []
    for checkpointed in (False, True):
        ear = RandomDAC(48_000, channels=4, checkpointed=checkpointed)
        waveform = speech[:1, :1].clone().requires_grad_()
        kept = 0

        def count(tensor: Tensor) -> Tensor:
            nonlocal kept
            kept += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            loss = sum(one.square().mean() for one in ear(waveform))
        loss.backward()
        gradients.append((waveform.grad, kept))
    assert torch.allclose(gradients[0][0], gradients[1][0])
    assert gradients[1][1] < 0.5 * gradients[0][1]


@pytest.mark.parametrize("blocks", [0, 5])
def test_dac_has_four_blocks(blocks: int) -> None:
    with pytest.raises(ValueError, match=r"1\.\.4"):
        RandomDAC(48_000, blocks=blocks)


def test_an_ear_never_trains(ear: FrozenEar, speech: Tensor) -> None:
    holder = nn.ModuleList([FeatureDistance(ear)])
    holder.train()
    assert not any(module.training for module in ear.modules())
    assert not any(parameter.requires_grad for parameter in ear.parameters())
    waveform = (0.9 * speech).requires_grad_()
    holder[0].distance(waveform, speech).backward()
    assert (waveform.grad != 0).float().mean() > 0.9
    assert all(parameter.grad is None for parameter in ear.parameters())


def test_an_ear_hears_each_channel_by_itself_in_any_precision(ear: FrozenEar, speech: Tensor) -> None:
    first = ear(speech)
    alone = ear(speech[1:, 1:])
    assert all(torch.allclose(one[3], other[0], atol=1e-5) for one, other in zip(first, alone, strict=True))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert all(torch.equal(one, other) for one, other in zip(first, ear(speech), strict=True))
    ear.double()
    doubled = ear(speech.double())
    ear.float()
    assert all(one.dtype == torch.float64 for one in doubled)
    assert all(torch.allclose(one.double(), other, atol=1e-3) for one, other in zip(first, doubled, strict=True))


@pytest.mark.parametrize("samples", [1, 100, 1201])
def test_an_ear_hears_short_waveforms(ear: FrozenEar, samples: int) -> None:
    assert all(one.numel() > 0 and torch.isfinite(one).all() for one in ear(torch.ones(1, 1, samples)))


@pytest.mark.parametrize("make", [RandomWavLM, RandomDAC])
def test_a_twin_is_its_seed_and_leaves_the_global_chance_alone(make: Callable[..., FrozenEar], speech: Tensor) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = make(48_000, seed=1)(speech)[-1]
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(6)
    assert torch.equal(one, make(48_000, seed=1)(speech)[-1])
    assert not torch.equal(one, make(48_000, seed=2)(speech)[-1])
    assert 0.01 < one.std() < 10


@pytest.mark.parametrize(("from_rate", "to_rate"), [(48_000, 16_000), (44_100, 16_000), (48_000, 44_100)])
def test_resampling_keeps_tones_and_stops_aliases(from_rate: int, to_rate: int) -> None:
    seconds = torch.arange(from_rate // 2, dtype=torch.float64) / from_rate
    expected = torch.sin(2 * torch.pi * 3000 * torch.arange(to_rate // 2, dtype=torch.float64) / to_rate)
    heard = resample(torch.sin(2 * torch.pi * 3000 * seconds)[None], from_rate, to_rate)[0]
    middle = slice(1000, -1000)
    assert heard.dtype == torch.float64
    assert (heard - expected)[middle].abs().max() < 1e-4
    above = resample(torch.sin(2 * torch.pi * 1.06 * to_rate / 2 * seconds)[None], from_rate, to_rate)[0]
    assert above[middle].abs().max() < 1e-3 or 1.06 * to_rate > from_rate


def test_published_weights_load_from_a_folder(tmp_path: Path, wavlm: RandomWavLM, speech: Tensor) -> None:
    from transformers import DacConfig, DacModel, WavLMConfig, WavLMModel

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 16}
    speech_model = WavLMModel(WavLMConfig(conv_dim=(8,) * 7, num_conv_pos_embedding_groups=1, **small))
    speech_model.save_pretrained(tmp_path / "wavlm")
    heard = resample(speech.flatten(0, 1), 48_000, 16_000)
    expected = speech_model.eval().feature_extractor(heard)
    assert torch.equal(WavLM(48_000, str(tmp_path / "wavlm"))(speech)[0], expected)
    config = DacConfig(
        encoder_hidden_size=4, decoder_hidden_size=16, n_codebooks=1, codebook_size=2, sampling_rate=24_000
    )
    codec = DacModel(config)
    codec.save_pretrained(tmp_path / "dac")
    ear = DACEncoder(48_000, str(tmp_path / "dac"), blocks=1)
    assert ear.network_rate == 24_000
    assert torch.equal(ear.network[0].weight, codec.encoder.conv1.weight)
    with pytest.raises(EarError, match="holds no WavLMModel"):
        WavLM(48_000, str(tmp_path / "dac"))


def test_weights_that_are_not_all_there_are_refused(tmp_path: Path) -> None:
    """transformers would fill the gap with random numbers, and only log it."""
    from safetensors.torch import load_file, save_file
    from transformers import DacConfig, DacModel

    config = DacConfig(encoder_hidden_size=4, decoder_hidden_size=16, n_codebooks=1, codebook_size=2)
    DacModel(config).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if not name.startswith("encoder.block.0.")}
    assert 0 < len(kept) < len(weights)
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EarError, match="weights of its encoder are missing"):
        DACEncoder(48_000, str(tmp_path))


@pytest.mark.parametrize("make", [WavLM, DACEncoder])
def test_weights_that_are_nowhere_are_one_clear_line(
    make: Callable[..., FrozenEar], tmp_path: Path, offline: None
) -> None:
    cases = {
        "unshift-tests/nowhere": "hf download unshift-tests/nowhere",
        str(tmp_path / "no folder"): "no such folder",
        str(tmp_path): "holds no",
    }
    for model, message in cases.items():
        with pytest.raises(EarError, match=message) as caught:
            make(48_000, model=model)
        assert "\n" not in str(caught.value)


def test_torchaudio_and_transformers_import_anywhere() -> None:
    """In a fresh interpreter: nothing has been imported yet, and every warning is an error."""
    script = """
import sys, time
from features.torchaudio_extension import allow_torchaudio_without_extension
assert "torchaudio" not in sys.modules
allow_torchaudio_without_extension()
start = time.perf_counter()
allow_torchaudio_without_extension()
assert time.perf_counter() - start < 0.01
import torch, torchaudio
assert torchaudio.functional.resample(torch.ones(1, 300), 3, 1).shape == (1, 100)
from transformers import DacModel, WavLMModel
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("problem", ["OSError('libc10_cuda.so')", "RuntimeError('different CUDA versions')", None])
def test_the_extension_is_replaced_only_where_it_fails(tmp_path: Path, problem: str | None) -> None:
    """With a torchaudio of our own whose extension fails, or does not."""
    package = tmp_path / "torchaudio"
    (package / "_extension").mkdir(parents=True)
    (package / "__init__.py").write_text("from . import _extension\nfrom ._extension import _IS_ALIGN_AVAILABLE\n")
    (package / "_extension/__init__.py").write_text(f"raise {problem}" if problem else "_IS_ALIGN_AVAILABLE = 'real'")
    script = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from features.torchaudio_extension import allow_torchaudio_without_extension
allow_torchaudio_without_extension()
import torchaudio
print(torchaudio._IS_ALIGN_AVAILABLE)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == ("False" if problem else "real"), done.stderr
