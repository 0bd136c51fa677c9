"""Stems to mixtures: the augmentation, pure and jitted with the training step.

Shapes: B batch, S source, C channel (1 here), T sample, F bin, K knot.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from sep.separator import REFERENCE_RMS

_LOWEST_HZ = 60.0  # of the knots between which an equaliser's curve is drawn
_KNOTS = 8
QUIET = 1e-3  # RMS under which a crop is background noise, and not made louder


def mix(key: Array, stems_BST: Array, config) -> tuple[Array, Array]:
    """One random mixture of each example: mixture (B, 1, T), sources (B, S, 1, T).

    Every source gets its own frequency response, polarity, gain about equal loudness,
    and a chance to be absent; every mixture its own level. `config` is the `data` part.
    """
    keys = jax.random.split(key, 5)
    batch, sources, _ = stems_BST.shape
    waves_BST = equalise(keys[0], stems_BST, config["equaliser_db"])
    waves_BST = to_reference_level(waves_BST)
    gain_BS = decibels(uniform(keys[1], (batch, sources), config["gain_db"]))
    sign_BS = jax.random.rademacher(keys[2], (batch, sources), waves_BST.dtype)
    present_BS = jax.random.bernoulli(keys[3], 1 - config["absent"], (batch, sources))
    level_B = decibels(uniform(keys[4], (batch,), config["level_db"]))
    gain_BS = gain_BS * sign_BS * present_BS * level_B[:, None]
    sources_BSCT = (waves_BST * gain_BS[..., None])[:, :, None]
    return sources_BSCT.sum(1), sources_BSCT


def to_reference_level(stems_BST: Array) -> Array:
    """Every stem at the level where their sum has about the reference RMS."""
    rms_BS = jnp.sqrt((stems_BST**2).mean(-1, keepdims=True))
    level = REFERENCE_RMS / np.sqrt(stems_BST.shape[1])
    return stems_BST * level / jnp.maximum(rms_BS, QUIET)


def equalise(key: Array, waves_BST: Array, deviation_db: float) -> Array:
    """A random smooth frequency response for every wave (zero phase, circular).

    Its gains in dB are normal with this deviation at knots evenly spaced in the
    logarithm of frequency, and straight lines between them.
    """
    length = waves_BST.shape[-1]
    position_F = _knot_positions(length // 2 + 1)
    lines_KF = np.maximum(1 - np.abs(position_F - np.arange(_KNOTS)[:, None]), 0)
    gain_BSK = deviation_db * jax.random.normal(key, (*waves_BST.shape[:2], _KNOTS))
    response_BSF = decibels(gain_BSK @ lines_KF.astype(np.float32))
    return jnp.fft.irfft(jnp.fft.rfft(waves_BST) * response_BSF, length)


def _knot_positions(bins: int) -> np.ndarray:
    """Where each bin lies among the knots, 0 .. _KNOTS - 1; the last is at Nyquist."""
    nyquist = 22050.0  # a smooth random curve need not know the true rate
    frequency_F = np.linspace(0, nyquist, bins)
    octaves = np.log2(np.maximum(frequency_F, _LOWEST_HZ) / _LOWEST_HZ)
    return octaves / np.log2(nyquist / _LOWEST_HZ) * (_KNOTS - 1)


def uniform(key: Array, shape: tuple[int, ...], limit: float) -> Array:
    """Numbers between -limit and limit."""
    return jax.random.uniform(key, shape, minval=-limit, maxval=limit)


def decibels(gain_db: Array) -> Array:
    """Amplitude factor of a gain in dB."""
    return 10 ** (gain_db / 20)
