"""What networks share that see each frame whole: compress its bins, listen, expand."""

from typing import Any

import flax.linen as nn
from jax import Array

from sep.model.architectures.memory import kept
from sep.model.architectures.output import faint


class Framewise(nn.Module):
    """Compress the bins of a frame, add what is heard along time, expand.

    Dense layers with PReLU, as `fnn` has them; what the layers along time hear is added
    between them, next to nothing at first. So a new network learns from single frames at
    once, which takes it far, and from time after that. A kind of it defines
    `layer(heard_BNK, index) -> heard_BNK`, K = width.

    Attributes:
      width: numbers that a frame is compressed to.
      depth: layers that listen along time, one on the other.
      dropout: share of activations dropped between layers while training.
    """

    settings: Any

    # Frames of all recordings are rows (M) of one matrix wherever they can be: XLA is slow
    # to make ready products over two axes, which gradients of weights are otherwise.
    @nn.compact
    def __call__(
        self, features_BNFK: Array, *, num_sources: int, num_outputs: int
    ) -> Array:
        batch, frames, bins, _ = features_BNFK.shape
        flat_MK = features_BNFK.reshape(batch * frames, -1)
        compressed_MK = nn.PReLU()(nn.Dense(self.settings.width)(flat_MK))
        heard_BNK = nn.LayerNorm()(compressed_MK).reshape(batch, frames, -1)
        heard_BNK = self.listen(heard_BNK)
        heard_MK = heard_BNK.reshape(batch * frames, -1)
        both_MK = compressed_MK + nn.Dense(self.settings.width, kernel_init=faint())(
            heard_MK
        )
        both_MK = nn.PReLU()(nn.Dense(self.settings.width)(both_MK))
        numbers = bins * num_sources * num_outputs
        estimates = nn.Dense(numbers, kernel_init=faint())(both_MK)
        return estimates.reshape(batch, frames, bins, num_sources, num_outputs)

    def listen(self, heard_BNK: Array) -> Array:
        """All layers, one on the other, with dropout between them."""
        for index in range(self.settings.depth):
            if index:
                heard_BNK = nn.Dropout(
                    self.settings.dropout, deterministic=not self.has_rng("dropout")
                )(heard_BNK)
            heard_BNK = kept(self.layer(heard_BNK, index))
        return heard_BNK
