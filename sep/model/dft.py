"""Discrete Fourier transforms of real frames and their inverses, in two forms.

- `fft` is the fast Fourier transform.
- `matrix` multiplies by constant matrices. It suits devices that compute products far
  faster than FFTs. Some of them round products of float32 to fewer bits by default; the
  products here request full precision.

Shapes: N frame, K sample of a frame, F bin, F = n_fft // 2 + 1. Any axes may lead.
"""

from collections.abc import Callable
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


def matrix_rfft(frames_NK: Array) -> Array:
    """Returns `jnp.fft.rfft` along the last axis, (..., N, F), as two products.

    A frame is periodic, a cosine even and a sine odd about sample 0. Samples n and
    n_fft - n are therefore added for the cosines and subtracted for the sines, which halves
    the work.
    """
    cosine_FF, sine_FF, weight_F = _waves(frames_NK.shape[-1], frames_NK.dtype)
    mirrored_NK = jnp.roll(jnp.flip(frames_NK, -1), 1, -1)  # sample -n in place of n
    even_NF = (frames_NK + mirrored_NK)[..., : len(weight_F)] * weight_F
    odd_NF = (mirrored_NK - frames_NK)[..., : len(weight_F)]
    return jax.lax.complex(product(even_NF, cosine_FF), product(odd_NF, sine_FF))


def matrix_irfft(spectrum_NF: Array, n_fft: int) -> Array:
    """Returns `jnp.fft.irfft` along the last axis, (..., N, n_fft), as two products."""
    cosine_FF, sine_FF, weight_F = _waves(n_fft, spectrum_NF.real.dtype)
    even_NF = product(spectrum_NF.real * weight_F, cosine_FF)
    odd_NF = product(spectrum_NF.imag, sine_FF)
    mirrored_NF = jnp.flip((even_NF + odd_NF)[..., 1 : n_fft - len(weight_F) + 1], -1)
    return jnp.concatenate([even_NF - odd_NF, mirrored_NF], -1) * (2 / n_fft)


def product(left: Array, right: Array | np.ndarray) -> Array:
    """Multiplies matrices at the highest precision of the device."""
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)


@lru_cache(maxsize=2)
def _waves(n_fft: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the cosine and sine (F, F) of each bin at F samples, and weights (F,).

    The matrices are symmetric, so one pair serves both directions. The weight is a half
    where an index is its own mirror image, else 1. These are the first sample and 0 Hz and,
    if n_fft is even, the middle sample and half the sample rate.
    """
    index_F = np.arange(n_fft // 2 + 1)
    turn_FF = np.outer(index_F, index_F) % n_fft  # in integers: phases are not rounded
    angle_K = 2 * np.pi * np.arange(n_fft) / n_fft
    cosine_FF = np.cos(angle_K).astype(dtype)[turn_FF]
    sine_FF = np.sin(angle_K).astype(dtype)[turn_FF]
    return cosine_FF, sine_FF, np.where(2 * index_F % n_fft, 1, 0.5).astype(dtype)


Rfft = Callable[[Array], Array]
Irfft = Callable[[Array, int], Array]

DFTS: dict[str, tuple[Rfft, Irfft]] = {
    "fft": (jnp.fft.rfft, jnp.fft.irfft),
    "matrix": (matrix_rfft, matrix_irfft),
}
