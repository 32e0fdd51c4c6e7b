"""Trains self-organising maps in float64 on as many processes as torchrun starts, each on its share of a batch.

torchrun --standalone --nproc_per_node 2 tests/two_process/maps.py OUT STEPS SPOILT arguments as JSON

SPOILT: 1 to begin with a step that is forgotten, for process 1 has a frame in it that is not finite; 0 for none. Every
process writes OUT.<rank>.
"""

import json
import sys
from datetime import timedelta

import torch
import torch.distributed as dist
from safetensors.torch import save_file

from generators.som import SelfOrganisingMaps


def main() -> None:
    out, steps, spoilt, words = sys.argv[1:]
    torch.set_default_dtype(torch.float64)
    dist.init_process_group("gloo", timeout=timedelta(seconds=30))
    rank, world = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(0)
    maps = SelfOrganisingMaps(**json.loads(words))
    optimiser = torch.optim.SGD(maps.parameters(), 0.5) if list(maps.parameters()) else None
    torch.manual_seed(rank)  # what processes draw for themselves differs
    if spoilt == "1":
        maps(torch.randn(4, 4, 50).index_fill(2, torch.arange(rank), torch.nan))
        assert not maps.laid, "no process starts from it"
        maps.forget()
    data = torch.Generator().manual_seed(5)
    first = None
    for _ in range(int(steps)):
        hidden = torch.randn(4, 4, 50, generator=data).cumsum(dim=1)
        penalty = sum(maps(hidden.chunk(world)[rank]).penalties.values(), torch.zeros(()))
        if optimiser:
            optimiser.zero_grad()
            penalty.backward()
            for parameter in maps.parameters():
                dist.all_reduce(parameter.grad)
                parameter.grad /= world
            optimiser.step()
        maps.learn()
        if first is None:
            first = maps.entries.detach().clone()
    state = {name: x.contiguous() for name, x in maps.state_dict().items()}
    save_file(state | {"first": first}, f"{out}.{rank}")
    dist.barrier()
    dist.destroy_process_group()


main()
