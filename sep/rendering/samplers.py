"""Instruments that sound: a performance in, a wave out.

Shapes: T sample, C channel (2).
"""

import importlib

import numpy as np

from sep.errors import UserError
from sep.rendering.arrangement import into_range
from sep.rendering.instruments import Instrument
from sep.rendering.performance import Performance

# Modules with play(instrument, rng, performance, seconds) -> wave_TC, and what each needs.
PLAYERS = {
    ".sfz": ("sep.rendering.sfz", "pip install '.[render]'"),
    ".sf2": ("sep.rendering.soundfont", "pip install --no-deps tinysoundfont"),
    ".sf3": ("sep.rendering.soundfont", "pip install --no-deps tinysoundfont"),
    "bowed_string": ("sep.rendering.computed", "pip install '.[render]'"),
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
