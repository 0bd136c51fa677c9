"""How good an estimate is, in dB. Shapes: T samples, of one channel or of all joined.

For NumPy's arrays, in their precision, as for JAX's. A reference without any energy has
no such figure: the result is NaN. A silent estimate of one that has is -inf dB good.
"""

import numpy as np
from jax import Array


def si_sdr(reference_T: Array, estimate_T: Array) -> Array:
    """Scale-invariant signal-to-distortion ratio (Le Roux et al. 2019), (...,) in dB.

    Any axes may lead. Means are not removed.
    """
    xp = reference_T.__array_namespace__()
    with np.errstate(divide="ignore", invalid="ignore"):
        energy = (reference_T**2).sum(-1)
        scale = (reference_T * estimate_T).sum(-1) / energy
        target_T = scale[..., None] * reference_T
        target = (target_T**2).sum(-1)
        distortion = ((estimate_T - target_T) ** 2).sum(-1)
        # Of an estimate with nothing of the source in it, both may be zero.
        ratio = xp.where(target > 0, target / distortion, target)
        return 10 * xp.log10(ratio)


def usdr(reference_T: Array, estimate_T: Array) -> Array:
    """Signal-to-error ratio over the whole signal, (...,) in dB.

    The "utterance" or "global" SDR of the music demixing challenges (Mitsufuji et al.
    2022), without their small constants.
    """
    xp = reference_T.__array_namespace__()
    with np.errstate(divide="ignore", invalid="ignore"):
        energy = (reference_T**2).sum(-1)
        error = ((reference_T - estimate_T) ** 2).sum(-1)
        return 10 * xp.log10(xp.where(energy > 0, energy / error, xp.nan))
