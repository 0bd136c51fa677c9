"""Levels of a spectrogram's bins in dB."""

import jax.numpy as jnp
from jax import Array

from sep.model.representations.settings import LogMagnitudeSettings
from sep.model.representations.spectrogram import Spectrogram, power


class LogMagnitude(Spectrogram):
    """Features are levels 10 log10(|X|^2 + floor) in dB; masks are real and >= 0; K = 1.

    0 dB is a sine of amplitude 1. The floor is added to the power: bins far below
    `floor_db` have that level, and digital silence has a gradient. Sources have the
    mixture's phases, as in `magnitude`. Such features were usual for networks before
    compressed magnitudes (Hershey et al. 2016, "Deep clustering").

    Settings:
      floor_db: level of the floor in dB; softer differences are lost.
    """

    settings: LogMagnitudeSettings

    def features(self, spectrum_BCNF: Array) -> Array:
        of_a_sine = (self.settings.n_fft / 4) ** 2  # (half the sum of a Hann window)^2
        floor = 10 ** (self.settings.floor_db / 10)
        return 10 * jnp.log10(power(spectrum_BCNF) / of_a_sine + floor)[..., None]
