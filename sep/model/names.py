"""Names and constants of models that commands use before they import JAX."""

from pathlib import PurePath

import numpy as np

from sep.errors import UserError

DEFAULT_MODEL = "piano-violin"  # the bundled one that commands and `load` take
MIXTURE = "mixture"  # a file of every track

RESIDUAL = "residual"  # name of the output for all that is no named source
REFERENCE_RMS = 2.0**-4  # level that networks are made for


def level_gain(rms: float) -> float:
    """The power of two that brings a recording's RMS nearest to `REFERENCE_RMS`.

    A power of two is undone without rounding. Digital silence keeps its level.
    """
    if rms <= 0:
        return 1.0
    return float(2.0 ** np.clip(np.round(np.log2(REFERENCE_RMS / rms)), -120, 120))


def output_names(model) -> tuple[str, ...]:
    """Names of the S outputs, in their order, from the `model` part of a config.

    Raises:
      UserError: they are not different names of files, which stems are written to.
    """
    names = (*model["sources"], *([RESIDUAL] if model["residual"] else []))
    if not names or len(set(names)) < len(names):
        raise UserError(f"model.sources must be different names: {', '.join(names)}")
    for name in names:  # a stranger's model must not write elsewhere either
        if PurePath(name).name != name or name in ("", "..") or not name.isprintable():
            raise UserError(f"model.sources: {name!r} is not a file name")
    return names


def lookup(registry: dict, kind: str, name: str):
    """registry[name], or a UserError that lists what there is."""
    if name not in registry:
        raise UserError(f"unknown {kind} {name!r}; known: {', '.join(sorted(registry))}")
    return registry[name]
