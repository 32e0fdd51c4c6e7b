"""Takes a few steps of a recipe in float64 on as many processes as torchrun starts, and keeps the weights.

torchrun --standalone --nproc_per_node 2 tests/two_process/steps.py OUT PROCESSES STEPS recipe arguments ...
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from gan.assembly import assemble, meet
from gan.config import load
from gan.data.dataset import PairCrops
from gan.data.loading import Share, micro_batches
from generators.contract import Pair


def main() -> None:
    out, processes, steps, *arguments = sys.argv[1:]
    torch.set_default_dtype(torch.float64)
    accelerator = meet()
    assert accelerator.num_processes == int(processes), "the launcher started another number of processes"
    assembly = assemble(load(arguments, Path("unused.yaml")), accelerator)
    data = assembly.recipe.data
    share = Share(data.batch, data.accumulate, accelerator.num_processes, accelerator.process_index)
    crops = PairCrops(Path(data.pairs), data.crop, assembly.recipe.seed)
    batches = micro_batches(crops, share, 0, int(steps), workers=0)
    for step in range(int(steps)):
        pairs = [Pair(*(x.double() for x in next(batches)), crops.sample_rate) for _ in range(data.accumulate)]  # type: ignore[arg-type,misc]
        assembly.step(pairs, step)
        assert assembly.state.average
        assembly.state.average.update(assembly.state.generator)
    if accelerator.is_main_process:
        assert assembly.state.critics
        assert assembly.state.average
        parts = {
            "generator": assembly.state.generator,
            "average": assembly.state.average.module,
            "critics": assembly.state.critics,
        }
        state = {f"{part}.{name}": x for part, module in parts.items() for name, x in module.state_dict().items()}
        save_file({name: x.contiguous() for name, x in state.items()}, out)
    accelerator.wait_for_everyone()
    accelerator.end_training()


main()
