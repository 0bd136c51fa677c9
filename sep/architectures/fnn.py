"""A feed-forward network that looks at one frame, or at a few around it."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array


class Fnn(nn.Module):
    """dense - PReLU - dense - PReLU - dense, the same for every frame.

    Attributes:
      hidden: width of both hidden layers.
      context: frames seen on each side of the one that is estimated.
    """

    hidden: int
    context: int

    @nn.compact
    def __call__(
        self, features_BNFK: Array, *, num_sources: int, num_outputs: int
    ) -> Array:
        batch, frames, bins, _ = features_BNFK.shape
        hidden = features_BNFK.reshape(batch, frames, -1)
        padded = jnp.pad(hidden, [(0, 0), (self.context, self.context), (0, 0)])
        window = range(2 * self.context + 1)
        hidden = jnp.concatenate([padded[:, i : i + frames] for i in window], -1)
        for _ in range(2):
            hidden = nn.PReLU()(nn.Dense(self.hidden)(hidden))
        estimates = nn.Dense(bins * num_sources * num_outputs)(hidden)
        return estimates.reshape(batch, frames, bins, num_sources, num_outputs)
