"""Open-Unmix's network, the baseline for the others."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from sep.model.architectures.lstm import Lstm


class OpenUnmix(Lstm):
    """Compresses the bins of each frame, runs LSTMs along time, expands.

    Stöter et al. (2019), with layer normalisation instead of batch normalisation, which
    makes the network a pure function of one recording. A skip connection passes the
    compressed frame around the LSTMs.

    Settings:
      width: number of values that a frame is compressed to; each direction of an LSTM has
        half as many cells.
      depth: number of LSTM layers, applied in sequence.
      dropout: share of activations dropped between them in training.
    """

    def compress(self, flat_MK: Array) -> tuple[Array, Array]:
        """See `Framewise`."""
        normal_MK = nn.LayerNorm()(nn.Dense(self.settings.width)(flat_MK))
        compressed_MK = nn.tanh(normal_MK)
        return compressed_MK, compressed_MK

    def join(self, compressed_MK: Array, hidden_MK: Array) -> Array:
        """See `Framewise`."""
        both_MK = jnp.concatenate([compressed_MK, hidden_MK], -1)
        return nn.relu(nn.LayerNorm()(nn.Dense(self.settings.width)(both_MK)))
