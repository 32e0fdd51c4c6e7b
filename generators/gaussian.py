"""The Gaussian bottleneck of a variational autoencoder (Kingma, Welling 2014), as in RAVE (Caillon, Esling 2021).

hidden - 1x1 - mean, scale - mean + scale * noise - 1x1 - hidden        in use: the mean alone
                   |
           KL to N(0, 1), the penalty

After training most channels of such a latent say nothing. `fidelity` counts how many directions do, and `truncate`
makes a bottleneck of only these.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from generators.contract import Latent, ModelError

# A posterior is no narrower: its logarithm stays finite.
SMALLEST_SCALE = 1e-4
# A channel that says less than this, in nats a frame, says nothing (Burda et al. 2016 draw the line alike).
ACTIVE = 0.01
# Of a truncated bottleneck's posterior, beside coordinates that vary by 1.
TRUNCATED_SCALE = 0.1
FIDELITIES = (0.8, 0.9, 0.95, 0.99)


class Gaussian(nn.Module):
    """A generators.contract.Bottleneck that is continuous: each frame is a Gaussian, written down as its mean.

    In training mode a frame is drawn from its posterior, by each process for itself; in eval mode and in `encode` it is
    the posterior's mean, the same every time.

    Args:
        dimension: channels of the encoder's output and of the decoder's input.
        width: of the latent.

    Penalties (unweighted): "kl", the divergence of the posterior from N(0, 1) in nats, summed over the latent's width
    and averaged over batch and frames. (RAVE's own is twice that: it leaves out the half.) Its weight should rise from
    next to nothing. The fact "active" counts channels with a mean divergence above 0.01 nats.

    Raises:
        ModelError: an argument out of range.
    """

    def __init__(self, dimension: int = 512, width: int = 128) -> None:
        super().__init__()
        if min(dimension, width) < 1:
            raise ModelError(f"dimension and width are to be 1 or more, not {dimension} and {width}")
        self.dimension, self.width, self.block = dimension, width, 1
        self.codebooks: tuple[int, ...] = ()
        self.enter = nn.Conv1d(dimension, 2 * width, 1)
        self.leave = nn.Conv1d(width, dimension, 1)

    def forward(self, hidden: Tensor) -> Latent:
        """Pass [batch, dimension, frames] through."""
        mean, scale = self.posterior(hidden)
        drawn = mean + scale * torch.randn_like(mean) if self.training else mean
        each = divergence(mean, scale).mean(dim=(0, 2))
        active = (each.detach() > ACTIVE).sum().to(each)
        return Latent(self.leave(drawn), penalties={"kl": each.sum()}, facts={"active": active})

    def encode(self, hidden: Tensor) -> Tensor:
        """Write down [batch, dimension, frames]: the posterior's mean, [batch, width, frames]."""
        return self.posterior(hidden)[0]

    def decode(self, code: Tensor) -> Tensor:
        """Read [batch, width, frames] back.

        Raises:
            ModelError: there are not `width` numbers a frame.
        """
        if code.shape[1] != self.width:
            raise ModelError(f"a frame is {self.width} numbers, not {code.shape[1]}")
        values: Tensor = self.leave(code)
        return values

    def posterior(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation for [batch, dimension, frames], [batch, width, frames] each, float32 at least."""
        said = self.enter(hidden)
        # The logarithm and the squares of the divergence want more than half precision.
        mean, raw = said.to(torch.promote_types(said.dtype, torch.float32)).chunk(2, dim=1)
        return mean, nn.functional.softplus(raw) + SMALLEST_SCALE


def divergence(mean: Tensor, scale: Tensor) -> Tensor:
    """Kullback-Leibler divergence of N(mean, scale^2) from N(0, 1), number by number, in nats."""
    return 0.5 * (mean.square() + scale.square() - 1) - scale.log()


def principal_axes(means: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Analyse the principal components of [frames, width].

    Returns:
        float64: the mean, [width], the axes as rows, [width, width], and the variance along each, [width], falling.

    Raises:
        ModelError: they are no table, fewer than two rows or not finite.
    """
    if means.ndim != 2 or len(means) < 2 or not torch.isfinite(means).all():
        raise ModelError(f"means are finite numbers in two rows or more, [frames, width], not {list(means.shape)}")
    wide = means.double()
    middle = wide.mean(dim=0)
    variances, axes = torch.linalg.eigh((wide - middle).T @ (wide - middle) / len(wide))
    return middle, axes.T.flip(0), variances.flip(0).clamp(min=0)


def fidelity(means: Tensor, shares: Sequence[float] = FIDELITIES) -> dict[float, int]:
    """Count how many principal components hold so much of a latent's variance: RAVE's fidelity.

    Args:
        means: posterior means of many frames, [frames, width].
        shares: of the variance, in 0..1.

    Returns:
        For each share, the least number of components; 0 where nothing varies at all.

    Raises:
        ModelError: see principal_axes.
    """
    variances = principal_axes(means)[2]
    total = variances.sum()
    if total == 0:
        return dict.fromkeys(shares, 0)
    # The sum over all may miss 1 by a rounding error.
    held = (variances.cumsum(0) / total).clamp(max=1)
    held[-1] = 1
    return {share: int((held < share).sum()) + 1 for share in shares}


@torch.no_grad()
def truncate(bottleneck: Gaussian, means: Tensor, kept: int) -> Gaussian:
    """Make a narrower bottleneck that keeps the first principal components, each standardised.

    All of that is folded into the two convolutions: the result is a plain Gaussian. What it encodes has mean 0 and
    variance 1 in each channel over `means`. The posterior's scale cannot be folded; it is 0.1 everywhere, so train on
    before you draw from it.

    Args:
        bottleneck: trained; is left as it is.
        means: what it encodes over many frames, [frames, width].
        kept: components, 1 up to the bottleneck's width; see `fidelity`.

    Raises:
        ModelError: `kept` is out of range, or the means are not the bottleneck's.
    """
    if means.shape[-1] != bottleneck.width or not 1 <= kept <= bottleneck.width:
        raise ModelError(f"keep 1 to {bottleneck.width} components of as many, not {kept} of {means.shape[-1]}")
    middle, axes, variances = (part.to(bottleneck.enter.weight.device) for part in principal_axes(means))
    axes, deviations = axes[:kept], variances[:kept].sqrt().clamp(min=SMALLEST_SCALE)
    inward, outward = axes / deviations[:, None], axes.T * deviations
    assert bottleneck.enter.bias is not None and bottleneck.leave.bias is not None
    enter_weight, enter_bias = bottleneck.enter.weight[: len(middle), :, 0], bottleneck.enter.bias[: len(middle)]
    narrow = Gaussian(bottleneck.dimension, kept).to(bottleneck.enter.weight).train(bottleneck.training)
    assert narrow.enter.bias is not None and narrow.leave.bias is not None
    narrow.enter.weight.zero_()
    narrow.enter.weight[:kept, :, 0] = (inward @ enter_weight.double()).to(narrow.enter.weight)
    narrow.enter.bias[:kept] = (inward @ (enter_bias.double() - middle)).to(narrow.enter.bias)
    narrow.enter.bias[kept:] = torch.tensor(TRUNCATED_SCALE - SMALLEST_SCALE).expm1().log()
    leave_weight = bottleneck.leave.weight[..., 0].double()
    narrow.leave.weight.copy_((leave_weight @ outward)[..., None])
    narrow.leave.bias.copy_(bottleneck.leave.bias.double() + leave_weight @ middle)
    return narrow
