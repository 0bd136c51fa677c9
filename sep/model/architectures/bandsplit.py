"""Bands of bins that listen along time and to each other."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.nn.initializers import lecun_normal, zeros

from sep.errors import UserError
from sep.model.architectures.attention import Attention
from sep.model.architectures.memory import kept
from sep.model.architectures.mingru import MinGru
from sep.model.architectures.output import faint
from sep.model.architectures.recurrence import bilstm, init_bilstm
from sep.model.architectures.settings import BandsplitSettings


class Lstm(nn.Module):
    """A residual block around an LSTM in both directions of time; K is even."""

    @nn.compact
    def __call__(self, heard_BNK: Array) -> Array:
        width = heard_BNK.shape[-1]
        parameters = self.param("bilstm", init_bilstm, width, width // 2)
        states_BNK = bilstm(parameters, nn.LayerNorm()(heard_BNK))
        mixed_MK = nn.Dense(width)(states_BNK.reshape(-1, width))
        return heard_BNK + mixed_MK.reshape(heard_BNK.shape)


ALONG_TIME = {
    "attention": lambda heads, name: Attention(heads, fading=True, name=name),
    "lstm": lambda heads, name: Lstm(name=name),
    "mingru": lambda heads, name: MinGru(name=name),
}


class Bandsplit(nn.Module):
    """Split a frame into bands, let each listen along time and to the others, join.

    After band-split networks: Luo & Yu (2023), with recurrences, and Lu et al. (2024),
    with attention ("BS-RoFormer"). Bands are fine at the bottom, where fundamentals lie,
    and twice as wide after every `fine` bands. Each has a matrix in and a matrix out of
    its own; all between is the same for all bands, and products of matrices.

    Shapes: J band, D numbers a band and frame, M = B N.

    Attributes:
      width: D.
      depth: blocks, each of a layer along time, attention over bands, and dense layers.
      heads: of attention; they divide D.
      finest: bins of the lowest bands.
      fine: bands after which bands are twice as wide.
      along_time: attention, lstm or mingru.
    """

    settings: BandsplitSettings

    @nn.compact
    def __call__(
        self, features_BNFK: Array, *, num_sources: int, num_outputs: int
    ) -> Array:
        if self.settings.along_time not in ALONG_TIME:
            known = ", ".join(sorted(ALONG_TIME))
            raise UserError(
                f"unknown bandsplit.along_time {self.settings.along_time!r}; known: {known}"
            )
        batch, frames, bins, numbers = features_BNFK.shape
        rows = batch * frames
        groups = band_groups(bins, self.settings.finest, self.settings.fine)
        heard_JMD = self.split(features_BNFK.reshape(rows, bins, numbers), groups)
        bands = len(heard_JMD)
        for index in range(self.settings.depth):
            along = ALONG_TIME[self.settings.along_time](
                self.settings.heads, f"along_time_{index}"
            )
            heard_XND = heard_JMD.reshape(bands * batch, frames, self.settings.width)
            heard_JMD = kept(along(heard_XND)).reshape(bands, rows, self.settings.width)
            across = Attention(
                self.settings.heads, fading=False, name=f"across_bands_{index}"
            )
            heard_MJD = kept(across(heard_JMD.swapaxes(0, 1)))
            heard_MJD = kept(Dense(name=f"dense_{index}")(heard_MJD))
            heard_JMD = heard_MJD.swapaxes(0, 1)
        heard_JMD = nn.LayerNorm()(heard_JMD)
        estimates = self.join(heard_JMD, groups, num_sources * num_outputs)[:, :bins]
        return estimates.reshape(batch, frames, bins, num_sources, num_outputs)

    def split(self, features_MFK: Array, groups: list[tuple[int, int]]) -> Array:
        """Each band's features times its matrix: (J, M, D)."""
        rows, bins, numbers = features_MFK.shape
        covered = sum(count * size for count, size in groups)
        padded_MFK = jnp.pad(features_MFK, [(0, 0), (0, covered - bins), (0, 0)])
        parts, begin = [], 0
        for index, (count, size) in enumerate(groups):
            group = padded_MFK[:, begin : begin + count * size]
            group_JMK = group.reshape(rows, count, size * numbers).swapaxes(0, 1)
            init = lecun_normal(batch_axis=0)
            parts.append(self.each(f"split_{index}", group_JMK, self.settings.width, init))
            begin += count * size
        return jnp.concatenate(parts)

    def join(self, heard_JMD: Array, groups: list[tuple[int, int]], numbers: int) -> Array:
        """Each band's numbers times its matrix: (M, F, numbers), F with the padding."""
        rows, parts, begin = heard_JMD.shape[1], [], 0
        for index, (count, size) in enumerate(groups):
            group_JMD = heard_JMD[begin : begin + count]
            init = faint(batch_axis=(0,))
            group_JMK = self.each(f"join_{index}", group_JMD, size * numbers, init)
            parts.append(group_JMK.swapaxes(0, 1).reshape(rows, count * size, numbers))
            begin += count
        return jnp.concatenate(parts, 1)

    def each(self, name: str, heard_JMK: Array, width: int, init: Callable) -> Array:
        """A dense layer of its own for every band."""
        bands, _, numbers = heard_JMK.shape
        kernel = self.param(f"{name}_kernel", init, (bands, numbers, width))
        bias = self.param(f"{name}_bias", zeros, (bands, 1, width))
        return heard_JMK @ kernel.astype(heard_JMK.dtype) + bias.astype(heard_JMK.dtype)


class Dense(nn.Module):
    """A residual block of two dense layers, twice as wide between them."""

    @nn.compact
    def __call__(self, heard_MJD: Array) -> Array:
        width = heard_MJD.shape[-1]
        rows = nn.LayerNorm()(heard_MJD.reshape(-1, width))
        rows = nn.Dense(width)(nn.gelu(nn.Dense(2 * width)(rows)))
        return heard_MJD + rows.reshape(heard_MJD.shape)


def band_groups(bins: int, finest: int, fine: int) -> list[tuple[int, int]]:
    """Bands from low to high as (how many, bins of each); the last may hang over.

    Raises:
      ValueError: a number is not positive.
    """
    if min(bins, finest, fine) < 1:
        raise ValueError(f"bandsplit needs finest, fine >= 1: {finest}, {fine}")
    groups, size = [], finest
    while bins > 0:
        count = min(fine, -(-bins // size))
        groups.append((count, size))
        bins, size = bins - count * size, 2 * size
    return groups
