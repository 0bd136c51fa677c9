"""Open-Unmix's network, the baseline for the others."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from sep.model.architectures.lstm import Lstm
from sep.model.architectures.output import small_init
from sep.model.architectures.settings import OpenUnmixSettings


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

    settings: OpenUnmixSettings  # type: ignore[assignment]

    @nn.compact
    def __call__(
        self, features_BNFK: Array, *, num_sources: int, num_outputs: int
    ) -> Array:
        width = self.settings.width
        batch, frames, bins, _ = features_BNFK.shape
        flat_MK = features_BNFK.reshape(batch * frames, -1)
        compressed_MK = nn.tanh(nn.LayerNorm()(nn.Dense(width)(flat_MK)))
        hidden_BNK = compressed_MK.reshape(batch, frames, -1)
        hidden_BNK = self.along_time(hidden_BNK)
        hidden_MK = hidden_BNK.reshape(batch * frames, -1)
        both_MK = jnp.concatenate([compressed_MK, hidden_MK], -1)
        both_MK = nn.relu(nn.LayerNorm()(nn.Dense(width)(both_MK)))
        values = bins * num_sources * num_outputs
        estimates = nn.Dense(values, kernel_init=small_init())(both_MK)
        return estimates.reshape(batch, frames, bins, num_sources, num_outputs)
