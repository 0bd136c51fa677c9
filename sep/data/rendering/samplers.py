"""Instruments that sound: a performance in, a wave out.

Shapes: T sample, C channel (2).
"""

import importlib

import numpy as np

from sep.data.rendering.arrangement import into_range
from sep.data.rendering.instruments import Instrument
from sep.data.rendering.performance import Performance
from sep.errors import UserError

# Modules with play(instrument, rng, performance, seconds) -> wave_TC, and what each needs.
PLAYERS = {
    ".sfz": ("sep.data.rendering.sfz", "pip install '.[render]'"),
    ".sf2": ("sep.data.rendering.soundfont", "pip install --no-deps tinysoundfont"),
    ".sf3": ("sep.data.rendering.soundfont", "pip install --no-deps tinysoundfont"),
    "bowed_string": ("sep.data.rendering.computed", "pip install '.[render]'"),
}


def playable(instrument: Instrument, performance: Performance) -> Performance:
    """The same with every note within the instrument's range, by octaves."""
    notes = performance.notes.copy()
    notes["pitch"] = into_range(notes["pitch"], instrument.lowest, instrument.highest)
    return performance._replace(notes=notes)


def play(instrument: Instrument, rng, performance: Performance, seconds: float):
    """A performance on an instrument: wave_TC, float32, of any level.

    Raises:
      UserError: the instrument's files, or the package that plays them, are missing.
    """
    path = instrument.path
    kind = instrument.model or (".sfz" if path.is_dir() else path.suffix.lower())
    if kind not in PLAYERS:
        known = ", ".join(PLAYERS)
        raise UserError(f"instrument {instrument.name}: {kind} is none of {known}")
    module, installation = PLAYERS[kind]
    try:
        player = importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"instrument {instrument.name} needs {error.name}: {installation}"
        ) from None
    return player.play(instrument, rng, performance, seconds).astype(np.float32)
