"""A band-split network: layers along time within bands, and attention across bands."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.nn.initializers import lecun_normal, zeros

from sep.errors import UserError
from sep.model.architectures.attention import Attention
from sep.model.architectures.memory import saved
from sep.model.architectures.mingru import MinGru
from sep.model.architectures.output import small_init
from sep.model.architectures.recurrence import bilstm, init_bilstm
from sep.model.architectures.settings import BandsplitSettings


class LstmBlock(nn.Module):
    """A residual block around an LSTM in both directions of time; K is even."""

    @nn.compact
    def __call__(self, hidden_BNK: Array) -> Array:
        width = hidden_BNK.shape[-1]
        parameters = self.param("bilstm", init_bilstm, width, width // 2)
        states_BNK = bilstm(parameters, nn.LayerNorm()(hidden_BNK))
        output_MK = nn.Dense(width)(states_BNK.reshape(-1, width))
        return hidden_BNK + output_MK.reshape(hidden_BNK.shape)


# make(heads, name) -> a layer along time
ALONG_TIME: dict[str, Callable[[int, str], nn.Module]] = {
    "attention": lambda heads, name: Attention(heads, distance_penalty=True, name=name),
    "lstm": lambda heads, name: LstmBlock(name=name),
    "mingru": lambda heads, name: MinGru(name=name),
}


class Bandsplit(nn.Module):
    """Splits frames into bands, processes them along time and across bands, joins them.

    After the band-split networks of Luo & Yu (2023), with recurrences, and Lu et al.
    (2024), with attention ("BS-RoFormer"). The lowest bands, which contain fundamentals,
    are the narrowest; after every `fine` bands the width doubles. Each band has its own
    input and output matrix. All other layers are shared by all bands and are products of
    matrices.

    Shapes: J band, D feature of a band and frame, M = B N.

    Settings:
      width: D.
      depth: number of blocks, each a layer along time, attention across bands, and dense
        layers.
      heads: attention heads; they divide D.
      finest: bins of the lowest bands.
      fine: number of bands after which the width of bands doubles.
      along_time: attention, lstm or mingru.
    """

    settings: BandsplitSettings

    @nn.compact
    def __call__(
        self, features_BNFK: Array, *, num_sources: int, num_outputs: int
    ) -> Array:
        settings = self.settings
        if settings.along_time not in ALONG_TIME:
            known = ", ".join(sorted(ALONG_TIME))
            raise UserError(
                f"unknown bandsplit.along_time {settings.along_time!r}; known: {known}"
            )
        batch, frames, bins, kinds = features_BNFK.shape
        rows = batch * frames
        groups = band_groups(bins, settings.finest, settings.fine)
        hidden_JMD = self.split(features_BNFK.reshape(rows, bins, kinds), groups)
        bands = len(hidden_JMD)
        for index in range(settings.depth):
            along = ALONG_TIME[settings.along_time](settings.heads, f"along_time_{index}")
            hidden_XND = hidden_JMD.reshape(bands * batch, frames, settings.width)
            hidden_JMD = saved(along(hidden_XND)).reshape(bands, rows, settings.width)
            across = Attention(
                settings.heads, distance_penalty=False, name=f"across_bands_{index}"
            )
            hidden_MJD = saved(across(hidden_JMD.swapaxes(0, 1)))
            hidden_MJD = saved(DenseBlock(name=f"dense_{index}")(hidden_MJD))
            hidden_JMD = hidden_MJD.swapaxes(0, 1)
        hidden_JMD = nn.LayerNorm()(hidden_JMD)
        estimates = self.join(hidden_JMD, groups, num_sources * num_outputs)[:, :bins]
        return estimates.reshape(batch, frames, bins, num_sources, num_outputs)

    def split(self, features_MFK: Array, groups: list[tuple[int, int]]) -> Array:
        """Returns the product of each band's features and matrix, (J, M, D)."""
        rows, bins, kinds = features_MFK.shape
        covered = sum(count * size for count, size in groups)
        padded_MFK = jnp.pad(features_MFK, [(0, 0), (0, covered - bins), (0, 0)])
        parts, begin = [], 0
        for index, (count, size) in enumerate(groups):
            group = padded_MFK[:, begin : begin + count * size]
            group_JMK = group.reshape(rows, count, size * kinds).swapaxes(0, 1)
            init = lecun_normal(batch_axis=0)
            parts.append(
                self.dense_per_band(f"split_{index}", group_JMK, self.settings.width, init)
            )
            begin += count * size
        return jnp.concatenate(parts)

    def join(self, hidden_JMD: Array, groups: list[tuple[int, int]], values: int) -> Array:
        """Returns the product of each band and its matrix, (M, F, values).

        F includes the padding of the last band.
        """
        rows, parts, begin = hidden_JMD.shape[1], [], 0
        for index, (count, size) in enumerate(groups):
            group_JMD = hidden_JMD[begin : begin + count]
            init = small_init(batch_axis=(0,))
            group_JMK = self.dense_per_band(f"join_{index}", group_JMD, size * values, init)
            parts.append(group_JMK.swapaxes(0, 1).reshape(rows, count * size, values))
            begin += count
        return jnp.concatenate(parts, 1)

    def dense_per_band(
        self, name: str, hidden_JMK: Array, width: int, init: Callable
    ) -> Array:
        """Applies a dense layer to (J, M, K) with separate parameters for each band."""
        bands, _, values = hidden_JMK.shape
        kernel = self.param(f"{name}_kernel", init, (bands, values, width))
        bias = self.param(f"{name}_bias", zeros, (bands, 1, width))
        return hidden_JMK @ kernel.astype(hidden_JMK.dtype) + bias.astype(hidden_JMK.dtype)


class DenseBlock(nn.Module):
    """A residual block of two dense layers with 2 D hidden features."""

    @nn.compact
    def __call__(self, hidden_MJD: Array) -> Array:
        width = hidden_MJD.shape[-1]
        rows = nn.LayerNorm()(hidden_MJD.reshape(-1, width))
        rows = nn.Dense(width)(nn.gelu(nn.Dense(2 * width)(rows)))
        return hidden_MJD + rows.reshape(hidden_MJD.shape)


def band_groups(bins: int, finest: int, fine: int) -> list[tuple[int, int]]:
    """Returns groups of equal bands, low to high: (number of bands, bins of each).

    The last band may extend beyond the last bin.

    Raises:
      ValueError: a number is not positive.
    """
    if min(bins, finest, fine) < 1:
        raise ValueError(
            f"bandsplit.finest and bandsplit.fine must be at least 1, not {finest}, {fine}"
        )
    groups, size = [], finest
    while bins > 0:
        count = min(fine, -(-bins // size))
        groups.append((count, size))
        bins, size = bins - count * size, 2 * size
    return groups
