"""Magnitudes of a spectrogram."""

from jax import Array

from sep.model.representations.settings import MagnitudeSettings
from sep.model.representations.spectrogram import Spectrogram, power


class Magnitude(Spectrogram):
    """Compressed magnitudes |X|^c in, a real mask >= 0 for every bin out; K = 1.

    Inverts with the mixture's context: its phase is taken for every source's. Where
    sources overlap that is wrong, and no mask can mend it. The exponent brings soft
    partials near loud ones, as hearing does (Ephrat et al. 2018 use 0.3).

    Attributes:
      compression: c; 1/3 is about how loudness grows.
    """

    settings: MagnitudeSettings

    def features(self, spectrum_BCNF: Array) -> Array:
        return (power(spectrum_BCNF) ** (self.settings.compression / 2))[..., None]
