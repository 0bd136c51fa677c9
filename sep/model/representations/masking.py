"""Base classes of representations whose estimates are masks on a transform.

A mask multiplies the mixture's coefficients, which synthesis therefore needs as context.
Masks may exceed 1: where sources cancel in the mixture, a bin of one source is larger than
the mixture's bin.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

SILENCE = 1e-12  # power below which a bin counts as silent; keeps gradients finite


class Masking(nn.Module):
    """Features of a transform's coefficients; one mask value for each coefficient.

    Subclasses define `outputs`, `transform`, `inverse`, `features` and `mask`.

    Attributes:
      settings: of the subclass.
      sample_rate: Hz.
    """

    settings: Any
    sample_rate: int

    @property
    def hop_length(self) -> int:
        """Samples between frames."""
        return self.settings.hop_length

    @property
    def num_bins(self) -> int | None:
        """Number of bins, the lowest ones, that have features; None: all."""
        return None

    def analyse(self, mixture_BCT: Array) -> tuple[Array, Array]:
        """Returns features (B*C, N, F, K) and, as context, coefficients (B, C, N, bins)."""
        context_BCNF = self.transform(mixture_BCT)
        features_BCNFK = self.features(context_BCNF[..., : self.num_bins])
        return features_BCNFK.reshape(-1, *features_BCNFK.shape[2:]), context_BCNF

    def synthesise(self, estimates_BNFSK: Array, context: Array, length: int) -> Array:
        """Returns waves (B, S, C, length): the inverse transform of the masked context.

        Bins above those that have features use the highest bin's mask.
        """
        batch, channels, frames, bins = context.shape
        mask_BNFS = self.mask(estimates_BNFSK)
        highest_BN1S, above = mask_BNFS[:, :, -1:], bins - mask_BNFS.shape[2]
        # Not jnp.pad, whose mode "edge" takes many times as long to differentiate.
        mask_BNFS = jnp.concatenate([mask_BNFS, highest_BN1S.repeat(above, 2)], 2)
        mask_BCNFS = mask_BNFS.reshape(batch, channels, frames, bins, -1)
        mask_BSCNF = jnp.moveaxis(mask_BCNFS, 4, 1)
        return self.inverse(mask_BSCNF * context[:, None], length)

    def transform(self, mixture_BCT: Array) -> Array:
        """Returns coefficients (B, C, N, bins) of a wave."""
        raise NotImplementedError

    def inverse(self, coefficients_BSCNF: Array, length: int) -> Array:
        """Returns waves (B, S, C, length) of coefficients."""
        raise NotImplementedError

    def features(self, coefficients_BCNF: Array) -> Array:
        """Returns features (B, C, N, F, K) of the lowest `num_bins` coefficients."""
        raise NotImplementedError

    def mask(self, estimates_BNFSK: Array) -> Array:
        """Returns masks (B, N, bins, S) of estimates; bins may be fewer than all."""
        raise NotImplementedError


class Signed(Masking):
    """Masking of real coefficients: features are X |X|^(c-1), masks have any sign; K = 1.

    c is the setting `compression`, an exponent on magnitudes; signs are unchanged.
    """

    outputs = 1

    def features(self, coefficients_BCNF: Array) -> Array:
        scale = (coefficients_BCNF**2 + SILENCE) ** ((self.settings.compression - 1) / 2)
        return (coefficients_BCNF * scale)[..., None]

    def mask(self, estimates_BNFSK: Array) -> Array:
        return add_even_share(estimates_BNFSK)


def add_even_share(estimates_BNFSK: Array) -> Array:
    """Returns masks (B, N, F, S) of any sign: 1/S plus the first value of the estimates.

    Estimates of a new network are near 0. All sources then start with the same share, from
    which learning is fast.
    """
    return estimates_BNFSK[..., 0] + 1 / estimates_BNFSK.shape[3]
