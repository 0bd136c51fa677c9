"""A feed-forward network that looks at one frame, or at a few around it."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from sep.model.architectures.output import faint
from sep.model.architectures.settings import FnnSettings


class Fnn(nn.Module):
    """Dense layers with PReLU between them, the same for every frame.

    Attributes:
      width: of the hidden layers.
      depth: how many hidden layers there are.
      context: frames seen on each side of the one that is estimated.
    """

    settings: FnnSettings

    @nn.compact
    def __call__(
        self, features_BNFK: Array, *, num_sources: int, num_outputs: int
    ) -> Array:
        batch, frames, bins, _ = features_BNFK.shape
        frames_BNK = features_BNFK.reshape(batch, frames, -1)
        padded_BNK = jnp.pad(
            frames_BNK, [(0, 0), (self.settings.context, self.settings.context), (0, 0)]
        )
        window = range(2 * self.settings.context + 1)
        hidden = jnp.concatenate([padded_BNK[:, i : i + frames] for i in window], -1)
        hidden_MK = hidden.reshape(batch * frames, -1)
        for _ in range(self.settings.depth):
            hidden_MK = nn.PReLU()(nn.Dense(self.settings.width)(hidden_MK))
        numbers = bins * num_sources * num_outputs
        estimates = nn.Dense(numbers, kernel_init=faint())(hidden_MK)
        return estimates.reshape(batch, frames, bins, num_sources, num_outputs)
