"""Snake: its own way back agrees with torch's for the formula, at half the memory."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from generators.convolution import Snake


def plain(hidden: Tensor, alpha: Tensor) -> Tensor:
    return hidden + torch.sin(alpha * hidden).square() / (alpha + 1e-9)


def maps() -> tuple[Tensor, Snake]:
    torch.manual_seed(0)
    snake = Snake(5).double()
    with torch.no_grad():
        snake.alpha.uniform_(-0.5, 3)
        snake.alpha[0, 2] = 1e-4
    return (3 * torch.randn(2, 5, 31, dtype=torch.float64)).requires_grad_(), snake


def test_it_is_the_formula_both_ways() -> None:
    hidden, snake = maps()
    other, alpha = hidden.detach().clone().requires_grad_(), snake.alpha.detach().clone().requires_grad_()
    weights = torch.randn_like(hidden)
    ours, theirs = snake(hidden), plain(other, alpha)
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-14)
    (ours * weights).sum().backward()
    (theirs * weights).sum().backward()
    for one, two in ((hidden.grad, other.grad), (snake.alpha.grad, alpha.grad)):
        assert (one - two).abs().max() < 1e-10 * two.abs().max()


def test_small_differences_agree() -> None:
    hidden, snake = maps()
    with torch.no_grad():
        snake.alpha[0, 2] = 0.1
    assert torch.autograd.gradcheck(lambda x, a: type(snake).forward(_with(snake, a), x), (hidden, snake.alpha))


def test_small_alphas_keep_their_gradient_in_single_precision() -> None:
    torch.manual_seed(0)
    hidden, weights = torch.randn(4, 1, 8192), torch.randn(4, 1, 8192)
    for alpha in (1e-1, 1e-2, 1e-3, -1e-3, 1e-4, 1e-5):
        found = []
        for dtype in (torch.float32, torch.float64):
            snake = Snake(1).to(dtype)
            with torch.no_grad():
                snake.alpha.fill_(alpha)
            (snake(hidden.to(dtype)) * weights).sum().backward()
            found.append(float(snake.alpha.grad))
        assert found[0] == pytest.approx(found[1], rel=1e-4), alpha


def test_the_gradient_has_a_gradient() -> None:
    hidden, snake = maps()
    with torch.no_grad():
        snake.alpha.clamp_(0.2)
    assert torch.autograd.gradgradcheck(lambda x, a: type(snake).forward(_with(snake, a), x), (hidden, snake.alpha))


def _with(snake: Snake, alpha: Tensor) -> Any:
    class Holder:
        pass

    holder = Holder()
    holder.alpha = alpha
    return holder


@pytest.mark.parametrize("which", ["hidden", "alpha"])
def test_what_is_frozen_gets_no_gradient(which: str) -> None:
    hidden, snake = maps()
    (hidden if which == "hidden" else snake.alpha).requires_grad_(False)
    snake(hidden).sum().backward()
    assert (hidden.grad is None) is (which == "hidden")
    assert (snake.alpha.grad is None) is (which == "alpha")


def kept(work: Callable[[], Tensor]) -> int:
    """Count the numbers that a forward pass keeps for the way back."""
    found: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        found[tensor.data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = work()
    assert result.requires_grad
    return sum(found.values())


def test_it_keeps_its_input_alone() -> None:
    hidden, snake = maps()
    assert kept(lambda: snake(hidden)) == hidden.numel() + 5
    assert kept(lambda: plain(hidden, snake.alpha)) > 3 * hidden.numel()


def test_half_precision_comes_out_as_from_the_formula() -> None:
    hidden, snake = maps()
    snake.float()
    half = hidden.detach().bfloat16().requires_grad_()
    other = half.detach().clone().requires_grad_()
    ours, theirs = snake(half), plain(other, snake.alpha)
    assert ours.dtype == theirs.dtype
    assert torch.allclose(ours, theirs)
    ours.sum().backward()
    theirs.sum().backward()
    assert half.grad.dtype == torch.bfloat16
    assert torch.allclose(half.grad.float(), other.grad.float(), atol=0.05)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_it_can_be_compiled(backend: str) -> None:
    hidden, snake = maps()
    compiled = torch.compile(snake, backend=backend)
    out = compiled(hidden)
    out.sum().backward()
    gradient, hidden.grad = hidden.grad, None
    again = snake(hidden)
    again.sum().backward()
    assert torch.equal(out, again)
    assert torch.allclose(gradient, hidden.grad)
