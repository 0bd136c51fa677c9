"""Whether it matters where chunks begin."""

import numpy as np

from sep.model.consistency import CELL
from sep.separation.chunks import separate_chunks


def grids_apart(separation, wave_CT, frame_hop=CELL):
    """Stems (S, C, T) with chunks from the start, and how those of others differ.

    The others begin half a chunk later, at a multiple of `frame_hop`, so that they have
    the same frames. The first chunk is left out: silence precedes it.
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
