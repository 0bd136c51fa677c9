"""What training makes small: functions of waves, one number for a batch.

Shapes: B batch, S source, C channel, T sample.
"""

import jax.numpy as jnp
from jax import Array

_FLOOR = 1e-3  # of the mixture's energy: errors 30 dB under the mixture count no more


def snr(references_BSCT: Array, estimates_BSCT: Array) -> Array:
    """Error of each source against the mixture, in dB, averaged.

    The logarithm weighs soft passages like loud ones; the floor (Wisdom et al. 2021)
    keeps it finite, gives silent sources something to learn, and stops rewarding what
    nobody hears. 0 dB: an error as strong as the mixture.
    """
    mixture_BCT = references_BSCT.sum(1)
    energy_B = (mixture_BCT**2).sum((1, 2))[:, None] + 1e-6
    error_BS = ((references_BSCT - estimates_BSCT) ** 2).sum((2, 3))
    return (10 * jnp.log10(error_BS / energy_B + _FLOOR)).mean()


def l1(references_BSCT: Array, estimates_BSCT: Array) -> Array:
    """Mean absolute error."""
    return jnp.abs(references_BSCT - estimates_BSCT).mean()


LOSSES = {"snr": snr, "l1": l1}
