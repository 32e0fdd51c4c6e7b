"""The examples that a generator is trained on, seen to fit it before the first step."""

from pathlib import Path

from torch import nn

from gan.data.dataset import PairCrops
from gan.data.loading import Share
from gan.recipe import ConfigError, Data


def open_crops(data: Data, seed: int, generator: nn.Module) -> PairCrops:
    """Open the training examples.

    Raises:
        ConfigError: they have another sample rate than the generator, or another number of channels.
        ManifestError: there are none.
    """
    folder = Path(data.pairs)
    crops = PairCrops(folder, data.crop, seed, data.semitones, data.gain, data.narrow, data.unshifted)
    rate = getattr(generator, "sample_rate", None)
    if rate != crops.sample_rate:
        raise ConfigError(f"the generator works at {rate} Hz, but {folder} holds pairs at {crops.sample_rate} Hz")
    # A codec gets as many channels as it codes together; restorers work channel by channel.
    wanted, there = getattr(generator, "channels", None), crops.channels
    if isinstance(wanted, int) and wanted != there:
        raise ConfigError(
            f"the generator codes {wanted} channel{'s' * (wanted != 1)}, but {folder} holds pairs of {there}: make "
            f"some with `unshift pairs --channels {wanted}`, or give its encoder and decoder `audio: {there}`"
        )
    return crops


def share_of(data: Data, processes: int, process: int) -> Share:
    """Say which examples a process takes.

    Raises:
        ConfigError: the batch cannot be divided evenly.
    """
    try:
        return Share(data.batch, data.accumulate, processes, process)
    except ValueError as error:
        raise ConfigError(str(error)) from error
