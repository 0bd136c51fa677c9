"""Stems with different grids of chunks."""

import numpy as np

from sep.model.consistency import CELL
from sep.separation.chunks import separate_chunks


def grids_apart(separation, wave_CT, frame_hop=CELL):
    """Separates a wave with two grids of chunks, half a chunk apart.

    The second grid begins later by a multiple of `frame_hop`, which keeps the frames the
    same. The first chunk is left out, because silence precedes it in the second grid.

    Returns:
      Stems (S, C, T) of the first grid, and their difference from those of the second.
    """
    plan, apply, refine = separation._plan, separation._apply, separation._refine
    hop = plan.chunk - plan.overlap
    silence = np.zeros((len(wave_CT), hop // 2 // frame_hop * frame_hop), np.float32)
    both = []
    for before in (silence[:, :0], silence):
        blocks = [np.concatenate([before, wave_CT], 1)]
        stems_SCT = np.concatenate(list(separate_chunks(apply, blocks, plan, refine)), -1)
        both.append(stems_SCT[..., before.shape[1] :])
    return both[0][..., hop:-hop], (both[0] - both[1])[..., hop:-hop]
