"""Complex bins of a spectrogram."""

import jax
import jax.numpy as jnp
from jax import Array

from sep.representations.spectrogram import Spectrogram, power


class Complex(Spectrogram):
    """Real and imaginary parts of |X|^c X/|X| in, a complex mask out; K = 2.

    Inverts exactly, wherever the mixture is not silent: a complex mask turns the mixture's
    bin into any other (Williamson, Wang & Wang 2016, "Complex ratio masking").

    Attributes:
      compression: c, exponent on magnitudes; phases stay.
    """

    compression: float

    outputs = 2

    def features(self, spectrum_BCNF: Array) -> Array:
        scale = power(spectrum_BCNF) ** ((self.compression - 1) / 2)
        return jnp.stack([spectrum_BCNF.real * scale, spectrum_BCNF.imag * scale], -1)

    def mask(self, estimates_BNFSK: Array) -> Array:
        return jax.lax.complex(estimates_BNFSK[..., 0], estimates_BNFSK[..., 1])
