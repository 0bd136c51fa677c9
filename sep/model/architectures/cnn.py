"""A U-Net over frames and bins, as over a picture."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array, lax
from jax.nn.initializers import lecun_normal

from sep.model.architectures.dense import dense
from sep.model.architectures.memory import kept
from sep.model.architectures.output import faint
from sep.model.architectures.settings import CnnSettings

BINS = 4  # of a cell at the finest level
_INIT = lecun_normal()


class Cnn(nn.Module):
    """Convolutions at ever coarser levels and back, each level joined to its like.

    The U-Net of Ronneberger et al. (2015), as Jansson et al. (2017) took it to music. The
    way down and up is by dense layers on patches, reordered, not by strides and transposed
    convolutions: they leave no checkerboard, and differentiate fast on CPUs. A bias for
    each cell of a frame says how high it lies, which convolutions cannot tell.

    Shapes: N frame, F bin, P cell of `BINS` bins, D numbers a cell.

    Attributes:
      width: D at the finest level; every coarser level has twice as many.
      depth: how often cells are joined, by two in both directions.
    """

    settings: CnnSettings

    @nn.compact
    def __call__(
        self, features_BNFK: Array, *, num_sources: int, num_outputs: int
    ) -> Array:
        _, frames, bins, _ = features_BNFK.shape
        coarsest = 2**self.settings.depth
        padding = [(0, 0), (0, -frames % coarsest), (0, -bins % (BINS * coarsest)), (0, 0)]
        heard_BNPD = dense(
            self.settings.width, patches(jnp.pad(features_BNFK, padding), 1, BINS)
        )
        place_PD = self.param(
            "place", nn.initializers.zeros, heard_BNPD.shape[2:], jnp.float32
        )
        heard_BNPD = heard_BNPD + place_PD.astype(heard_BNPD.dtype)
        finer = []
        for level in range(self.settings.depth):
            heard_BNPD = kept(Block()(heard_BNPD))
            finer.append(heard_BNPD)
            heard_BNPD = dense(
                self.settings.width * 2 ** (level + 1), patches(heard_BNPD, 2, 2)
            )
        heard_BNPD = kept(Block()(heard_BNPD))
        for fine_BNPD in reversed(finer):
            risen_BNPD = unpatched(dense(4 * fine_BNPD.shape[-1], heard_BNPD), 2, 2)
            heard_BNPD = kept(Block()(fine_BNPD + risen_BNPD))
        heard_BNPD = nn.LayerNorm()(heard_BNPD)
        numbers = num_sources * num_outputs
        estimates = unpatched(dense(BINS * numbers, heard_BNPD, faint()), 1, BINS)
        return estimates[:, :frames, :bins].reshape(
            *features_BNFK.shape[:3], num_sources, num_outputs
        )


class Block(nn.Module):
    """A residual block of two convolutions of 3 x 3 cells; D stays."""

    @nn.compact
    def __call__(self, heard_BNPD: Array) -> Array:
        added_BNPD = nn.LayerNorm()(heard_BNPD)
        for last in (False, True):
            shape = (3, 3, heard_BNPD.shape[-1], heard_BNPD.shape[-1])
            kernel = self.param(f"kernel_{int(last)}", _INIT, shape)
            added_BNPD = lax.conv_general_dilated(
                *(added_BNPD, kernel.astype(added_BNPD.dtype), (1, 1), "SAME"),
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
            if not last:
                added_BNPD = nn.gelu(added_BNPD)
        return heard_BNPD + added_BNPD


def patches(heard_BNPD: Array, frames: int, cells: int) -> Array:
    """Joins patches of frames x cells: (B, N / frames, P / cells, frames cells D)."""
    batch, n, p, d = heard_BNPD.shape
    split = heard_BNPD.reshape(batch, n // frames, frames, p // cells, cells, d)
    return split.swapaxes(2, 3).reshape(batch, n // frames, p // cells, -1)


def unpatched(heard_BNPD: Array, frames: int, cells: int) -> Array:
    """Takes patches apart again: the inverse of `patches`."""
    batch, n, p, d = heard_BNPD.shape
    split = heard_BNPD.reshape(batch, n, p, frames, cells, -1).swapaxes(2, 3)
    return split.reshape(batch, n * frames, p * cells, d // (frames * cells))
