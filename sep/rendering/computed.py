"""Instruments that are computed: another one for each piece.

Shapes: T sample, C channel (2).
"""

import numpy as np

from sep.rendering import bowed_string
from sep.rendering.instruments import Instrument
from sep.rendering.performance import Performance


def play(
    instrument: Instrument, rng, performance: Performance, seconds: float
) -> np.ndarray:
    """A violin that never was, the same in both channels."""
    wave_T = bowed_string.play(bowed_string.draw(rng), rng, performance, seconds)
    return np.repeat(wave_T[:, None], 2, axis=1)
