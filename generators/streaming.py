"""Any mender on audio of any length in constant memory: chunks with context on both sides, which is dropped again.

    input      ----[ context |      core      | context ]----
                             |                |
    output     ==============|      core      |

The context is the mender's reach, rounded up to its hop, and chunks start at multiples of the hop: a core comes out as
it would from the whole, so there is no seam to cross-fade.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from generators.contract import Mender


@torch.inference_mode()
def restore_stream(mender: Mender, blocks: Iterable[Tensor], chunk: int) -> Iterator[Tensor]:
    """Mend a stream.

    Args:
        mender: a network in eval mode.
        blocks: consecutive pieces, [channels, samples], of any lengths, on the mender's device.
        chunk: samples of a core, about; memory grows with it.

    Yields:
        Consecutive pieces, [channels, samples]; together exactly as long as the input.
    """
    hop = mender.hop
    context = -(-mender.reach // hop) * hop
    core = max(1, chunk // hop) * hop
    held: Tensor | None = None
    lead = 0  # samples at the start of `held` that are out already
    for block in blocks:
        held = block if held is None else torch.cat([held, block], dim=-1)
        while held.shape[-1] >= lead + core + context:
            output = mender.restore(held[None, :, : lead + core + context])[0]
            yield output[:, lead : lead + core]
            keep = min(lead + core, context)
            held = held[:, lead + core - keep :].clone()
            lead = keep
    if held is not None and held.shape[-1] > lead:
        yield mender.restore(held[None])[0][:, lead:]


def restore_waveform(mender: Mender, waveform: Tensor, chunk: int) -> Tensor:
    """Mend [channels, samples] in chunks, to the same shape."""
    return torch.cat(list(restore_stream(mender, [waveform], chunk)), dim=-1)
