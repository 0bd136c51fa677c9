"""Names of models and outputs, and the reference level."""

from collections.abc import Sequence
from pathlib import PurePath

import numpy as np

from sep.errors import UserError

DEFAULT_MODEL = "piano-violin"  # the bundled one that commands and `load` take
MIXTURE = "mixture"  # name of the file of a track's mixture
RESIDUAL = "residual"  # name of the output for all that is no named source
REFERENCE_RMS = 2.0**-4  # level at which networks are trained


def level_gain(rms: float) -> float:
    """The power of two that brings a recording's RMS nearest to `REFERENCE_RMS`.

    A power of two is undone without rounding. Digital silence keeps its level.
    """
    if rms <= 0:
        return 1.0
    return float(2.0 ** np.clip(np.round(np.log2(REFERENCE_RMS / rms)), -120, 120))


def output_names(sources: Sequence[str], *, residual: bool) -> tuple[str, ...]:
    """Names of the S outputs of a model, in order: its sources and maybe the residual.

    Raises:
      UserError: they are not different file names, which stems are written to.
    """
    names = (*sources, *([RESIDUAL] if residual else []))
    if not names or len(set(names)) < len(names):
        raise UserError(f"model.sources must be different names: {', '.join(names)}")
    for name in names:  # a release file from elsewhere must not choose other folders
        if PurePath(name).name != name or name in ("", "..") or not name.isprintable():
            raise UserError(f"model.sources: {name!r} is not a file name")
    return names
