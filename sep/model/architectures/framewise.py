"""Base class of networks on whole frames: compress bins, run along time, expand."""

import flax.linen as nn
from jax import Array

from sep.model.architectures.memory import saved
from sep.model.architectures.output import small_init
from sep.model.architectures.settings import FramewiseSettings


class Framewise(nn.Module):
    """Compresses the bins of each frame, adds the output of layers along time, expands.

    Compression and expansion are dense layers with PReLU, as in `fnn`. The output of the
    layers along time is added between them, with a small initial weight: a new network
    first learns from single frames, which is fast, and then from time. Subclasses define
    `layer`.

    Settings:
      width: K, the number of values that a frame is compressed to.
      depth: number of layers along time, applied in sequence.
      dropout: share of activations dropped between these layers in training.
    """

    settings: FramewiseSettings

    # Frames of all recordings are rows (M) of one matrix wherever possible: XLA compiles
    # products over two axes slowly, and gradients of the weights would be such products.
    @nn.compact
    def __call__(
        self, features_BNFK: Array, *, num_sources: int, num_outputs: int
    ) -> Array:
        batch, frames, bins, _ = features_BNFK.shape
        flat_MK = features_BNFK.reshape(batch * frames, -1)
        compressed_MK, hidden_MK = self.compress(flat_MK)
        hidden_BNK = self.along_time(hidden_MK.reshape(batch, frames, -1))
        both_MK = self.join(compressed_MK, hidden_BNK.reshape(batch * frames, -1))
        values = bins * num_sources * num_outputs
        estimates = nn.Dense(values, kernel_init=small_init())(both_MK)
        return estimates.reshape(batch, frames, bins, num_sources, num_outputs)

    def compress(self, flat_MK: Array) -> tuple[Array, Array]:
        """Compresses frames; returns them for `join` and for the layers along time."""
        compressed_MK = nn.PReLU()(nn.Dense(self.settings.width)(flat_MK))
        return compressed_MK, nn.LayerNorm()(compressed_MK)

    def join(self, compressed_MK: Array, hidden_MK: Array) -> Array:
        """Combines compressed frames with the output of the layers along time."""
        width = self.settings.width
        both_MK = compressed_MK + nn.Dense(width, kernel_init=small_init())(hidden_MK)
        return nn.PReLU()(nn.Dense(width)(both_MK))

    def along_time(self, hidden_BNK: Array) -> Array:
        """Applies all layers along time in sequence, with dropout between them."""
        for index in range(self.settings.depth):
            if index:
                hidden_BNK = nn.Dropout(
                    self.settings.dropout, deterministic=not self.has_rng("dropout")
                )(hidden_BNK)
            hidden_BNK = saved(self.layer(hidden_BNK, index))
        return hidden_BNK

    def layer(self, hidden_BNK: Array, index: int) -> Array:
        """Applies layer number `index`, which keeps the shape."""
        raise NotImplementedError
