"""What a checkpoint may hold: contents that no run wrote are refused before a step works with them.

Digests tell what a disk has spoilt; of what somebody sealed anew they say nothing, and a fused optimiser writes past
the end of a moment that is too small.
"""

import math
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

MOMENTS = (
    "exp_avg",
    "exp_avg_sq",
    "max_exp_avg_sq",
    "momentum_buffer",
)  # as large as their parameter, in any optimiser


def load_optimiser(optimiser: Optimizer, saved: Any) -> None:
    """Fill an optimiser, and see that what it holds now is such as it makes itself.

    Raises:
        ValueError: it is not; or whatever else its own loading meets.
    """
    made = [dict(group) for group in optimiser.param_groups]
    optimiser.load_state_dict(saved)
    for group, own in zip(optimiser.param_groups, made, strict=True):
        for name in own.keys() - {"params"}:
            if not _alike(group[name], own[name]):
                raise ValueError(f"an optimiser's {name} is {group[name]!r}")
        for name in ("initial_lr", "step"):
            check_number(f"an optimiser's {name}", group.get(name, 0))
        for parameter in group["params"]:
            kept = optimiser.state.get(parameter)
            if kept:  # else it has had no gradient so far
                _check_kept(kept, parameter, _names(optimiser, group) or kept.keys() & set(MOMENTS))


def _names(optimiser: Optimizer, group: Mapping[str, Any]) -> Collection[str]:
    if "use_muon" in group:  # see gan.optimisers
        return ("momentum_buffer",) if group["use_muon"] else ("exp_avg", "exp_avg_sq")
    if isinstance(optimiser, Adam):
        return ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if group["amsgrad"] else ("exp_avg", "exp_avg_sq")
    return ()


def _check_kept(kept: Mapping[str, Any], parameter: nn.Parameter, names: Collection[str]) -> None:
    for name in names:
        moment = kept[name]
        if not (isinstance(moment, Tensor) and moment.shape == parameter.shape and moment.dtype == parameter.dtype):
            raise ValueError(f"an optimiser's {name} is not of the kind and shape of its parameter")
        # One number may be told to stand for all: what is written to it in one go would go past its end.
        if moment.layout != torch.strided or not (moment.is_contiguous() or moment.stride() == parameter.stride()):
            raise ValueError(f"an optimiser's {name} does not lie in memory as its parameter does")
    step = kept.get("step", 0)
    if isinstance(step, Tensor):
        step = step.item() if step.ndim == 0 else None
    check_number("an optimiser's step", step)


def _alike(value: Any, own: Any) -> bool:
    if isinstance(own, list | tuple):
        return (
            isinstance(value, list | tuple)
            and len(value) == len(own)
            and all(_alike(*both) for both in zip(value, own, strict=True))
        )
    return _is_number(value) if _is_number(own) else type(value) is type(own)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def check_number(what: str, value: Any, least: float = 0) -> None:
    """Refuse what is no finite number from a least one up.

    Raises:
        ValueError: it is none.
    """
    if not (_is_number(value) and value >= least):
        raise ValueError(f"{what} is {value!r}")


def check_count(what: str, value: Any) -> int:
    """Give a whole number from 0 up.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{what} is {value!r}")
    return value


def check_numbers(what: str, values: Any, least: float = 0) -> dict[str, float]:
    """Give finite numbers by name.

    Raises:
        ValueError: they are not.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{what} is {values!r}")
    for name, value in values.items():
        check_number(f"{what}, {name!r},", value, least)
    return values


def check_tally(tally: Any) -> dict[str, Any]:
    """Give what a process has summed up, see gan.tally.

    Raises:
        ValueError: it is no such thing.
        KeyError: something is missing.
    """
    if not isinstance(tally, dict):
        raise ValueError(f"the tally is {tally!r}")
    sums, counts = tally["sums"], check_numbers("the tally's counts", tally["counts"], 1)
    if not isinstance(sums, dict) or sums.keys() != counts.keys():
        raise ValueError("the tally's sums are not those that it counts")
    for name, value in sums.items():
        if not (isinstance(value, Tensor) and value.ndim == 0 and not value.is_complex()):
            raise ValueError(f"the tally's sum {name!r} is no number")
    for name in ("steps", "skipped"):
        check_count(f"the tally's {name}", tally[name])
    if files := tally.get("files"):
        check_count("the tally's process", files["process"])
        reasons, counted = files["reasons"], check_numbers("the tally's files", files["counts"], 1)
        words = [word for both in reasons.items() for word in both]
        if reasons.keys() != counted.keys() or not all(isinstance(word, str) for word in words):
            raise ValueError("the tally's files are not those that it counts")
    return tally
