"""From a checked configuration to networks on their devices, wrapped for as many processes as there are."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor, nn
from torch.optim import Optimizer

from gan.averaging import Average
from gan.checkpoint import State
from gan.config import Config, one_line
from gan.critics import ADVERSARIAL, FEATURE_MATCHING, Critics
from gan.initialising import MOMENTS, initialise, take_moments
from gan.recipe import Adversary, ConfigError, OptimiserFactory, Recipe
from gan.step import Step
from gan.weighing import check_weights


class Wires:
    """Gradients travel as the wrapped modules send them; see gan.critics.Gradients."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator

    def backward(self, loss: Tensor, output: Tensor, gradient: Tensor | None) -> None:
        """Add to the parameters' gradients, averaged over processes.

        By torch alone: Accelerate's own would divide by an accumulation that it was told of elsewhere.
        """
        roots: list[tuple[Tensor, Tensor | None]] = [(loss, None)] if loss.requires_grad or gradient is None else []
        if gradient is not None:
            roots.append((output, gradient))
        tensors, given = zip(*roots, strict=True)
        torch.autograd.backward(tensors, given)

    def held_back(self, module: nn.Module, wait: bool) -> AbstractContextManager[None]:
        """While `wait`, gradients stay on this process."""
        return cast(AbstractContextManager[None], self.accelerator.no_sync(module)) if wait else nullcontext()

    def send(self, parameters: Sequence[nn.Parameter]) -> Callable[[], None]:
        """Begin to average the parameters' gradients over processes."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if self.accelerator.num_processes == 1 or not gradients:
            return _nothing
        joined = torch.cat([gradient.flatten() for gradient in gradients])
        work = dist.all_reduce(joined, async_op=True)

        def wait() -> None:
            work.wait()
            joined.div_(self.accelerator.num_processes)
            pieces = torch.split(joined, [gradient.numel() for gradient in gradients])
            for gradient, piece in zip(gradients, pieces, strict=True):
                gradient.copy_(piece.view_as(gradient))

        return wait


def _nothing() -> None:
    """Wait for nothing."""


@dataclass
class Assembly:
    """A run's parts, ready to train.

    Attributes:
        recipe: with its parts built.
        state: the bare parts, which a checkpoint keeps.
        step: the wrapped parts.
    """

    recipe: Recipe
    state: State
    step: Step


WHOLE = "let every process hold the whole network (--multi_gpu)"
# What a launcher asks for through the environment, and a recipe says or nobody does: the variable, what stands there
# where nothing is asked for, the launcher's option, and what to do instead.
ELSEWHERE = (
    ("ACCELERATE_MIXED_PRECISION", "no", "--mixed_precision", "recipes have --precision bf16 (or fp32)"),
    (
        "ACCELERATE_GRADIENT_ACCUMULATION_STEPS",
        "1",
        "--gradient_accumulation_steps",
        "recipes have --data.accumulate",
    ),
    ("ACCELERATE_DYNAMO_BACKEND", "no", "--dynamo_backend", "recipes have --compile true"),
    ("ACCELERATE_USE_FSDP", "false", "--use_fsdp", WHOLE),
    ("ACCELERATE_USE_DEEPSPEED", "false", "--use_deepspeed", WHOLE),
    ("ACCELERATE_USE_MEGATRON_LM", "false", "--use_megatron_lm", WHOLE),
    ("ACCELERATE_USE_PARALLELISM_CONFIG", "false", "--use_parallelism_config", WHOLE),
)


def meet() -> Accelerator:
    """Meet the other processes.

    Raises:
        ConfigError: the launcher asks for what the recipe says (a precision, accumulation, compilation), or for a way
            to share networks out that is not ours.
    """
    for variable, nothing, option, instead in ELSEWHERE:
        asked = os.environ.get(variable, nothing).strip().lower()
        if asked not in ("", nothing):
            raise ConfigError(f"leave out accelerate's {option} ({variable} is {asked}): {instead}")
    # Buffers are windows and filters, alike everywhere: to broadcast them would only break graphs that hold them.
    plain = DistributedDataParallelKwargs(broadcast_buffers=False)
    return Accelerator(mixed_precision="no", kwargs_handlers=[plain])


def assemble(config: Config, accelerator: Accelerator) -> Assembly:
    """Build, initialise and wrap every part of a recipe.

    Raises:
        ConfigError: parts that do not fit each other.
        WeightError: losses and weights that do not match.
        ModelError, CheckpointError: weights to start from that cannot be read.
        EarError: a frozen ear's weights cannot be had.
    """
    recipe = _build(config)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = recipe.tf32
    check_weights(recipe.weights, recipe.terms, (ADVERSARIAL, FEATURE_MATCHING) if recipe.adversary else ())
    if recipe.initialise:
        initialise(recipe, recipe.initialise)
    generator = recipe.generator.to(accelerator.device)
    freeze(generator, recipe.frozen)
    average = make_average(generator, recipe.average)
    optimiser = make_optimiser(recipe.optimiser, generator)
    critics = _critics(recipe.adversary, recipe.seed, accelerator) if recipe.adversary else None
    if critics and recipe.initialise and MOMENTS in recipe.initialise.parts:
        take_moments(recipe.initialise, critics.optimiser)
    if recipe.compile:
        generator.compile()
    step = Step(
        generator=cast(nn.Module, accelerator.prepare_model(generator)),
        optimiser=optimiser,
        terms={name: term.to(accelerator.device).requires_grad_(False) for name, term in recipe.terms.items()},
        weights=recipe.weights,
        gradients=Wires(accelerator),
        critics=critics,
        timetable=recipe.adversary,
        clip=recipe.clip,
        precision=torch.bfloat16 if recipe.precision == "bf16" else None,
        limit=recipe.bad_numbers.limit,
    )
    state = State(generator, config.part("generator"), optimiser, average)
    if critics:
        state.critics, state.critics_optimiser = critics.panel, critics.optimiser
    # From here on what is random (dropout) differs between processes.
    torch.manual_seed(recipe.seed * 65_537 + accelerator.process_index)
    return Assembly(recipe, state, step)


def freeze(generator: nn.Module, prefixes: list[str]) -> None:
    """Let the parameters whose names begin with a prefix learn no more.

    Raises:
        ConfigError: a prefix that nothing has, or nothing left to learn.
    """
    for prefix in prefixes:
        parameters = [p for name, p in generator.named_parameters() if name.startswith(prefix)]
        modules = [module for name, module in generator.named_modules() if name.startswith(prefix)]
        if not parameters and not modules:
            raise ConfigError(f"frozen names {prefix!r}, but no parameter of the generator begins so")
        for parameter in parameters:
            parameter.requires_grad_(False)
        for module in modules:  # what learns without parameters, as codebooks do by moving averages, learns in training
            module.eval()
    if not any(p.requires_grad for p in generator.parameters()):
        raise ConfigError("nothing of the generator is left to learn: name fewer prefixes under frozen")


def make_optimiser(factory: OptimiserFactory, module: nn.Module) -> Optimizer:
    """Make an optimiser of the parameters that learn.

    Raises:
        ConfigError: it does not take its settings.
    """
    try:
        return factory([parameter for parameter in module.parameters() if parameter.requires_grad])
    except Exception as error:  # an optimiser of anyone's may raise anything
        raise ConfigError(f"the optimiser of {type(module).__name__} cannot be made: {one_line(error)}") from error


def make_average(module: nn.Module, decay: float) -> Average | None:
    """Make the average of a module's weights, or None for a decay of 0.

    Raises:
        ConfigError: the module cannot be copied, or the decay cannot be.
    """
    try:
        return Average(module, decay) if decay else None
    except Exception as error:  # a copy runs code of the module's own
        raise ConfigError(f"no average of {type(module).__name__} can be made: {one_line(error)}") from error


def _build(config: Config) -> Recipe:
    with _seeded(int(config.values["seed"])):
        return config.build()


def _critics(adversary: Adversary, seed: int, accelerator: Accelerator) -> Critics:
    panel = adversary.panel.to(accelerator.device)
    if accelerator.num_processes > 1:
        for tensor in panel.state_dict().values():
            dist.broadcast(tensor, 0)
    return Critics(
        panel=panel,
        optimiser=make_optimiser(adversary.optimiser, panel),
        loss=adversary.loss,
        matching=adversary.matching,
        clip=adversary.clip,
        gradients=Wires(accelerator),
        members=adversary.members,
        seed=seed,
    )


@contextmanager
def _seeded(seed: int) -> Iterator[Any]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
