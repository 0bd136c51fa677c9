"""A U-Net over frames and bins, as over an image."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array, lax
from jax.nn.initializers import lecun_normal

from sep.model.architectures.dense import dense
from sep.model.architectures.memory import saved
from sep.model.architectures.output import small_init
from sep.model.architectures.settings import CnnSettings

BINS = 4  # bins of a cell at the finest level
_INIT = lecun_normal()


class Cnn(nn.Module):
    """Convolutions at ever coarser levels and back, with skip connections at each level.

    The U-Net of Ronneberger et al. (2015), applied to music by Jansson et al. (2017).
    Levels are connected by dense layers on patches and reshapes instead of strided and
    transposed convolutions: these cause no checkerboard artefacts and differentiate fast on
    CPUs. A bias for each cell of a frame encodes its frequency, to which convolutions are
    blind.

    Shapes: N frame, F bin, P cell of `BINS` bins, D feature of a cell.

    Settings:
      width: D at the finest level; every coarser level has twice as many.
      depth: number of coarser levels; each merges two frames and two cells into one.
    """

    settings: CnnSettings

    @nn.compact
    def __call__(
        self, features_BNFK: Array, *, num_sources: int, num_outputs: int
    ) -> Array:
        width, depth = self.settings.width, self.settings.depth
        _, frames, bins, _ = features_BNFK.shape
        coarsest = 2**depth
        padding = [(0, 0), (0, -frames % coarsest), (0, -bins % (BINS * coarsest)), (0, 0)]
        hidden_BNPD = dense(width, to_patches(jnp.pad(features_BNFK, padding), 1, BINS))
        place_PD = self.param(
            "place", nn.initializers.zeros, hidden_BNPD.shape[2:], jnp.float32
        )
        hidden_BNPD = hidden_BNPD + place_PD.astype(hidden_BNPD.dtype)
        skipped = []
        for level in range(depth):
            hidden_BNPD = saved(Block()(hidden_BNPD))
            skipped.append(hidden_BNPD)
            hidden_BNPD = dense(width * 2 ** (level + 1), to_patches(hidden_BNPD, 2, 2))
        hidden_BNPD = saved(Block()(hidden_BNPD))
        for skip_BNPD in reversed(skipped):
            finer_BNPD = from_patches(dense(4 * skip_BNPD.shape[-1], hidden_BNPD), 2, 2)
            hidden_BNPD = saved(Block()(skip_BNPD + finer_BNPD))
        hidden_BNPD = nn.LayerNorm()(hidden_BNPD)
        values = num_sources * num_outputs
        estimates = from_patches(dense(BINS * values, hidden_BNPD, small_init()), 1, BINS)
        return estimates[:, :frames, :bins].reshape(
            *features_BNFK.shape[:3], num_sources, num_outputs
        )


class Block(nn.Module):
    """A residual block of two convolutions of 3 x 3 cells; keeps D."""

    @nn.compact
    def __call__(self, hidden_BNPD: Array) -> Array:
        added_BNPD = nn.LayerNorm()(hidden_BNPD)
        for last in (False, True):
            shape = (3, 3, hidden_BNPD.shape[-1], hidden_BNPD.shape[-1])
            kernel = self.param(f"kernel_{int(last)}", _INIT, shape)
            added_BNPD = lax.conv_general_dilated(
                *(added_BNPD, kernel.astype(added_BNPD.dtype), (1, 1), "SAME"),
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
            if not last:
                added_BNPD = nn.gelu(added_BNPD)
        return hidden_BNPD + added_BNPD


def to_patches(hidden_BNPD: Array, frames: int, cells: int) -> Array:
    """Merges patches of frames x cells: (B, N / frames, P / cells, frames * cells * D)."""
    batch, n, p, d = hidden_BNPD.shape
    split = hidden_BNPD.reshape(batch, n // frames, frames, p // cells, cells, d)
    return split.swapaxes(2, 3).reshape(batch, n // frames, p // cells, -1)


def from_patches(hidden_BNPD: Array, frames: int, cells: int) -> Array:
    """Inverts `to_patches`."""
    batch, n, p, d = hidden_BNPD.shape
    split = hidden_BNPD.reshape(batch, n, p, frames, cells, -1).swapaxes(2, 3)
    return split.reshape(batch, n * frames, p * cells, d // (frames * cells))
