"""Losses: functions of waves that return one number for a batch.

Shapes: B batch, S source, C channel, T sample.
"""

import jax.numpy as jnp
from jax import Array

from sep.model.transforms import hann, stft

_WINDOWS = (1024, 2048, 4096)  # samples, of `spectral`
_FLOOR = 1e-3  # share of the mixture's energy: errors 30 dB below it hardly count


def snr(references_BSCT: Array, estimates_BSCT: Array) -> Array:
    """Returns the mean level of the errors of all sources, in dB relative to the mixture.

    At 0 dB an error is as strong as the mixture. The logarithm gives soft and loud passages
    the same weight. The floor (Wisdom et al. 2021) keeps the loss finite, gives silent
    sources a gradient, and stops rewarding improvements that are inaudible.
    """
    mixture_BCT = references_BSCT.sum(1)
    energy_B = (mixture_BCT**2).sum((1, 2))[:, None] + 1e-6
    error_BS = ((references_BSCT - estimates_BSCT) ** 2).sum((2, 3))
    return (10 * jnp.log10(error_BS / energy_B + _FLOOR)).mean()


def l1(references_BSCT: Array, estimates_BSCT: Array) -> Array:
    """Returns the mean absolute error."""
    return jnp.abs(references_BSCT - estimates_BSCT).mean()


def l2(references_BSCT: Array, estimates_BSCT: Array) -> Array:
    """Returns the mean squared error. Without a logarithm, loud examples count most."""
    return ((references_BSCT - estimates_BSCT) ** 2).mean()


def spectral(references_BSCT: Array, estimates_BSCT: Array) -> Array:
    """Returns `l1` plus the mean absolute errors of spectra with three window lengths.

    Lu et al. (2024), "Music Source Separation with Band-Split RoPE Transformer", use five
    lengths. Bins are divided by the square root of n_fft, which gives all lengths the same
    weight.
    """
    error_BSCT = references_BSCT - estimates_BSCT
    total = jnp.abs(error_BSCT).mean()
    for n_fft in _WINDOWS:
        bins = stft(error_BSCT, window=hann(n_fft), hop_length=n_fft // 4)
        error = jnp.abs(bins.real) + jnp.abs(bins.imag)
        total += error.mean() / n_fft**0.5
    return total


LOSSES = {"snr": snr, "l1": l1, "l2": l2, "spectral": spectral}
