"""Hear as a codec of this project does: a trained encoder as a frozen ear, in place of one from the hub."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from features.contract import EarError
from features.pretrained import FrozenEar
from generators import store
from generators.codec import Codec
from generators.contract import ModelError
from generators.convolution import pad_to_multiple


class CodecEncoder(FrozenEar):
    """The encoder of a codec that was trained here: a map after each named part.

    Args:
        sample_rate: of the waveforms that it is given, in Hz.
        folder: the codec's run, checkpoint or folder.
        taps: names of the encoder's parts whose outputs are heard, as "layers.layers.0"; an unknown one's error lists
            those that there are.

    Raises:
        EarError: there is no such codec, or it has no such part.
    """

    def __init__(self, sample_rate: int, folder: str, taps: Sequence[str]) -> None:
        try:
            codec = store.load(store.resolve(Path(folder)))
        except ModelError as error:
            raise EarError(str(error)) from error
        if not isinstance(codec, Codec):
            raise EarError(f"{folder} holds a {type(codec).__name__}, which has no encoder: name a codec")
        names = [name for name, _ in codec.encoder.named_modules() if name]
        if not taps or not set(taps) <= set(names):
            unknown = sorted(set(taps) - set(names))
            raise EarError(f"taps names {unknown}; the encoder of {folder} has {', '.join(names)}")
        super().__init__(codec.encoder, sample_rate, codec.sample_rate, shortest=codec.hop)
        self.taps = tuple(taps)
        self.channels, self.multiple = codec.channels, codec.hop

    def maps(self, waveform: Tensor) -> list[Tensor]:
        """[batch * channels, samples] at the codec's rate to maps, in the order of the taps."""
        heard: dict[str, Tensor] = {}

        def listen(name: str) -> torch.utils.hooks.RemovableHandle:
            def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
                heard[name] = output
                if len(heard) == len(self.taps):
                    raise _EnoughError

            return self.network.get_submodule(name).register_forward_hook(keep)

        handles = [listen(name) for name in self.taps]
        try:
            self.network(pad_to_multiple(waveform, self.multiple)[:, None].expand(-1, self.channels, -1))
        except _EnoughError:
            pass  # what lies behind the last tap need not be computed
        finally:
            for handle in handles:
                handle.remove()
        return [heard[name] for name in self.taps]


class _EnoughError(Exception):
    """Every tap has been heard."""
