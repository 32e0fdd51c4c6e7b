"""Trains a residual VQ in float64 on as many processes as torchrun starts, each on its share, and keeps its state.

torchrun --standalone --nproc_per_node 2 tests/two_process/quantiser.py OUT EARLY STEPS PARTS arguments as JSON

EARLY is 1 to build the quantiser before the processes meet, 0 after. PARTS: passes that a share of a batch comes in.
Every process writes OUT.<rank>.
"""

import json
import sys

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from vector_quantize_pytorch.vector_quantize_pytorch import is_distributed

from generators.residual_vq import ResidualVQ
from generators.usage import Usage


def build(arguments: dict[str, object]) -> ResidualVQ:
    torch.manual_seed(0)
    return ResidualVQ(**arguments)  # type: ignore[arg-type]


def main() -> None:
    out, early, steps, parts, words = sys.argv[1:]
    torch.set_default_dtype(torch.float64)
    if early == "1":
        assert not is_distributed()  # the library keeps this answer: it must not be what ours goes by
        quantiser = build(json.loads(words))
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    if early == "0":
        quantiser = build(json.loads(words))
    torch.manual_seed(rank)  # what processes draw for themselves differs
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
