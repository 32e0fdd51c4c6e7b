"""Hear as the encoder of the Descript Audio Codec does (Kumar et al., 2023): full-band, for any kind of sound."""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from features.pretrained import FrozenEar, load_pretrained
from features.torchaudio_extension import allow_torchaudio_without_extension


class EncoderEar(FrozenEar):
    """The first blocks of a DAC encoder, whatever its weights: a map after each of a block's three residual units.

    The first block works at the full rate and takes most of the memory.

    Args:
        network: a `DacEncoder` of transformers.
        sample_rate: of the waveforms that it is given, in Hz.
        network_rate: that the encoder was trained at, in Hz.
        blocks: how many of the encoder's blocks are heard.
        checkpointed: compute the maps again in the backward pass instead of keeping what they are made of.
    """

    def __init__(
        self, network: nn.Module, sample_rate: int, network_rate: int, *, blocks: int = 2, checkpointed: bool = False
    ) -> None:
        stages = list(network.get_submodule("block").children())
        if not 1 <= blocks <= len(stages):
            raise ValueError(f"blocks has to lie in 1..{len(stages)}, the blocks of this encoder, not {blocks}")
        heard = nn.ModuleList([network.get_submodule("conv1"), *stages[:blocks]])
        super().__init__(heard, sample_rate, network_rate, shortest=512)
        self.checkpointed = checkpointed

    def maps(self, waveform: Tensor) -> list[Tensor]:
        """[batch * channels, samples] at the network's rate to maps of [batch * channels, channels, frames]."""
        stem, *stages = self.network.children()
        hidden = stem(waveform[:, None])
        maps: list[Tensor] = []
        for index, stage in enumerate(stages):
            if index > 0:
                hidden = self._down(stages[index - 1], hidden)
            for unit in ("res_unit1", "res_unit2", "res_unit3"):
                hidden = self._through(stage.get_submodule(unit), hidden)
                maps.append(hidden)
        return maps

    @staticmethod
    def _down(stage: nn.Module, hidden: Tensor) -> Tensor:
        """Run what a block has after its residual units; the last block's is never needed."""
        heard: Tensor = stage.get_submodule("conv1")(stage.get_submodule("snake1")(hidden))
        return heard

    def _through(self, unit: nn.Module, hidden: Tensor) -> Tensor:
        again = self.checkpointed and torch.is_grad_enabled() and hidden.requires_grad
        heard: Tensor = checkpoint(unit, hidden, use_reentrant=False) if again else unit(hidden)
        return heard


class DACEncoder(EncoderEar):
    """The first blocks of the encoder with published weights.

    Args:
        sample_rate: of the waveforms that it is given, in Hz.
        model: a name on the Hugging Face hub, as descript/dac_44khz, or a folder.
        blocks: how many of the encoder's blocks are heard.
        checkpointed: see `EncoderEar`.

    Raises:
        EarError: the weights are neither on this machine nor to be had from the hub.
    """

    def __init__(
        self, sample_rate: int, model: str = "descript/dac_44khz", blocks: int = 2, checkpointed: bool = False
    ) -> None:
        allow_torchaudio_without_extension()
        from transformers import DacModel

        codec = load_pretrained(DacModel, model, part="encoder")
        rate = int(codec.config.sampling_rate)
        super().__init__(codec.encoder, sample_rate, rate, blocks=blocks, checkpointed=checkpointed)


class RandomDAC(EncoderEar):
    """A small encoder of the same class with random weights, for tests and demonstrations without a download.

    Args:
        sample_rate: of the waveforms that it is given, in Hz.
        seed: of the weights; the global random state is left as it is.
        channels: of the first block, 64 in the published ones.
        blocks: how many of the encoder's blocks are heard.
        checkpointed: see `EncoderEar`.
    """

    def __init__(
        self, sample_rate: int, seed: int = 0, channels: int = 8, blocks: int = 2, checkpointed: bool = False
    ) -> None:
        allow_torchaudio_without_extension()
        from transformers import DacConfig, DacModel

        config = DacConfig(
            encoder_hidden_size=channels,
            decoder_hidden_size=16,
            n_codebooks=1,
            codebook_size=2,
            sampling_rate=44_100,
        )
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            encoder = DacModel(config).encoder
            for layer in encoder.modules():
                if isinstance(layer, nn.Conv1d):
                    layer.reset_parameters()  # transformers' own start lets the sound fade from layer to layer
        super().__init__(encoder, sample_rate, config.sampling_rate, blocks=blocks, checkpointed=checkpointed)
