"""What networks share that see each frame whole: compress its bins, listen, expand."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from sep.architectures.memory import kept
from sep.architectures.output import faint


class Framewise(nn.Module):
    """Compress the bins of a frame, listen along time, expand; after Open-Unmix.

    Stöter et al. (2019), with layer for batch normalisation, so that the network is a
    pure function of one recording. What was compressed goes past the layers as well. A
    kind of it defines `layer(heard_BNK, index) -> heard_BNK`, K = width.

    Attributes:
      width: numbers that a frame is compressed to.
      depth: layers that listen along time, one on the other.
      dropout: share of activations dropped between layers while training.
    """

    width: int
    depth: int
    dropout: float

    # Frames of all recordings are rows (M) of one matrix wherever they can be: XLA is slow
    # to make ready products over two axes, which gradients of weights are otherwise.
    @nn.compact
    def __call__(
        self, features_BNFK: Array, *, num_sources: int, num_outputs: int
    ) -> Array:
        batch, frames, bins, _ = features_BNFK.shape
        flat_MK = features_BNFK.reshape(batch * frames, -1)
        compressed_MK = nn.tanh(nn.LayerNorm()(nn.Dense(self.width)(flat_MK)))
        heard_BNK = compressed_MK.reshape(batch, frames, -1)
        for index in range(self.depth):
            if index:
                heard_BNK = nn.Dropout(
                    self.dropout, deterministic=not self.has_rng("dropout")
                )(heard_BNK)
            heard_BNK = kept(self.layer(heard_BNK, index))
        heard_MK = heard_BNK.reshape(batch * frames, -1)
        joined_MK = jnp.concatenate([compressed_MK, heard_MK], -1)
        joined_MK = nn.relu(nn.LayerNorm()(nn.Dense(self.width)(joined_MK)))
        numbers = bins * num_sources * num_outputs
        estimates = nn.Dense(numbers, kernel_init=faint())(joined_MK)
        return estimates.reshape(batch, frames, bins, num_sources, num_outputs)
