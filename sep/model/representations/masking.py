"""What all representations share in which a source is a mask on a transform.

A mask multiplies the mixture's own coefficients, so synthesis needs those as context.
Masks are not bounded to 1: where sources cancel in the mixture, a bin of one source is
larger than the bin of both.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

SILENCE = 1e-12  # power under which a bin counts as silence; keeps gradients finite


class Masking(nn.Module):
    """Features of a transform's coefficients in, a mask on each of them out.

    A kind of it defines `transform`, `inverse`, `features` and `mask`, and `outputs`.

    Attributes:
      settings: of the subclass.
      sample_rate: Hz.
    """

    settings: Any
    sample_rate: int

    num_bins = None  # number of bins, the lowest ones, that are features; None: all

    @property
    def hop_length(self) -> int:
        """Distance of frames in samples."""
        return self.settings.hop_length

    def analyse(self, mixture_BCT: Array) -> tuple[Array, Array]:
        """Features (B*C, N, F, K); the context is all coefficients (B, C, N, bins)."""
        whole_BCNF = self.transform(mixture_BCT)
        features_BCNFK = self.features(whole_BCNF[..., : self.num_bins])
        return features_BCNFK.reshape(-1, *features_BCNFK.shape[2:]), whole_BCNF

    def synthesise(self, estimates_BNFSK: Array, context: Array, length: int) -> Array:
        """Waves (B, S, C, length): the context times the masks, transformed back.

        The highest mask serves for all bins above those that the network sees.
        """
        batch, channels, frames, bins = context.shape
        mask_BNFS = self.mask(estimates_BNFSK)
        highest_BN1S, above = mask_BNFS[:, :, -1:], bins - mask_BNFS.shape[2]
        # Not jnp.pad, whose mode "edge" takes many times as long to differentiate.
        mask_BNFS = jnp.concatenate([mask_BNFS, highest_BN1S.repeat(above, 2)], 2)
        mask_BCNFS = mask_BNFS.reshape(batch, channels, frames, bins, -1)
        mask_BSCNF = jnp.moveaxis(mask_BCNFS, 4, 1)
        return self.inverse(mask_BSCNF * context[:, None], length)


class Signed(Masking):
    """Masking of real coefficients: X |X|^(c-1) in, a mask of any sign out; K = 1.

    c is the setting `compression`, an exponent on magnitudes; signs stay.
    """

    outputs = 1

    def features(self, coefficients_BCNF: Array) -> Array:
        scale = (coefficients_BCNF**2 + SILENCE) ** ((self.settings.compression - 1) / 2)
        return (coefficients_BCNF * scale)[..., None]

    def mask(self, estimates_BNFSK: Array) -> Array:
        return from_even_share(estimates_BNFSK)


def from_even_share(estimates_BNFSK: Array) -> Array:
    """Masks (B, N, F, S) of any sign; an estimate says by how much one differs from 1/S.

    So a new network gives every source the same share, and learns from there at once.
    """
    return estimates_BNFSK[..., 0] + 1 / estimates_BNFSK.shape[3]
