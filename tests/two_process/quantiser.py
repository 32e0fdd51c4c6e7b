"""Trains a residual VQ in float64 on as many processes as torchrun starts, each on its share, and keeps its state.

torchrun --standalone --nproc_per_node 2 tests/two_process/quantiser.py OUT EARLY STEPS PARTS SPOILT arguments as JSON

EARLY is 1 to build the quantiser before the processes meet, 0 after. PARTS: passes that a share of a batch comes in.
SPOILT: the part of a first step in which process 1 has a frame that is not finite, for which the step is forgotten; -1
for no such step. Every process writes OUT.<rank>.
"""

import json
import sys
from datetime import timedelta

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from vector_quantize_pytorch.vector_quantize_pytorch import is_distributed

from generators.residual_vq import ResidualVQ
from generators.usage import Usage


def build(arguments: dict[str, object]) -> ResidualVQ:
    torch.manual_seed(0)
    return ResidualVQ(**arguments)  # type: ignore[arg-type]


def refuse(quantiser: ResidualVQ, parts: int, spoilt: int, rank: int) -> None:
    """Take a step that is refused."""
    for part in range(parts):
        hidden = torch.randn(2, 4, 50, generator=torch.Generator().manual_seed(2 * part + rank))
        if (part, rank) == (spoilt, 1):
            hidden[0, 0, 7] = torch.nan
        quantiser(hidden)
        if spoilt == 0 and part == 0:
            assert not any(book.initted for book in quantiser._books), "no process starts from it"
    quantiser.forget()


def main() -> None:
    out, early, steps, parts, spoilt, words = sys.argv[1:]
    torch.set_default_dtype(torch.float64)
    if early == "1":
        assert not is_distributed()  # the library keeps this answer: it must not be what ours goes by
        quantiser = build(json.loads(words))
    dist.init_process_group("gloo", timeout=timedelta(seconds=30))
    rank, world = dist.get_rank(), dist.get_world_size()
    if early == "0":
        quantiser = build(json.loads(words))
    torch.manual_seed(rank)  # what processes draw for themselves differs
    if int(spoilt) >= 0:
        refuse(quantiser, int(parts), int(spoilt), rank)
        torch.manual_seed(rank)
    optimiser = torch.optim.SGD(quantiser.parameters(), 0.5) if list(quantiser.parameters()) else None
    data = torch.Generator().manual_seed(5)
    centres = 5 * torch.randn(12, 4, generator=data)
    penalties, usage = [], Usage(quantiser.codebooks, decay=0.5)
    for _ in range(int(steps)):
        chosen = torch.randint(0, 12, (4, 50), generator=data)
        hidden = (centres[chosen] + 0.3 * torch.randn(4, 50, 4, generator=data)).transpose(1, 2)
        latents = [quantiser(part) for part in hidden.chunk(world)[rank].chunk(int(parts))]
        for latent in latents:
            usage.note(latent.codes)
        penalty = sum((x for latent in latents for x in latent.penalties.values()), torch.zeros(())) / len(latents)
        if optimiser:
            optimiser.zero_grad()
            penalty.backward()
            for parameter in quantiser.parameters():
                dist.all_reduce(parameter.grad)
                parameter.grad /= world
            optimiser.step()
        quantiser.learn()
        usage.learn()
        said = penalty.detach().clone()
        dist.all_reduce(said)
        penalties.append(said / world)
    state = {name: x.contiguous() for name, x in (quantiser.state_dict() | usage.state_dict()).items()}
    save_file(state | {"penalties": torch.stack(penalties)}, f"{out}.{rank}")
    dist.barrier()
    dist.destroy_process_group()


main()
