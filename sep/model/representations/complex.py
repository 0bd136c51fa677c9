"""Complex bins of a spectrogram."""

import jax
import jax.numpy as jnp
from jax import Array

from sep.model.representations.masking import add_even_share
from sep.model.representations.settings import ComplexSettings
from sep.model.representations.spectrogram import Spectrogram, power


class Complex(Spectrogram):
    """Features are real and imaginary parts of |X|^c X/|X|; masks are complex.

    K is 2 for estimates. Features optionally have a third value, the magnitude |X|^c, which
    networks learn slowly from the other two. A complex mask can turn the mixture's bin into
    any other value (Williamson, Wang & Wang 2016, "Complex ratio masking"). Any sources can
    therefore be represented exactly, wherever the mixture is not silent.

    Settings:
      compression: c, exponent on magnitudes; phases are unchanged.
      with_magnitude: whether the magnitude is a feature.
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
        return jax.lax.complex(add_even_share(estimates_BNFSK), estimates_BNFSK[..., 1])
