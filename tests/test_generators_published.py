"""Published weights: what descript-audio-codec and transformers save is read to the same codes and sounds."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import descript
import pytest
import soundfile
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor

from features.torchaudio_extension import allow_torchaudio_without_extension
from gan.cli import main
from generators import store
from generators.codec import Codec
from generators.contract import ModelError
from generators.published import convert, load_descript


def sound(samples: int, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return 0.3 * torch.randn(batch, 1, samples, generator=generator)


def saved(file: Path, strides: tuple[int, ...] = descript.EVEN, **sizes: Any) -> Any:
    network = descript.build(strides, **sizes)
    network.save(str(file), package=False)
    return network


@torch.no_grad()
def assert_alike(ours: Codec, theirs: Any, waveform: Tensor) -> None:
    """Hold codes, and the sounds of all and of fewer codebooks, to descript's."""
    padded = theirs.preprocess(waveform, None)
    _, codes, _, _, _ = theirs.encode(padded)
    assert codes.unique().numel() > 5
    assert torch.equal(ours.encode(waveform), codes)
    for books in (1, codes.shape[1]):
        expected = theirs.decode(theirs.quantizer.from_codes(codes[:, :books])[0])
        output = ours.decode(codes[:, :books], codes.shape[2] * ours.frame)
        assert output.shape[-1] == padded.shape[-1]
        assert expected.std() > 0.02
        torch.testing.assert_close(output[..., : expected.shape[-1]], expected, atol=1e-5, rtol=0)
        if expected.shape[-1] < output.shape[-1]:  # odd strides: theirs ends early, its last sample is held
            held = output[..., expected.shape[-1] - 1 :]
            assert torch.equal(held, held[..., :1].expand_as(held))


@pytest.mark.parametrize("strides", [descript.EVEN, descript.ODD])
def test_a_file_of_descripts_is_the_same_codec(tmp_path: Path, strides: tuple[int, ...]) -> None:
    theirs = saved(tmp_path / "weights.pth", strides)
    ours = load_descript(tmp_path / "weights.pth")
    assert not ours.training
    assert (ours.sample_rate, ours.frame, ours.codebooks) == (16000, theirs.hop_length, (20, 20, 20))
    assert_alike(ours, theirs, sound(20 * ours.frame + 5))
    assert_alike(ours, theirs, sound(5 * ours.frame))


def test_a_latent_of_another_size_and_lists_of_sizes_are_read(tmp_path: Path) -> None:
    theirs = saved(tmp_path / "weights.pth", latent_dim=24, codebook_dim=[4, 4, 4])
    ours = load_descript(tmp_path / "weights.pth")
    assert ours.encoder.dimension == 24
    assert_alike(ours, theirs, sound(20 * ours.frame))


@pytest.mark.parametrize("strides", [descript.EVEN, descript.ODD])
@torch.no_grad()
def test_a_folder_of_transformers_is_the_same_codec(tmp_path: Path, strides: tuple[int, ...]) -> None:
    theirs = transformers_model(tmp_path, strides)
    ours = load_descript(tmp_path)
    assert ours.sample_rate == 24000
    waveform = sound(10 * ours.frame)
    codes = theirs.encode(waveform).audio_codes
    assert codes.unique().numel() > 5
    assert torch.equal(ours.encode(waveform), codes)
    expected = theirs.decode(audio_codes=codes).audio_values[:, None]
    assert expected.std() > 0.02
    output = ours.decode(codes, waveform.shape[-1])
    torch.testing.assert_close(output[..., : expected.shape[-1]], expected, atol=1e-5, rtol=0)


def transformers_model(folder: Path, strides: tuple[int, ...] = descript.EVEN) -> Any:
    allow_torchaudio_without_extension()
    from transformers import DacConfig, DacModel

    config = DacConfig(
        encoder_hidden_size=4,
        decoder_hidden_size=48,
        downsampling_ratios=list(strides),
        n_codebooks=3,
        codebook_size=16,
        codebook_dim=4,
        sampling_rate=24000,
    )
    torch.manual_seed(0)
    network = DacModel(config).eval()
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv1d):
            layer.reset_parameters()
    descript.spread(network)
    network.save_pretrained(folder)
    return network


@torch.no_grad()
def test_weight_norm_is_folded_whatever_its_names(tmp_path: Path) -> None:
    theirs = transformers_model(tmp_path)
    expected = load_descript(tmp_path).state_dict()
    theirs.apply_weight_norm()
    theirs.save_pretrained(tmp_path)
    assert any("original0" in name for name in load_file(tmp_path / "model.safetensors"))
    for name, tensor in load_descript(tmp_path).state_dict().items():
        torch.testing.assert_close(tensor, expected[name])


def test_what_is_converted_comes_back_from_its_folder(tmp_path: Path) -> None:
    theirs = saved(tmp_path / "weights.pth", descript.ODD)
    convert(tmp_path / "weights.pth", tmp_path / "model")
    ours = store.load(tmp_path / "model")
    assert isinstance(ours, Codec)
    assert_alike(ours, theirs, sound(12 * ours.frame))
    for name, tensor in load_descript(tmp_path / "weights.pth").state_dict().items():
        assert torch.equal(tensor, ours.state_dict()[name])
    words = yaml.safe_load((tmp_path / "model" / store.DESCRIPTION).read_text())
    assert words["init_args"]["decoder"]["class_path"] == "generators.dac.Decoder"
    assert words["init_args"]["decoder"]["init_args"]["strides"] == [2, 4, 5, 8]


Spoiler = Callable[[dict[str, Any]], Any]


def without(name: str) -> Spoiler:
    return lambda words: words | {"state_dict": {key: x for key, x in words["state_dict"].items() if key != name}}


def replaced(name: str, tensor: Tensor) -> Spoiler:
    return lambda words: words | {"state_dict": words["state_dict"] | {name: tensor}}


def told(**arguments: object) -> Spoiler:
    return lambda words: words | {"metadata": {"kwargs": words["metadata"]["kwargs"] | arguments}}


NO_DAC: dict[str, Spoiler] = {
    "a list": lambda words: [words],
    "no words": lambda words: words["state_dict"],
    "no weights": lambda words: words | {"state_dict": {}},
    "a number of weights": lambda words: words | {"state_dict": 3},
    "no rate": lambda words: words | {"metadata": {"kwargs": {}}},
    "rate of zero": told(sample_rate=0),
    "rate of text": told(sample_rate="44100\nHz"),
    "no first layer": without("encoder.block.0.weight_v"),
    "no bias": without("decoder.model.2.block.1.bias"),
    "no alpha": without("decoder.model.4.alpha"),
    "no lengths": without("quantizer.quantizers.1.in_proj.weight_g"),
    "no codebook": without("quantizer.quantizers.1.codebook.weight"),
    "another layer": replaced("discriminator.weight", torch.zeros(3)),
    "another shape": replaced("decoder.model.4.alpha", torch.ones(1, 5, 1)),
    "another codebook": replaced("quantizer.quantizers.1.codebook.weight", torch.ones(20, 5)),
    "a flat layer": replaced("encoder.block.0.weight_v", torch.ones(4)),
    "a flat codebook": replaced("quantizer.quantizers.0.codebook.weight", torch.ones(4)),
    "not finite": replaced("decoder.model.4.alpha", torch.full((1, 6, 1), torch.nan)),
    "no direction": replaced("encoder.block.0.weight_v", torch.zeros(4, 1, 7)),
}


ALPHA = "decoder.model.4.alpha"
ODD_TENSORS: dict[str, Callable[[Tensor], Tensor]] = {
    "complex": lambda x: x.to(torch.complex64),
    "whole numbers": lambda x: x.int(),
    "bool": lambda x: x.bool(),
    "float8": lambda x: x.to(torch.float8_e4m3fn),
    "quantised": lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8),
    "sparse": lambda x: x.to_sparse(),
    "nested": lambda x: torch.nested.nested_tensor([x, x]),
    "of no memory": lambda x: x.to("meta"),
    "expanded": lambda x: x[..., :1].expand(1, 6, 10**13),
    "expanded a little": lambda x: torch.ones(1).expand(1, 6, 1),
    "infinite": lambda x: x / 0,
    "too large for float32": lambda x: x.double() + 1e300,
}


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")  # of kinds that torch is to give up
@pytest.mark.parametrize("name", ODD_TENSORS)
def test_tensors_that_are_no_weights_are_told_in_one_line(tmp_path: Path, words: dict[str, Any], name: str) -> None:
    tensor = ODD_TENSORS[name](words["state_dict"][ALPHA])
    torch.save(replaced(ALPHA, tensor)(words), tmp_path / "weights.pth")
    assert_refused(tmp_path / "weights.pth", ALPHA if name != "too large for float32" else "not finite")


@pytest.mark.parametrize("kind", [torch.complex64, torch.int32, torch.bool, torch.float8_e4m3fn])
def test_folders_of_other_numbers_are_told_in_one_line(tmp_path: Path, kind: torch.dtype) -> None:
    transformers_model(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    save_file(state | {"decoder.conv1.bias": state["decoder.conv1.bias"].to(kind)}, tmp_path / "model.safetensors")
    assert_refused(tmp_path, "decoder.conv1.bias")


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_other_precisions_are_read(tmp_path: Path, words: dict[str, Any], kind: torch.dtype) -> None:
    state = {name: torch.nn.Parameter(x.to(kind)) for name, x in words["state_dict"].items()}
    torch.save(words | {"state_dict": state}, tmp_path / "weights.pth")
    read = load_descript(tmp_path / "weights.pth").state_dict()["decoder.enter.bias"]
    assert torch.equal(read, state["decoder.model.0.bias"].float())


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("published") / "weights.pth"
    saved(file)
    found: dict[str, Any] = torch.load(file, weights_only=True)
    return found


@pytest.mark.parametrize("name", NO_DAC)
def test_what_is_no_dac_is_told_in_one_line(tmp_path: Path, words: dict[str, Any], name: str) -> None:
    torch.save(words, tmp_path / "weights.pth")
    load_descript(tmp_path / "weights.pth")
    torch.save(NO_DAC[name](words), tmp_path / "weights.pth")
    assert_refused(tmp_path / "weights.pth")


def assert_refused(path: Path, said: str = "") -> None:
    with pytest.raises(ModelError) as caught:
        load_descript(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_damaged_files_are_told_in_one_line(tmp_path: Path, words: dict[str, Any]) -> None:
    file = tmp_path / "weights.pth"
    assert_refused(file)
    torch.save(words, file)
    whole = file.read_bytes()
    for damaged in (b"", b"RIFF", whole[:-5000], whole[5000:], bytes(range(256)) * 9):
        file.write_bytes(damaged)
        assert_refused(file)


def test_a_file_that_runs_code_is_refused(tmp_path: Path) -> None:
    network = descript.build()
    network.hop_length = int(network.hop_length)
    torch.save(network, tmp_path / "whole.pth")  # classes, and with them whatever they call
    assert_refused(tmp_path / "whole.pth")


def test_damaged_folders_are_told_in_one_line(tmp_path: Path) -> None:
    transformers_model(tmp_path)
    config, weights = tmp_path / "config.json", tmp_path / "model.safetensors"
    words, whole = json.loads(config.read_text()), weights.read_bytes()
    load_descript(tmp_path)
    for text in ("", "[]", "{}", "[" * 100_000, json.dumps(words | {"model_type": "encodec"})):
        config.write_text(text)
        assert_refused(tmp_path)
    config.write_text(json.dumps(words | {"sampling_rate": None}))
    assert_refused(tmp_path)
    config.write_text(json.dumps(words))
    weights.write_bytes(whole[:-9])
    assert_refused(tmp_path)
    weights.write_bytes(whole)
    state = load_file(weights)
    save_file({name: x for name, x in state.items() if name != "decoder.conv1.bias"}, weights)
    assert_refused(tmp_path)
    weights.unlink()
    assert_refused(tmp_path)


def test_the_command_imports_weights_and_uses_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved(tmp_path / "weights.pth")
    model, clip = tmp_path / "model", Path(__file__).parents[1] / "demo/clips/kathleen/speech_en_kathleen_1.flac"
    assert main(["import", str(tmp_path / "weights.pth"), str(model)]) == 0
    assert main(["encode", str(clip), str(tmp_path / "clip.unshift"), "--model", str(model)]) == 0
    assert main(["decode", str(tmp_path / "clip.unshift"), str(tmp_path / "clip.wav"), "--model", str(model)]) == 0
    assert soundfile.info(tmp_path / "clip.wav").frames == soundfile.info(clip).frames
    before = (model / store.WEIGHTS).read_bytes()
    (tmp_path / "other").mkdir()
    (tmp_path / "torn.pth").write_bytes((tmp_path / "weights.pth").read_bytes()[:5000])
    capsys.readouterr()
    for arguments, words in (
        (["weights.pth", "model"], "--overwrite"),
        (["weights.pth", "other", "--overwrite"], "name another"),
        (["torn.pth", "model", "--overwrite"], "torn.pth"),
        (["nothing.pth", "new"], "nothing.pth"),
    ):
        assert main(["import", *(str(tmp_path / w) if not w.startswith("-") else w for w in arguments)]) == 2
        told = capsys.readouterr().err
        assert words in told
        assert told.count("\n") == 1
    assert (model / store.WEIGHTS).read_bytes() == before
