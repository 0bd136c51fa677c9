"""Open-Unmix's network, the baseline that others are measured by."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from sep.model.architectures.lstm import Lstm
from sep.model.architectures.output import faint
from sep.model.architectures.settings import OpenUnmixSettings


class OpenUnmix(Lstm):
    """Compress the bins of a frame, listen along time with LSTMs, expand.

    Stöter et al. (2019), with layer for batch normalisation, so that the network is a
    pure function of one recording. What was compressed goes past the LSTMs as well.

    Attributes:
      width: numbers that a frame is compressed to; half as many cells a direction.
      depth: LSTMs, one on the other.
      dropout: share of activations dropped between them while training.
    """

    settings: OpenUnmixSettings

    @nn.compact
    def __call__(
        self, features_BNFK: Array, *, num_sources: int, num_outputs: int
    ) -> Array:
        batch, frames, bins, _ = features_BNFK.shape
        flat_MK = features_BNFK.reshape(batch * frames, -1)
        compressed_MK = nn.tanh(nn.LayerNorm()(nn.Dense(self.settings.width)(flat_MK)))
        heard_BNK = compressed_MK.reshape(batch, frames, -1)
        heard_BNK = self.listen(heard_BNK)
        heard_MK = heard_BNK.reshape(batch * frames, -1)
        joined_MK = jnp.concatenate([compressed_MK, heard_MK], -1)
        joined_MK = nn.relu(nn.LayerNorm()(nn.Dense(self.settings.width)(joined_MK)))
        numbers = bins * num_sources * num_outputs
        estimates = nn.Dense(numbers, kernel_init=faint())(joined_MK)
        return estimates.reshape(batch, frames, bins, num_sources, num_outputs)
