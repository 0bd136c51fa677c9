"""Plays performances on instruments.

Shapes: T sample, C channel (2).
"""

import importlib

import numpy as np

from sep.errors import UserError
from sep.rendering.arrangement import into_range
from sep.rendering.instruments import Instrument
from sep.rendering.performance import Performance

# Module with play(instrument, rng, performance, seconds) -> wave_TC, and how to install
# the packages that it needs: by suffix of an instrument's path, or by model.
PLAYERS = {
    ".sfz": ("sep.rendering.sfz", "pip install '.[render]'"),
    ".sf2": ("sep.rendering.soundfont", "pip install --no-deps tinysoundfont"),
    ".sf3": ("sep.rendering.soundfont", "pip install --no-deps tinysoundfont"),
    "bowed_string": ("sep.rendering.computed", "pip install '.[render]'"),
}


def playable(instrument: Instrument, performance: Performance) -> Performance:
    """Moves notes by octaves into the instrument's range."""
    notes = performance.notes.copy()
    notes["pitch"] = into_range(notes["pitch"], instrument.lowest, instrument.highest)
    return performance._replace(notes=notes)


def play(
    instrument: Instrument,
    rng: np.random.Generator,
    performance: Performance,
    seconds: float,
) -> np.ndarray:
    """Plays a performance on an instrument.

    Args:
      instrument: a sampled or computed instrument.
      rng: draws articulations, or the parameters of a computed instrument.
      performance: notes and control curves.
      seconds: length of the result.

    Returns:
      wave_TC, float32, of any level.

    Raises:
      UserError: the instrument's files, or the package that plays them, are missing.
    """
    kind = _kind(instrument)
    if kind not in PLAYERS:
        raise UserError(
            f"instrument {instrument.name}: unknown kind {kind}; known are "
            + ", ".join(PLAYERS)
        )
    module, installation = PLAYERS[kind]
    try:
        player = importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"instrument {instrument.name} needs {error.name}: {installation}"
        ) from None
    return player.play(instrument, rng, performance, seconds).astype(np.float32)


def _kind(instrument: Instrument) -> str:
    """Returns the key of `PLAYERS` for an instrument; a folder contains SFZ maps."""
    if instrument.model:
        return instrument.model
    path = instrument.samples
    return ".sfz" if path.is_dir() else path.suffix.lower()
