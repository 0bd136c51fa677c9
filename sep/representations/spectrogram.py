"""The short-time Fourier transform, which several representations are features of."""

import jax
from jax import Array

from sep import transforms
from sep.representations.masking import SILENCE, Masking


class Spectrogram(Masking):
    """Masks on a short-time Fourier transform, >= 0 unless a kind of it turns phases, too.

    Kinds of it define `features`.

    Attributes:
      sample_rate: Hz.
      n_fft: window (Hann) and transform length in samples.
      hop_length: samples between frames.
      max_frequency: Hz; the network sees bins up to here. 0 means every bin.
      dft: form of the transform, one of `sep.dft.DFTS`.
    """

    n_fft: int
    hop_length: int
    max_frequency: float
    dft: str

    outputs = 1

    def mask(self, estimates_BNFSK: Array) -> Array:
        return jax.nn.softplus(estimates_BNFSK[..., 0])

    @property
    def num_bins(self) -> int:
        bins = self.n_fft // 2 + 1
        if not self.max_frequency:
            return bins
        if not self.max_frequency > 0:
            raise ValueError("max_frequency must be positive, or 0 for every bin")
        return min(bins, round(self.max_frequency / self.sample_rate * self.n_fft) + 1)

    def transform(self, mixture_BCT: Array) -> Array:
        return transforms.stft(mixture_BCT, **self._how)

    def inverse(self, spectrum_BSCNF: Array, length: int) -> Array:
        return transforms.istft(spectrum_BSCNF, **self._how, length=length)

    @property
    def _how(self) -> dict:
        window = transforms.hann(self.n_fft)
        return {"window": window, "hop_length": self.hop_length, "dft": self.dft}


def power(spectrum: Array) -> Array:
    """Squared magnitude, never zero: roots and logarithms of it have gradients."""
    return spectrum.real**2 + spectrum.imag**2 + SILENCE
