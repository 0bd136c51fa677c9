"""Harmonic-percussive separation by median filters (FitzGerald 2010), without training.

What stays the same over time goes to sources that are bowed, blown or sung, what stays
the same over frequency to those that are struck or plucked. A piano's notes do both, so
this is less than a separator of instruments: what comes of a simple idea.

Shapes: S source, C channel, T sample, N frame, F bin.
"""

from collections.abc import Sequence

import numpy as np
from jax import Array

from sep.errors import UserError
from sep.evaluation.references import spectra
from sep.evaluation.references.oracles import shares
from sep.evaluation.references.spectra import Transform

# Everything else is taken for harmonic.
PERCUSSIVE = ("piano", "harpsichord", "harp", "guitar", "drums", "percussion")
# Longer windows, as oracles have, leave hardly a part of a piano's notes percussive.
_TRANSFORM = Transform(n_fft=1024, hop_length=256)
_FILTER = 17  # frames, and bins


def hpss(
    mixture_CT: np.ndarray, percussive: Sequence[bool], sample_rate: int
) -> np.ndarray:
    """Estimates (S, C, T) that sum to the mixture; `percussive` says of what kind each is.

    Masks are h and p over h + p, the medians of magnitudes over 17 frames and over 17
    bins; sources of one kind share its part equally.
    """
    kind_S = np.asarray(percussive)

    def split(mixture_CNF: Array) -> Array:
        mask_SCNF = shares(np.stack(medians(np.abs(mixture_CNF))))[kind_S.astype(int)]
        count_S = np.where(kind_S, kind_S.sum(), (~kind_S).sum())
        return mask_SCNF / count_S[:, None, None, None] * mixture_CNF

    return spectra.change(mixture_CT, _TRANSFORM.at(sample_rate), split)


def medians(magnitude_CNF: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What of a spectrogram is harmonic, and what percussive: each (C, N, F)."""
    ndimage = _ndimage()
    return (
        ndimage.median_filter(magnitude_CNF, size=(1, _FILTER, 1)),
        ndimage.median_filter(magnitude_CNF, size=(1, 1, _FILTER)),
    )


def kinds(names: Sequence[str]) -> tuple[bool, ...]:
    """Which sources are percussive.

    Raises:
      UserError: all are of one kind, or SciPy is not installed.
    """
    _ndimage()
    found = tuple(name in PERCUSSIVE for name in names)
    if all(found) or not any(found):
        raise UserError(
            f"reference hpss: tells struck or plucked sources ({', '.join(PERCUSSIVE)}) "
            f"from others, and cannot tell {', '.join(names)} apart; leave it out"
        )
    return found


def _ndimage():
    try:
        from scipy import ndimage  # slow to import
    except ImportError:
        raise UserError("reference hpss needs: pip install '.[references]'") from None
    return ndimage
