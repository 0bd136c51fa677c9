"""Plays computed instruments: each piece gets a newly drawn one.

Shapes: T sample, C channel (2).
"""

import numpy as np

from sep.rendering import bowed_string
from sep.rendering.instruments import Instrument
from sep.rendering.performance import Performance


def play(
    instrument: Instrument,
    rng: np.random.Generator,
    performance: Performance,
    seconds: float,
) -> np.ndarray:
    """Draws a bowed-string violin and plays on it: wave_TC, both channels equal."""
    wave_T = bowed_string.play(bowed_string.draw(rng), rng, performance, seconds)
    return np.repeat(wave_T[:, None], 2, axis=1)
