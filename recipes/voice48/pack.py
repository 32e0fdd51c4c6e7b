"""Keep the critics that the shipped restorer grew up with, and what their optimiser remembers, for one's own stage 3.

    python recipes/voice48/pack.py runs/voice48_3 generators/voice48

writes generators/voice48/critics; recipes/voice48/finetune.yaml begins there. The losses to compare with are in
training/journal.jsonl beside it.
"""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from gan.checkpoint import CheckpointError, load_tensors
from gan.initialising import CRITICS, MOMENTS
from generators import store
from generators.contract import ModelError


def smaller(value: Any) -> Any:
    """Halve the moments: a square of 1e-12 is nothing to float16, and bfloat16 has float32's range."""
    if isinstance(value, Tensor):
        return value.bfloat16() if value.ndim else value
    return {key: smaller(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def main(arguments: Sequence[str] | None = None) -> None:
    """Write FOLDER/critics of the checkpoint that the generator was taken from."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", type=Path, help="a run of stage 3")
    parser.add_argument("folder", type=Path, help="the shipped model")
    parsed = parser.parse_args(arguments)
    try:
        checkpoint = store.resolve(parsed.run).parent
        moments = load_tensors(checkpoint / "training.pt").get(MOMENTS)
    except (ModelError, CheckpointError) as error:
        parser.error(str(error))
    if moments is None or not parsed.folder.is_dir():
        parser.error(f"{parsed.run} has no critics" if moments is None else f"{parsed.folder} is no folder")
    pack = parsed.folder / CRITICS
    partial = pack.with_name(CRITICS + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    state = load_file(checkpoint / CRITICS / store.WEIGHTS)
    save_file({name: tensor.half() for name, tensor in state.items()}, partial / store.WEIGHTS)
    torch.save({MOMENTS: moments | {"state": smaller(moments["state"])}}, partial / "training.pt")
    for file in partial.iterdir():
        file.chmod(0o644)  # safetensors writes for the owner alone
        store.sync(file)
    store.put_in_place(partial, pack)


if __name__ == "__main__":
    main()
