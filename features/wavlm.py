"""Hear as WavLM's convolutions do: a frozen self-supervised speech model as a loss.

The convolutional front end alone ranks speech by closeness to clean better than the transformer above it or other
ears do (Babaev et al., FINALLY, 2024). It hears up to 8 kHz.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from features.pretrained import FrozenEar, load_pretrained
from features.torchaudio_extension import allow_torchaudio_without_extension

RATE = 16_000


class ConvolutionalEar(FrozenEar):
    """WavLM's convolutional front end (Chen et al., 2022), whatever its weights.

    Args:
        network: a `WavLMFeatureEncoder` of transformers: 7 layers, one frame for 320 samples at 16 kHz.
        sample_rate: of the waveforms that it is given, in Hz.
        layers: the last layer's map alone, or all layers'.
        normalise: bring each waveform to zero mean and unit variance first, as WavLM large saw its training data.
            Without it the level counts too: the weights that the field gives for this loss (100 in FINALLY's
            re-implementation, 1e5 beside DAC's mel loss) belong to waveforms as they are.
    """

    def __init__(
        self,
        network: nn.Module,
        sample_rate: int,
        layers: Literal["last", "all"] = "last",
        normalise: bool = False,
    ) -> None:
        super().__init__(network, sample_rate, RATE, shortest=400)
        self.layers = layers
        self.normalise = normalise

    def maps(self, waveform: Tensor) -> list[Tensor]:
        """[batch * channels, samples] at 16 kHz to maps of [batch * channels, 512, frames]."""
        if self.normalise:
            variance, mean = torch.var_mean(waveform, dim=-1, correction=0, keepdim=True)
            waveform = (waveform - mean) / (variance + 1e-7).sqrt()
        hidden = waveform[:, None]
        maps = []
        for layer in self.network.get_submodule("conv_layers").children():
            hidden = layer(hidden)
            maps.append(hidden)
        return maps if self.layers == "all" else maps[-1:]


class WavLM(ConvolutionalEar):
    """The front end with published weights.

    Args:
        sample_rate: of the waveforms that it is given, in Hz.
        model: a name on the Hugging Face hub, as microsoft/wavlm-large or microsoft/wavlm-base-plus, or a folder.
        layers: the last layer's map alone, or all layers'.
        normalise: see `ConvolutionalEar`.

    Raises:
        EarError: the weights are neither on this machine nor to be had from the hub.
    """

    def __init__(
        self,
        sample_rate: int,
        model: str = "microsoft/wavlm-large",
        layers: Literal["last", "all"] = "last",
        normalise: bool = False,
    ) -> None:
        allow_torchaudio_without_extension()
        from transformers import WavLMModel

        # The transformer above, 99 % of the weights, is let go.
        front = load_pretrained(WavLMModel, model, part="feature_extractor").feature_extractor
        super().__init__(front, sample_rate, layers, normalise)


class RandomWavLM(ConvolutionalEar):
    """A small front end of the same class with random weights, for tests and demonstrations without a download.

    Random convolutions hear too, only not what matters in speech.

    Args:
        sample_rate: of the waveforms that it is given, in Hz.
        seed: of the weights; the global random state is left as it is.
        channels: of every layer, 512 in the published ones.
        layers: the last layer's map alone, or all layers'.
    """

    def __init__(
        self, sample_rate: int, seed: int = 0, channels: int = 32, layers: Literal["last", "all"] = "last"
    ) -> None:
        allow_torchaudio_without_extension()
        from transformers import WavLMConfig, WavLMModel

        config = WavLMConfig(
            conv_dim=(channels,) * 7,
            feat_extract_norm="layer",  # as in WavLM large
            do_stable_layer_norm=True,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=1,
            intermediate_size=16,
            num_conv_pos_embeddings=2,
            num_conv_pos_embedding_groups=1,
        )
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            front = WavLMModel(config).feature_extractor
        super().__init__(front, sample_rate, layers)
