"""Frozen ears with networks from the Hugging Face hub: loading their weights, and what is the same in all of them."""

import logging
import re
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from features.contract import EarError
from features.spectrum import full_precision

journal = logging.getLogger(__name__)


class FrozenEar(nn.Module):
    """An ear that never trains: its weights take no gradient and it stays in evaluation mode.

    Args:
        network: whatever turns a waveform at the network's rate into maps.
        sample_rate: of the waveforms that the ear is given, in Hz.
        network_rate: of the waveforms that the network wants, in Hz.
        shortest: samples at the network's rate that the network needs; less is filled up with zeros.
    """

    def __init__(self, network: nn.Module, sample_rate: int, network_rate: int, shortest: int) -> None:
        super().__init__()
        self.network = network.requires_grad_(False).eval()
        self.sample_rate = sample_rate
        self.network_rate = network_rate
        self.shortest = shortest

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode, whatever a trainer asks of the module that holds the ear."""
        return super().train(False)

    def forward(self, waveform: Tensor) -> list[Tensor]:
        """Listen to [batch, channels, samples]; give maps of [batch * channels, features, frames], shallowest first.

        It works in its weights' precision, under autocast too.
        """
        with torch.autocast(waveform.device.type, enabled=False):
            weight = next(self.network.parameters())
            heard = resample(full_precision(waveform).flatten(0, 1), self.sample_rate, self.network_rate)
            heard = nn.functional.pad(heard, (0, max(0, self.shortest - heard.shape[-1])))
            return self.maps(heard.to(weight.dtype))

    def maps(self, waveform: Tensor) -> list[Tensor]:
        """Run the network on [batch * channels, samples] at its own rate."""
        raise NotImplementedError


def resample(waveform: Tensor, from_rate: int, to_rate: int) -> Tensor:
    """Change the sample rate of [..., samples] with a Kaiser-windowed sinc of 64 crossings, in the graph."""
    if from_rate == to_rate:
        return waveform
    from features.torchaudio_extension import allow_torchaudio_without_extension

    allow_torchaudio_without_extension()
    from torchaudio.functional import resample as windowed_sinc

    # torchaudio's documentation gives these numbers for librosa's "kaiser_best".
    heard: Tensor = windowed_sinc(
        waveform,
        from_rate,
        to_rate,
        lowpass_filter_width=64,
        rolloff=0.9475937167399596,
        resampling_method="sinc_interp_kaiser",
        beta=14.769656459379492,
    )
    return heard


def load_pretrained(architecture: Any, model: str, part: str) -> Any:
    """Give a pretrained network from a folder, this machine's cache, or the hub, in that order.

    It downloads only what is not on this machine, and says so in the log; HF_HUB_OFFLINE=1 forbids it.

    Args:
        architecture: a class of transformers.
        model: a folder as `save_pretrained` writes it, or a name on the hub.
        part: the submodule whose weights have to be there.

    Raises:
        EarError: the weights cannot be had, or are not that architecture's.
    """
    folder = Path(model).expanduser()
    name = str(folder) if folder.is_dir() else model
    options = {"dtype": torch.float32, "output_loading_info": True}
    try:
        network, found = architecture.from_pretrained(name, local_files_only=True, **options)
    except (OSError, ValueError) as error:
        if folder.is_dir():
            raise EarError(f"{folder} holds no {architecture.__name__}: {_first_line(error)}") from error
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", model):
            raise EarError(f"no such folder, and no name on the Hugging Face hub either: {model}") from error
        _demand_hub(model)
        journal.warning("downloading %s from the Hugging Face hub", model)
        try:
            network, found = architecture.from_pretrained(name, **options)
        except (OSError, ValueError) as problem:
            raise EarError(f"cannot load {model} from the Hugging Face hub: {_first_line(problem)}") from problem
    if any(key.startswith(f"{part}.") for key in found["missing_keys"]):
        raise EarError(f"{model} holds no {architecture.__name__}: weights of its {part} are missing")
    return network


def _demand_hub(model: str) -> None:
    """Ask the hub once, quickly: transformers itself would try for 23 s."""
    from huggingface_hub import HfApi

    try:
        HfApi().model_info(model, timeout=5)
    except Exception as error:  # having no network has many names
        raise EarError(
            f"{model} is not on this machine, and the Hugging Face hub does not give it ({_first_line(error)}); "
            f"run `hf download {model}` where there is a connection, or name a folder that holds it"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
