"""A feed-forward network on single frames, or on a few neighbouring ones."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from sep.model.architectures.output import small_init
from sep.model.architectures.settings import FnnSettings


class Fnn(nn.Module):
    """Dense layers with PReLU between them, shared by all frames.

    Settings:
      width: width of the hidden layers.
      depth: number of hidden layers.
      context: number of frames on each side that are also inputs.
    """

    settings: FnnSettings

    @nn.compact
    def __call__(
        self, features_BNFK: Array, *, num_sources: int, num_outputs: int
    ) -> Array:
        context = self.settings.context
        batch, frames, bins, _ = features_BNFK.shape
        frames_BNK = features_BNFK.reshape(batch, frames, -1)
        padded_BNK = jnp.pad(frames_BNK, [(0, 0), (context, context), (0, 0)])
        window = range(2 * context + 1)
        hidden = jnp.concatenate([padded_BNK[:, i : i + frames] for i in window], -1)
        hidden_MK = hidden.reshape(batch * frames, -1)
        for _ in range(self.settings.depth):
            hidden_MK = nn.PReLU()(nn.Dense(self.settings.width)(hidden_MK))
        values = bins * num_sources * num_outputs
        estimates = nn.Dense(values, kernel_init=small_init())(hidden_MK)
        return estimates.reshape(batch, frames, bins, num_sources, num_outputs)
