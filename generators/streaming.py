"""Any mender or coder on audio of any length in constant memory: chunks with context on both sides, dropped again.

    input      ----[ context |      core      | context ]----
                             |                |
    output     ==============|      core      |

The context is the network's reach, rounded up to its hop, and chunks start at multiples of the hop: a core comes out as
it would from the whole, so there is no seam to cross-fade.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from generators.contract import Coder, Mender, ModelError


@dataclass(frozen=True, slots=True)
class _Window:
    """A core with its context: [..., lead + core + what follows]."""

    held: Tensor
    lead: int
    core: int


def _windows(blocks: Iterable[Tensor], core: int, context: int) -> Iterator[_Window]:
    """Cut a stream, consecutive pieces [..., any length], into windows; the last core is as long as it comes."""
    pieces: list[Tensor] = []
    there = 0
    lead = 0  # items at the start of what is held that are out already
    for block in blocks:
        pieces.append(block)
        there += block.shape[-1]
        if there < lead + core + context:
            continue
        held = torch.cat(pieces, dim=-1)
        while held.shape[-1] >= lead + core + context:
            yield _Window(held[..., : lead + core + context], lead, core)
            keep = min(lead + core, context)
            held = held[..., lead + core - keep :]
            lead = keep
        # A copy: what is held would keep all that it was cut from alive.
        pieces, there = [held.clone()], held.shape[-1]
    if there > lead:
        yield _Window(torch.cat(pieces, dim=-1), lead, there - lead)


def _sizes(hop: int, reach: int, chunk: int) -> tuple[int, int]:
    """Round a chunk down and a reach up to hops, one hop of a chunk at least."""
    return max(1, chunk // hop) * hop, -(-reach // hop) * hop


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
    for window in _windows(blocks, *_sizes(mender.hop, mender.reach, chunk)):
        yield mender.restore(window.held[None])[0][:, window.lead : window.lead + window.core]


@torch.inference_mode()
def encode_stream(coder: Coder, blocks: Iterable[Tensor], chunk: int) -> Iterator[Tensor]:
    """Write a stream down, or several of the same length side by side (the channels of a file, say).

    Args:
        coder: a network in eval mode.
        blocks: consecutive pieces, [streams, channels, samples], of any lengths, on the coder's device.
        chunk: samples of a core, about; memory grows with it, and with the streams.

    Yields:
        Consecutive pieces, [streams, width, frames]; together samples / frame, rounded up. All but the last are of
        whole hops.
    """
    for window in _windows(blocks, *_sizes(coder.hop, coder.encoder_reach, chunk)):
        first, stop = window.lead // coder.frame, -(-(window.lead + window.core) // coder.frame)
        yield coder.encode(window.held)[..., first:stop]


@torch.inference_mode()
def decode_stream(coder: Coder, codes: Iterable[Tensor], samples: int, chunk: int) -> Iterator[Tensor]:
    """Read a stream back, or several of the same length side by side.

    Args:
        coder: a network in eval mode.
        codes: consecutive pieces, [streams, up to width, frames], of any lengths, on the coder's device.
        samples: how many there are to be.
        chunk: samples of a core, about; memory grows with it, and with the streams.

    Yields:
        Consecutive pieces, [streams, channels, samples]; together as many samples as asked for.

    Raises:
        ModelError: fewer frames than so many samples need; what there is has come out by then.
    """
    core, context = (size // coder.frame for size in _sizes(coder.hop, coder.decoder_reach, chunk))
    left = samples
    for window in _windows(codes, core, context):
        if left <= 0:
            return
        waveform = coder.decode(window.held, window.held.shape[-1] * coder.frame)[..., window.lead * coder.frame :]
        piece = waveform[..., : min(left, window.core * coder.frame)]
        left -= piece.shape[-1]
        yield piece
    if left > 0:
        raise ModelError(f"the frames end {left} samples before the {samples} that they are to be decoded to")


def frames_for(coder: Coder, start: int, stop: int, frames: int) -> tuple[int, int]:
    """Say which frames a section needs, so that its samples come out as they would from the whole.

    Decode code[..., first:last] and drop start - first * frame samples in front.

    Args:
        coder: see generators.contract.Coder.
        start: the section's first sample.
        stop: the sample after its last one, more than start.
        frames: how many there are.

    Returns:
        The first frame, at the start of a hop, and the one after the last, at the end of a hop or of all frames.

    Raises:
        ModelError: a section of no samples, or beyond the frames.
    """
    if not 0 <= start < stop <= frames * coder.frame:
        raise ModelError(f"there is no section of samples {start} to {stop} in {frames * coder.frame}")
    block = coder.hop // coder.frame
    first = max(0, (start - coder.decoder_reach) // coder.hop * block)
    last = -(-(stop + coder.decoder_reach) // coder.hop) * block
    return first, min(last, frames)


def restore_waveform(mender: Mender, waveform: Tensor, chunk: int) -> Tensor:
    """Mend [channels, samples] in chunks, to the same shape."""
    return torch.cat(list(restore_stream(mender, [waveform], chunk)), dim=-1)
