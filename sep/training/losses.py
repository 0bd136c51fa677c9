"""What training makes small: functions of waves, one number for a batch.

Shapes: B batch, S source, C channel, T sample.
"""

import jax.numpy as jnp
from jax import Array

from sep.model.transforms import hann, stft

_WINDOWS = (1024, 2048, 4096)  # samples, of `spectral`
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


def l2(references_BSCT: Array, estimates_BSCT: Array) -> Array:
    """Mean squared error: `snr` without its logarithm, so loud examples count most."""
    return ((references_BSCT - estimates_BSCT) ** 2).mean()


def spectral(references_BSCT: Array, estimates_BSCT: Array) -> Array:
    """`l1`, and the mean absolute error of the bins of three spectra, long and short.

    Lu et al. (2024), "Music Source Separation with Band-Split RoPE Transformer", have it so
    with five. Bins are divided by the root of n_fft, so that all weigh alike.
    """
    error_BSCT = references_BSCT - estimates_BSCT
    total = jnp.abs(error_BSCT).mean()
    for n_fft in _WINDOWS:
        bins = stft(error_BSCT, window=hann(n_fft), hop_length=n_fft // 4)
        apart = jnp.abs(bins.real) + jnp.abs(bins.imag)
        total += apart.mean() / n_fft**0.5
    return total


LOSSES = {"snr": snr, "l1": l1, "l2": l2, "spectral": spectral}
