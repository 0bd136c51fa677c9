"""Levels of a spectrogram's bins in dB."""

import jax.numpy as jnp
from jax import Array

from sep.model.representations.settings import LogMagnitudeSettings
from sep.model.representations.spectrogram import Spectrogram, power


class LogMagnitude(Spectrogram):
    """Levels 10 log10(|X|^2 + floor) in dB in, a real mask >= 0 out; K = 1.

    0 dB is a sine of amplitude 1. The floor is a power that is added, so what lies far
    below `floor_db` has that level, and digital silence has a gradient. Inverts with the
    mixture's context, as `magnitude` does. Such features were the habit before networks
    for compressed ones (Hershey et al. 2016, "Deep clustering").

    Attributes:
      floor_db: dB; what is softer is not told apart.
    """

    settings: LogMagnitudeSettings

    def features(self, spectrum_BCNF: Array) -> Array:
        of_a_sine = (self.settings.n_fft / 4) ** 2  # half the sum of a Hann window, squared
        floor = 10 ** (self.settings.floor_db / 10)
        return 10 * jnp.log10(power(spectrum_BCNF) / of_a_sine + floor)[..., None]
