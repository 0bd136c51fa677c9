"""How good an estimate is, in dB. Shapes: T samples, of one channel or of all joined.

A reference without any energy has no such figure: the result is NaN.
"""

import jax.numpy as jnp
from jax import Array


def _decibel(power: Array) -> Array:
    return 10 * jnp.log10(power)


def si_sdr(reference_T: Array, estimate_T: Array) -> Array:
    """Scale-invariant signal-to-distortion ratio (Le Roux et al. 2019), (...,) in dB.

    Any axes may lead. Means are not removed.
    """
    reference_T, estimate_T = jnp.asarray(reference_T), jnp.asarray(estimate_T)
    energy = (reference_T**2).sum(-1)
    scale = (reference_T * estimate_T).sum(-1) / energy
    target_T = scale[..., None] * reference_T
    distortion = ((estimate_T - target_T) ** 2).sum(-1)
    return _decibel((target_T**2).sum(-1) / distortion)


def usdr(reference_T: Array, estimate_T: Array) -> Array:
    """Signal-to-error ratio over the whole signal, (...,) in dB.

    The "utterance" or "global" SDR of the music demixing challenges (Mitsufuji et al.
    2022), without their small constants.
    """
    reference_T, estimate_T = jnp.asarray(reference_T), jnp.asarray(estimate_T)
    error = ((reference_T - estimate_T) ** 2).sum(-1)
    return _decibel((reference_T**2).sum(-1) / error)
