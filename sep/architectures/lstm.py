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

    # Frames of all recordings are rows (M) of one matrix wherever they can be: XLA is slow
    # to make ready products over two axes, which gradients of weights are otherwise.
    @nn.compact
    def __call__(
        self, features_BNFK: Array, *, num_sources: int, num_outputs: int
    ) -> Array:
        batch, frames, bins, _ = features_BNFK.shape
        flat_MK = features_BNFK.reshape(batch * frames, -1)
        compressed_MK = nn.tanh(nn.LayerNorm()(nn.Dense(2 * self.hidden)(flat_MK)))
        heard_BNK = compressed_MK.reshape(batch, frames, -1)
        for layer in range(self.layers):
            if layer:
                heard_BNK = nn.Dropout(
                    self.dropout, deterministic=not self.has_rng("dropout")
                )(heard_BNK)
            parameters = self.param(
                f"bilstm_{layer}", init_bilstm, heard_BNK.shape[-1], self.hidden
            )
            heard_BNK = kept(bilstm(parameters, heard_BNK))
        heard_MK = heard_BNK.reshape(batch * frames, -1)
        joined_MK = jnp.concatenate([compressed_MK, heard_MK], -1)
        joined_MK = nn.relu(nn.LayerNorm()(nn.Dense(2 * self.hidden)(joined_MK)))
        estimates = nn.Dense(bins * num_sources * num_outputs)(joined_MK)
        return estimates.reshape(batch, frames, bins, num_sources, num_outputs)
