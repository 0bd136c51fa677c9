"""Names of models and outputs, and the reference level."""

import math
from collections.abc import Sequence
from pathlib import PurePath

from sep.errors import UserError

DEFAULT_MODEL = "piano-violin"  # bundled model that commands and `load` use by default
MIXTURE = "mixture"  # name of the file of a track's mixture
RESIDUAL = "residual"  # name of the output for everything that is no named source
REFERENCE_RMS = 2.0**-4  # level at which networks are trained


def level_gain(rms: float) -> float:
    """Returns the power of two that brings a recording's RMS nearest to `REFERENCE_RMS`.

    Scaling by a power of two can be undone without rounding. The gain of digital silence
    is 1.
    """
    if rms <= 0:
        return 1.0
    exponent = round(math.log2(REFERENCE_RMS) - math.log2(rms))
    return 2.0 ** max(-120, min(120, exponent))


def output_names(sources: Sequence[str], *, residual: bool) -> tuple[str, ...]:
    """Returns the names of a model's S outputs, in order: sources, then the residual.

    Stems are written to files of these names.

    Raises:
      UserError: the names are not distinct, or one is no file name.
    """
    names = (*sources, *([RESIDUAL] if residual else []))
    if not names or len(set(names)) < len(names):
        raise UserError(f"model.sources must be different names: {', '.join(names)}")
    for name in names:  # an untrusted release file must not choose other folders
        if PurePath(name).name != name or name in ("", "..") or not name.isprintable():
            raise UserError(f"model.sources: {name!r} is not a file name")
    return names
