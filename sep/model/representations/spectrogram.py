"""The short-time Fourier transform, which several representations are features of."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from sep.model import transforms
from sep.model.representations.masking import SILENCE, Masking
from sep.model.representations.settings import SpectrogramSettings


class Spectrogram(Masking):
    """Masks on a short-time Fourier transform, >= 0 unless a kind of it turns phases, too.

    Kinds of it define `features`.

    Attributes:
      sample_rate: Hz.
      n_fft: window (Hann) and transform length in samples.
      hop_length: samples between frames.
      max_frequency: Hz; the network sees bins up to here. 0 means every bin.
      onset_n_fft: samples; the network also sees spectra of windows so short, half a window
        apart, in which notes begin at once (K is as many times larger as there are hops of
        them in `hop_length`, and one). 0: it does not.
      dft: form of the transform, one of `sep.model.dft.DFTS`.
    """

    settings: SpectrogramSettings

    outputs = 1

    def analyse(self, mixture_BCT: Array) -> tuple[Array, Array]:
        features_BNFK, context = super().analyse(mixture_BCT)
        if not self.settings.onset_n_fft:
            return features_BNFK, context
        short_BNFK = self._short_features(mixture_BCT, features_BNFK.shape[1])
        return jnp.concatenate([features_BNFK, short_BNFK], 3), context

    def between(self, spectrum_BCNF: Array, beside_BCT: Array) -> Array:
        """How each channel differs from a wave beside it; (B*C, N, F, 2), from -1 to 1.

        By how much more power it has, and how much of the power of both is the same sound:
        two of the parameters with which Stokes (1852) described polarised light.
        """
        own, beside = (
            spectrum[..., : self.num_bins]
            for spectrum in (spectrum_BCNF, self.transform(beside_BCT))
        )
        own_power, beside_power = self.pooled(power(own)), self.pooled(power(beside))
        same = 2 * self.pooled((own * beside.conj()).real)
        difference = jnp.stack([own_power - beside_power, same], -1)
        between_BCNFK = difference / (own_power + beside_power)[..., None]
        return between_BCNFK.reshape(-1, *between_BCNFK.shape[2:])

    def pooled(self, power_BCNF: Array) -> Array:
        """Powers as the network sees them."""
        return power_BCNF

    def _short_features(self, mixture_BCT: Array, frames: int) -> Array:
        """What is heard from the middle of each frame to that of the next one."""
        hop_length, odd = divmod(self.settings.onset_n_fft, 2)
        if (
            odd
            or not 0 < self.settings.onset_n_fft <= self.settings.n_fft
            or self.settings.hop_length % hop_length
        ):
            raise ValueError(
                f"onset_n_fft must be even, at most n_fft, and half of it a part of "
                f"hop_length: {self.settings.onset_n_fft}"
            )
        each = self.settings.hop_length // hop_length
        # In the middle of silence: the same bins; and a sine has the same magnitude.
        rest = self.settings.n_fft - self.settings.onset_n_fft
        window = np.pad(
            transforms.hann(self.settings.onset_n_fft), (rest // 2, rest - rest // 2)
        )
        whole_BCT = jnp.pad(mixture_BCT, [(0, 0), (0, 0), (0, self.settings.hop_length)])
        window *= np.float32(self.settings.n_fft / self.settings.onset_n_fft)
        how = self._how | {"window": window, "hop_length": hop_length}
        spectrum_BCMF = transforms.stft(whole_BCT, **how)
        before = transforms.leading_frames(self.settings.n_fft, hop_length)
        before -= each * transforms.leading_frames(
            self.settings.n_fft, self.settings.hop_length
        )
        spectrum_BCMF = spectrum_BCMF[:, :, before : before + frames * each]
        features_BCMFK = self.features(spectrum_BCMF[..., : self.num_bins])
        bins, kinds = features_BCMFK.shape[3:]
        apart = features_BCMFK.reshape(-1, frames, each, bins, kinds)
        return jnp.moveaxis(apart, 2, 3).reshape(-1, frames, bins, each * kinds)

    def mask(self, estimates_BNFSK: Array) -> Array:
        return jax.nn.softplus(estimates_BNFSK[..., 0])

    @property
    def num_bins(self) -> int:
        bins = self.settings.n_fft // 2 + 1
        if not self.settings.max_frequency:
            return bins
        if not self.settings.max_frequency > 0:
            raise ValueError("max_frequency must be positive, or 0 for every bin")
        return min(
            bins,
            round(self.settings.max_frequency / self.sample_rate * self.settings.n_fft) + 1,
        )

    def transform(self, mixture_BCT: Array) -> Array:
        return transforms.stft(mixture_BCT, **self._how)

    def inverse(self, spectrum_BSCNF: Array, length: int) -> Array:
        return transforms.istft(spectrum_BSCNF, **self._how, length=length)

    @property
    def _how(self) -> dict:
        window = transforms.hann(self.settings.n_fft)
        return {
            "window": window,
            "hop_length": self.settings.hop_length,
            "dft": self.settings.dft,
        }


def power(spectrum: Array) -> Array:
    """Squared magnitude, never zero: roots and logarithms of it have gradients."""
    return spectrum.real**2 + spectrum.imag**2 + SILENCE
