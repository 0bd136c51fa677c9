"""Harmonic-percussive separation by median filters (FitzGerald 2010), without training.

Energy that is steady over time goes to bowed, blown and sung sources, energy that is
spread evenly over frequency to struck and plucked ones. Notes of a piano have both, so the
separation of instruments is poor; the method is a baseline without training.

Shapes: S source, C channel, T sample, N frame, F bin.
"""

from collections.abc import Sequence
from types import ModuleType

import numpy as np
from jax import Array

from sep.errors import UserError
from sep.evaluation.references import spectra
from sep.evaluation.references.oracles import shares
from sep.evaluation.references.spectra import Transform

# All other sources count as harmonic.
PERCUSSIVE = ("piano", "harpsichord", "harp", "guitar", "drums", "percussion")
# In longer windows, like those of the oracles, hardly any part of a piano is percussive.
_TRANSFORM = Transform(n_fft=1024, hop_length=256)
_FILTER = 17  # length of the median filters, in frames and in bins


def hpss(
    mixture_CT: np.ndarray, percussive: Sequence[bool], sample_rate: int
) -> np.ndarray:
    """Separates a mixture into estimates (S, C, T) that sum to it.

    Masks are h / (h + p) and p / (h + p), with the medians of magnitudes over 17 frames,
    h, and over 17 bins, p. Sources of one kind share its part equally.

    Args:
      mixture_CT: the mixture.
      percussive: whether each source is percussive.
      sample_rate: in Hz.
    """
    kind_S = np.asarray(percussive)

    def split(mixture_CNF: Array) -> Array:
        mask_SCNF = shares(np.stack(medians(np.abs(mixture_CNF))))[kind_S.astype(int)]
        count_S = np.where(kind_S, kind_S.sum(), (~kind_S).sum())
        return mask_SCNF / count_S[:, None, None, None] * mixture_CNF

    return spectra.change(mixture_CT, _TRANSFORM.at(sample_rate), split)


def medians(magnitude_CNF: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Harmonic and percussive parts of a spectrogram by medians, (C, N, F) each."""
    ndimage = _ndimage()
    return (
        ndimage.median_filter(magnitude_CNF, size=(1, _FILTER, 1)),
        ndimage.median_filter(magnitude_CNF, size=(1, 1, _FILTER)),
    )


def kinds(names: Sequence[str]) -> tuple[bool, ...]:
    """Whether each source is percussive, by its name.

    Raises:
      UserError: all are of one kind, or SciPy is not installed.
    """
    _ndimage()
    found = tuple(name in PERCUSSIVE for name in names)
    if all(found) or not any(found):
        raise UserError(
            f"reference hpss: separates struck or plucked sources "
            f"({', '.join(PERCUSSIVE)}) from others, so it cannot separate "
            f"{', '.join(names)}; leave it out"
        )
    return found


def _ndimage() -> ModuleType:
    try:
        from scipy import ndimage  # slow to import
    except ImportError:
        raise UserError("reference hpss needs: pip install '.[references]'") from None
    return ndimage
