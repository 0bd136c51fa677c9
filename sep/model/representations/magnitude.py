"""Magnitudes of a spectrogram."""

from jax import Array

from sep.model.representations.settings import MagnitudeSettings
from sep.model.representations.spectrogram import Spectrogram, power


class Magnitude(Spectrogram):
    """Features are compressed magnitudes |X|^c; masks are real and >= 0; K = 1.

    Every source has the mixture's phases. Where sources overlap these are wrong, and no
    mask can correct them. The exponent raises soft partials relative to loud ones, as human
    hearing does (Ephrat et al. 2018 use 0.3).

    Settings:
      compression: c; loudness grows with an exponent of about 1/3.
    """

    settings: MagnitudeSettings

    def features(self, spectrum_BCNF: Array) -> Array:
        return (power(spectrum_BCNF) ** (self.settings.compression / 2))[..., None]
