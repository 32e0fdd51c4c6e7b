"""The energy transformer as a bottleneck (Hoover et al. 2023): frames roll down an energy that they share.

    x + positions - [ g = LayerNorm(x);  x <- x - step * dE/dg ] * steps - x

    E(g) = - sum over heads and frames C of  1/beta log sum over frames B != C of exp(beta key_B . query_C)    attention
           - sum over frames of  1/2 sum relu(memory . g)^2   or   1/beta log sum exp(beta memory . g)          Hopfield

LayerNorm has one scale, above 0, for all channels: it is then the gradient of a convex function of x, its Jacobian has
no negative eigenvalues, and the energy falls along x although the step follows the gradient for g.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from generators.contract import Latent, ModelError
from generators.convolution import pad_to_multiple


class EnergyTransformer(nn.Module):
    """A generators.contract.Bottleneck that is CONTINUOUS: it makes latents consistent, it does not make them small.

    Nothing is chosen and nothing is rounded: a frame is written down as `dimension` floating point numbers. By itself
    it is no codec, whatever the number of its channels; it shows how good a decoder can get without a codebook.

    Frames attend to each other within blocks of `context` and never beyond, so that a recording of any length can be
    worked on in chunks that start at a multiple of a block. Frames short of a whole block are filled up with zeros
    (generators.codec.Codec leaves none short: it fills up the waveform with silence).

    Args:
        dimension: channels of the latent.
        context: frames of a block, 2 or more.
        steps: down the energy.
        step_size: how far each one goes.
        heads: of the attention; they have keys and queries, no values.
        head_dimension: numbers of a key.
        memories: patterns of the Hopfield network.
        hopfield: "relu" or "softmax", its energy as above.

    Facts: "energy", of a frame after the last step, and "descent", by how much it fell.

    Raises:
        ModelError: an argument out of range.
    """

    self_mask: Tensor

    def __init__(
        self,
        dimension: int = 512,
        context: int = 32,
        steps: int = 12,
        step_size: float = 0.1,
        heads: int = 8,
        head_dimension: int = 64,
        memories: int = 2048,
        hopfield: Literal["relu", "softmax"] = "relu",
    ) -> None:
        super().__init__()
        if min(dimension, steps, heads, head_dimension, memories) < 1 or context < 2 or step_size <= 0:
            raise ModelError("sizes and steps are to be 1 or more, the context 2 or more, the step size above 0")
        if hopfield not in ("relu", "softmax"):
            raise ModelError(f"hopfield is 'relu' or 'softmax', not {hopfield!r}")
        self.dimension = self.width = dimension
        self.codebooks: tuple[int, ...] = ()
        self.block = context
        self.steps, self.step_size = steps, step_size
        self.positions = nn.Parameter(0.02 * torch.randn(context, dimension))
        # Of logarithms, so that they stay above 0 whatever is learned.
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.log_beta = nn.Parameter(torch.full((heads, 1, 1), -0.5).mul(torch.tensor(float(head_dimension)).log()))
        # Only where it is used: a parameter that nothing depends on stops training on several processes.
        self.log_memory_beta = nn.Parameter(torch.zeros(())) if hopfield == "softmax" else None
        self.bias = nn.Parameter(torch.zeros(dimension))
        self.key = nn.Parameter(torch.randn(heads, head_dimension, dimension) * dimension**-0.5)
        self.query = nn.Parameter(torch.randn(heads, head_dimension, dimension) * dimension**-0.5)
        self.memory = nn.Parameter(torch.randn(memories, dimension) * dimension**-0.5)
        self.register_buffer("self_mask", torch.eye(context, dtype=torch.bool), persistent=False)

    def forward(self, hidden: Tensor) -> Latent:
        """Pass [batch, dimension, frames] through."""
        blocks = self._to_blocks(hidden)
        rolled = self.descend(blocks)
        with torch.no_grad():
            frames = blocks.shape[0] * blocks.shape[1]
            first, last = (self.energy(self.norm(x)).sum() / frames for x in (blocks, rolled))
        return Latent(self._from_blocks(rolled, hidden), facts={"energy": last, "descent": first - last})

    def encode(self, hidden: Tensor) -> Tensor:
        """Write down [batch, dimension, frames] as floating point numbers of the same shape."""
        return self._from_blocks(self.descend(self._to_blocks(hidden)), hidden)

    def decode(self, code: Tensor) -> Tensor:
        """Read [batch, dimension, frames] back: as they are.

        Raises:
            ModelError: there are not `dimension` numbers a frame.
        """
        if code.shape[1] != self.width:
            raise ModelError(f"a frame is {self.width} numbers, not {code.shape[1]}")
        return code

    def descend(self, blocks: Tensor) -> Tensor:
        """Roll [blocks, context, dimension] down, all steps."""
        for _ in range(self.steps):
            blocks = blocks - self.step_size * self.gradient(self.norm(blocks))
        return blocks

    def norm(self, blocks: Tensor) -> Tensor:
        """Normalise each frame of [blocks, context, dimension]."""
        return nn.functional.layer_norm(blocks, blocks.shape[-1:]) * self.log_scale.exp() + self.bias

    def energy(self, normed: Tensor) -> Tensor:
        """Of each of [blocks, context, dimension]: [blocks]."""
        beta = self.log_beta.exp()
        attention = torch.logsumexp(self._scores(normed)[0], dim=-1, keepdim=True) / beta
        match = normed @ self.memory.T
        if self.log_memory_beta is None:
            recall = 0.5 * torch.relu(match).square().sum(dim=-1)
        else:
            memory_beta = self.log_memory_beta.exp()
            recall = torch.logsumexp(memory_beta * match, dim=-1) / memory_beta
        return -attention.sum(dim=(1, 2, 3)) - recall.sum(dim=1)

    def gradient(self, normed: Tensor) -> Tensor:
        """Of the energy, for [blocks, context, dimension], in closed form: no graph is needed, one can be had."""
        scores, keys, queries = self._scores(normed)
        shares = torch.softmax(scores, dim=-1)  # of the frames that a frame looks at
        looked = torch.einsum("bhqk,bhky,hyd->bqd", shares, keys, self.query)
        seen = torch.einsum("bhqk,bhqy,hyd->bkd", shares, queries, self.key)
        match = normed @ self.memory.T
        if self.log_memory_beta is None:
            recalled = torch.relu(match) @ self.memory
        else:
            recalled = torch.softmax(self.log_memory_beta.exp() * match, dim=-1) @ self.memory
        return -(looked + seen + recalled)

    def _scores(self, normed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Beta times each query with each key, [blocks, heads, query, key], and keys and queries."""
        keys = torch.einsum("bnd,hyd->bhny", normed, self.key)
        queries = torch.einsum("bnd,hyd->bhny", normed, self.query)
        scores = self.log_beta.exp() * (queries @ keys.transpose(-1, -2))
        return scores.masked_fill(self.self_mask, float("-inf")), keys, queries

    def _to_blocks(self, hidden: Tensor) -> Tensor:
        """[batch, dimension, frames] as [batch * blocks, context, dimension], each frame with its position."""
        rows = pad_to_multiple(hidden, self.block).transpose(1, 2)
        return rows.reshape(-1, self.block, self.dimension) + self.positions

    def _from_blocks(self, blocks: Tensor, hidden: Tensor) -> Tensor:
        """The way back, as long as `hidden`."""
        rows = blocks.reshape(hidden.shape[0], -1, self.dimension)
        return rows.transpose(1, 2)[..., : hidden.shape[-1]]
