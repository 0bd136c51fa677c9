"""A bidirectional LSTM over whole frames, of Open-Unmix's kind."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from sep.architectures.memory import kept
from sep.architectures.recurrence import bilstm, init_bilstm


class Lstm(nn.Module):
    """Compress the bins of a frame, listen in both directions of time, expand.

    After Open-Unmix (Stöter et al. 2019), with layer for batch normalisation, so that
    the network is a pure function of one recording.

    Attributes:
      hidden: cells of each direction; a frame is compressed to twice as many numbers.
      layers: bidirectional layers, one on the other.
      dropout: share of activations dropped between layers while training.
    """

    hidden: int
    layers: int
    dropout: float

    @nn.compact
    def __call__(
        self, features_BNFK: Array, *, num_sources: int, num_outputs: int
    ) -> Array:
        batch, frames, bins, _ = features_BNFK.shape
        flat_BNK = features_BNFK.reshape(batch, frames, -1)
        compressed_BNK = nn.tanh(nn.LayerNorm()(nn.Dense(2 * self.hidden)(flat_BNK)))
        heard_BNK = compressed_BNK
        for layer in range(self.layers):
            if layer:
                heard_BNK = nn.Dropout(
                    self.dropout, deterministic=not self.has_rng("dropout")
                )(heard_BNK)
            parameters = self.param(
                f"bilstm_{layer}", init_bilstm, heard_BNK.shape[-1], self.hidden
            )
            heard_BNK = kept(bilstm(parameters, heard_BNK))
        joined_BNK = jnp.concatenate([compressed_BNK, heard_BNK], -1)
        joined_BNK = nn.relu(nn.LayerNorm()(nn.Dense(2 * self.hidden)(joined_BNK)))
        estimates = nn.Dense(bins * num_sources * num_outputs)(joined_BNK)
        return estimates.reshape(batch, frames, bins, num_sources, num_outputs)
