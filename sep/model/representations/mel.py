"""Energies in bands of equal width on the mel scale."""

import numpy as np
from jax import Array

from sep.model.representations.settings import MelSettings
from sep.model.representations.spectrogram import Spectrogram, power


class Mel(Spectrogram):
    """Compressed band energies (E^(c/2)) in, a mask >= 0 for every band out; F = bands.

    Bands are triangles that overlap by half and sum to one at every bin, so the same
    weights take the mean power of a band and spread a mask back: over bins it is the
    linear interpolation of its bands' masks. Loses: besides the phase, which is the
    mixture's, two partials within one band cannot be told apart. Bands of this kind:
    Davis & Mermelstein (1980); the scale, 2595 log10(1 + f / 700 Hz): O'Shaughnessy (1987).

    Attributes:
      bands: how many, from 0 Hz to `max_frequency`.
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
        return self._weights @ super().mask(estimates_BNFSK)

    @property
    def _weights(self) -> np.ndarray:
        hertz_F = np.arange(self.num_bins) * self.sample_rate / self.settings.n_fft
        return mel_weights(hertz_F, self.settings.bands)


def mel_weights(hertz_F: np.ndarray, bands: int) -> np.ndarray:
    """Weight of each bin in each band, (F, M) float32; every bin's weights sum to 1.

    Raises:
      ValueError: there is one bin, or so many bands that one of them has none.
    """
    if len(hertz_F) < 2:
        raise ValueError("mel: there is one bin; a higher max_frequency, or 0 for all")
    mel_F = 2595 * np.log10(1 + hertz_F / 700)
    place_F = np.clip(mel_F / mel_F[-1] * bands - 0.5, 0, bands - 1)
    weights_FM = np.maximum(1 - np.abs(place_F[:, None] - np.arange(bands)), 0)
    if not weights_FM.any(0).all():
        raise ValueError(
            f"mel: of {bands} bands some have no bin; fewer bands, or a larger n_fft"
        )
    return weights_FM.astype(np.float32)
