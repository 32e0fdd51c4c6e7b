"""A new run's beginning with what an older one learned: weights, critics, and what the critics' optimiser remembers."""

from pathlib import Path

from torch.optim import Optimizer

from gan.checkpoint import CheckpointError, load_critics, load_tensors
from gan.faults.contents import load_optimiser
from gan.recipe import ConfigError, Initialise, Recipe
from gan.wording import plain
from generators import store

CRITICS, MOMENTS = "critics", "critics_optimiser"


def initialise(recipe: Recipe, origin: Initialise) -> None:
    """Give a new run the weights of an older one.

    Raises:
        ConfigError: the weights are of another network.
        ModelError, CheckpointError: they cannot be read.
    """
    for part in sorted(origin.parts, key=len):  # the whole before its parts, which would be overwritten
        whole, _, name = part.partition(".")
        if whole == "generator":
            store.load_weights(store.resolve(origin.folder_of(part)), recipe.generator, name)
        elif part not in (CRITICS, MOMENTS):
            raise ConfigError(
                f"initialise.parts names {part!r}: generator, generator.<a part of it>, {CRITICS} or {MOMENTS}"
            )
    judging = sorted({CRITICS, MOMENTS} & set(origin.parts))
    if judging and recipe.adversary is None:
        raise ConfigError(f"initialise.parts names {judging[0]}, but the recipe has no adversary: take them out")
    if judging == [MOMENTS]:
        raise ConfigError(f"initialise.parts names {MOMENTS} without {CRITICS}: name both, or neither")
    if len(judging) == 2 and origin.folder_of(CRITICS) != origin.folder_of(MOMENTS):
        raise ConfigError(f"initialise.elsewhere must name one folder for {CRITICS} and {MOMENTS}: it remembers them")
    if CRITICS in judging and recipe.adversary:
        load_critics(_judges(origin, CRITICS), recipe.adversary.panel)


def take_moments(origin: Initialise, optimiser: Optimizer) -> None:
    """Let the critics' optimiser remember what the older run's did; rates and the like stay the recipe's.

    Without it critics that know their trade take steps of full length at first, in directions of a single batch.

    Raises:
        CheckpointError: there is nothing to remember, or it is of other critics.
    """
    folder = _judges(origin, MOMENTS)
    file = folder / CRITICS / "training.pt" if (folder / CRITICS / "training.pt").exists() else folder / "training.pt"
    words = [{name: value for name, value in group.items() if name != "params"} for group in optimiser.param_groups]
    try:
        saved = load_tensors(file).get(MOMENTS)
    except CheckpointError as error:
        raise CheckpointError(f"cannot take {MOMENTS} from {file}: it is missing or damaged") from error
    if saved is None:
        raise CheckpointError(f"cannot take {MOMENTS} from {file}: its run had no critics")
    try:
        groups = zip(saved["param_groups"], words, strict=True)
        load_optimiser(
            optimiser, saved | {"param_groups": [{"params": group["params"], **own} for group, own in groups]}
        )
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(plain(f"cannot take {MOMENTS} from {file}: it is of other critics ({error})")) from error


def _judges(origin: Initialise, part: str) -> Path:
    """Find the critics of a generator's folder: in it, as a shipped model has them, or beside it, in a checkpoint."""
    folder = store.resolve(origin.folder_of(part))
    return folder if (folder / CRITICS).is_dir() else folder.parent
