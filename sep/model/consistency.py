"""Mixture consistency: makes estimates sum to the mixture."""

from typing import Any, TypeVar

import jax
import numpy as np

AnyArray = TypeVar("AnyArray", np.ndarray, jax.Array)

CELL = 1024  # samples over which `share_rest` compares the energies of sources
_SILENCE = 1e-16  # power, at the reference level, below which a cell counts as silent
# K is a sample of a cell.
_POSITION_K = (np.arange(CELL, dtype=np.float32) + 0.5) / CELL - 0.5  # from the centre
_INTERPOLATION_3K = np.stack(
    [np.maximum(-_POSITION_K, 0), 1 - np.abs(_POSITION_K), np.maximum(_POSITION_K, 0)]
)


def share_rest(mixture_BCT: AnyArray, sources_BSCT: AnyArray) -> AnyArray:
    """Makes sources (B, S, C, T) sum to the mixture (B, C, T).

    The difference is divided among the sources in proportion to their energy nearby, which
    is measured in cells of `CELL` samples and interpolated between their centres. A silent
    source stays silent. Where all sources are silent, each gets the same share. This is the
    mixture consistency of Wisdom et al. (2019) with local weights.

    Accepts NumPy and JAX arrays. Gradients are finite on silence.
    """
    xp: Any = sources_BSCT.__array_namespace__()
    batch, sources, channels, length = sources_BSCT.shape
    cells = -(-length // CELL)
    tail = [(0, 0), (0, 0), (0, 0), (0, cells * CELL - length)]
    cells_BSCNK = xp.pad(sources_BSCT, tail).reshape(batch, sources, channels, cells, CELL)
    energy_BSCN = (cells_BSCNK**2).mean(-1)
    total_B1CN = energy_BSCN.sum(1)[:, None]
    has_sound_B1CN = total_B1CN > _SILENCE  # dividing by less has no finite gradient
    weight_BSCN = xp.where(
        has_sound_B1CN, energy_BSCN / xp.where(has_sound_B1CN, total_B1CN, 1), 1 / sources
    )
    # Each sample's weight is a mean of its cell's weight and the neighbours', weighted by
    # distance. As a product it is fast to differentiate.
    ends = [(0, 0), (0, 0), (0, 0), (1, 1)]
    padded_BSCN = xp.pad(weight_BSCN, ends, mode="edge")
    neighbours_BSCN3 = xp.stack([padded_BSCN[..., i : i + cells] for i in range(3)], -1)
    weight_BSCNK = neighbours_BSCN3 @ _INTERPOLATION_3K
    weight_BSCT = weight_BSCNK.reshape(batch, sources, channels, -1)[..., :length]
    rest_BCT = mixture_BCT - sources_BSCT.sum(1)
    return sources_BSCT + weight_BSCT * rest_BCT[:, None]
