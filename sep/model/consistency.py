"""Mixture consistency: estimates that sum to the mixture."""

import numpy as np
from jax import Array

CELL = 1024  # samples over which `share_rest` compares the energies of sources
_SILENCE = 1e-16  # power at the reference level under which nothing is heard
# In `share_rest` K is a sample of a cell.
_POSITION_K = (np.arange(CELL, dtype=np.float32) + 0.5) / CELL - 0.5  # from the centre
_INTERPOLATION_3K = np.stack(
    [np.maximum(-_POSITION_K, 0), 1 - np.abs(_POSITION_K), np.maximum(_POSITION_K, 0)]
)


def share_rest(mixture_BCT: Array, sources_BSCT: Array) -> Array:
    """Makes sources (B, S, C, T) sum to the mixture (B, C, T): mixture consistency.

    What is left over goes to the sources in proportion to their energy nearby (cells of
    `CELL` samples, weights interpolated between their centres), so a source that is
    silent stays silent; where all are silent, each gets the same share (Wisdom et al.
    2019, with local weights). Works on NumPy arrays as on JAX's, and differentiates on
    silence.
    """
    xp = sources_BSCT.__array_namespace__()
    batch, sources, channels, length = sources_BSCT.shape
    cells = -(-length // CELL)
    tail = [(0, 0), (0, 0), (0, 0), (0, cells * CELL - length)]
    cells_BSCNK = xp.pad(sources_BSCT, tail).reshape(batch, sources, channels, cells, CELL)
    energy_BSCN = (cells_BSCNK**2).mean(-1)
    total_B1CN = energy_BSCN.sum(1)[:, None]
    heard_B1CN = total_B1CN > _SILENCE  # a division by less has no finite gradient
    weight_BSCN = xp.where(
        heard_B1CN, energy_BSCN / xp.where(heard_B1CN, total_B1CN, 1), 1 / sources
    )
    # Between the centres of cells weights are interpolated: each cell's samples mix its
    # own weight with its neighbours' by distance (a product is fast to differentiate).
    ends = [(0, 0), (0, 0), (0, 0), (1, 1)]
    padded_BSCN = xp.pad(weight_BSCN, ends, mode="edge")
    near_BSCN3 = xp.stack([padded_BSCN[..., i : i + cells] for i in range(3)], -1)
    weight_BSCNK = near_BSCN3 @ _INTERPOLATION_3K
    weight_BSCT = weight_BSCNK.reshape(batch, sources, channels, -1)[..., :length]
    rest_BCT = mixture_BCT - sources_BSCT.sum(1)
    return sources_BSCT + weight_BSCT * rest_BCT[:, None]
