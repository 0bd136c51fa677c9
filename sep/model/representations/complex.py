"""Complex bins of a spectrogram."""

import jax
import jax.numpy as jnp
from jax import Array

from sep.model.representations.masking import from_even_share
from sep.model.representations.settings import ComplexSettings
from sep.model.representations.spectrogram import Spectrogram, power


class Complex(Spectrogram):
    """Real and imaginary parts of |X|^c X/|X| in, a complex mask out.

    K is 2 for estimates; features have a third number if wanted, the magnitude |X|^c, for
    networks find it hard to make of the other two. Inverts exactly, wherever the mixture
    is not silent: a complex mask turns the mixture's bin into any other (Williamson, Wang
    & Wang 2016, "Complex ratio masking").

    Attributes:
      compression: c, exponent on magnitudes; phases stay.
      with_magnitude: whether features have the magnitude as well.
    """

    settings: ComplexSettings

    outputs = 2

    def features(self, spectrum_BCNF: Array) -> Array:
        power_BCNF = power(spectrum_BCNF)
        scale = power_BCNF ** ((self.settings.compression - 1) / 2)
        parts = [spectrum_BCNF.real * scale, spectrum_BCNF.imag * scale]
        if self.settings.with_magnitude:
            parts.append(power_BCNF ** (self.settings.compression / 2))
        return jnp.stack(parts, -1)

    def mask(self, estimates_BNFSK: Array) -> Array:
        return jax.lax.complex(from_even_share(estimates_BNFSK), estimates_BNFSK[..., 1])
