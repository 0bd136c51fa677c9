"""Energies in bands of equal width on the mel scale."""

import jax.numpy as jnp
import numpy as np
from jax import Array

from sep.model.representations.settings import MelSettings
from sep.model.representations.spectrogram import Spectrogram, power


class Mel(Spectrogram):
    """Features are compressed band energies E^(c/2); masks are >= 0, one per band.

    Bands (F) are triangles that overlap by half and sum to one at every bin. The same
    weights average the power of a band and interpolate masks linearly between bands. Phases
    are the mixture's, and two partials within one band cannot be distinguished. Davis &
    Mermelstein (1980) use bands of this kind; the scale, 2595 log10(1 + f / 700 Hz), is
    O'Shaughnessy's (1987).

    Settings:
      bands: number of bands from 0 Hz to `max_frequency`.
      compression: c, exponent on the root of mean power.
    """

    settings: MelSettings

    def features(self, spectrum_BCNF: Array) -> Array:
        energy_BCNM = self.pooled(power(spectrum_BCNF))
        return (energy_BCNM ** (self.settings.compression / 2))[..., None]

    def pooled(self, power_BCNF: Array) -> Array:
        weights_FM = self._weights
        return power_BCNF @ (weights_FM / weights_FM.sum(0))

    def mask(self, estimates_BNFSK: Array) -> Array:
        return jnp.matmul(self._weights, super().mask(estimates_BNFSK))

    @property
    def _weights(self) -> np.ndarray:
        hertz_F = np.arange(self.num_bins) * self.sample_rate / self.settings.n_fft
        return mel_weights(hertz_F, self.settings.bands)


def mel_weights(hertz_F: np.ndarray, bands: int) -> np.ndarray:
    """Returns the weight of each bin in each band, (F, M) float32; each row sums to 1.

    Args:
      hertz_F: frequency of each bin in Hz.
      bands: number of bands, M.

    Raises:
      ValueError: there is only one bin, or a band contains no bin.
    """
    if len(hertz_F) < 2:
        raise ValueError("mel: only one bin; set a higher max_frequency, or 0 for all bins")
    mel_F = 2595 * np.log10(1 + hertz_F / 700)
    place_F = np.clip(mel_F / mel_F[-1] * bands - 0.5, 0, bands - 1)
    weights_FM = np.maximum(1 - np.abs(place_F[:, None] - np.arange(bands)), 0)
    if not weights_FM.any(0).all():
        raise ValueError(
            f"mel: some of {bands} bands contain no bin; set fewer bands or a larger n_fft"
        )
    return weights_FM.astype(np.float32)
