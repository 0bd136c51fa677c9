"""The short-time Fourier transform, the basis of several representations."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from sep.model import transforms
from sep.model.representations.masking import SILENCE, Masking
from sep.model.representations.settings import SpectrogramSettings


class Spectrogram(Masking):
    """Masks on a short-time Fourier transform: real and >= 0, unless a subclass differs.

    Subclasses define `features`.

    Settings:
      n_fft: length of the window (Hann) and the transform in samples.
      hop_length: samples between frames.
      max_frequency: Hz; bins up to here have features. 0: all bins.
      onset_n_fft: samples; 0: none. Further features are spectra of windows of this length,
        half a window apart, which resolve the onsets of notes. With h of these hops in
        `hop_length`, K is 1 + h times as large.
      dft: algorithm of the transform, one of `sep.model.dft.DFTS`.
    """

    settings: SpectrogramSettings

    outputs = 1

    def analyse(self, mixture_BCT: Array) -> tuple[Array, Array]:
        features_BNFK, context = super().analyse(mixture_BCT)
        if not self.settings.onset_n_fft:
            return features_BNFK, context
        short_BNFK = self._onset_features(mixture_BCT, features_BNFK.shape[1])
        return jnp.concatenate([features_BNFK, short_BNFK], 3), context

    def channel_difference(self, spectrum_BCNF: Array, beside_BCT: Array) -> Array:
        """Returns features (B*C, N, F, 2), from -1 to 1, of each channel and another wave.

        The first is the difference of their powers, the second twice the real part of their
        cross-spectrum, both divided by the sum of their powers. The second is 1 where both
        are equal. These are two of the parameters with which Stokes (1852) described
        polarised light.

        Args:
          spectrum_BCNF: of the channels.
          beside_BCT: the wave to compare each channel with.
        """
        own, beside = (
            spectrum[..., : self.num_bins]
            for spectrum in (spectrum_BCNF, self.transform(beside_BCT))
        )
        own_power, beside_power = self.pooled(power(own)), self.pooled(power(beside))
        common = 2 * self.pooled((own * beside.conj()).real)
        difference = jnp.stack([own_power - beside_power, common], -1)
        difference_BCNFK = difference / (own_power + beside_power)[..., None]
        return difference_BCNFK.reshape(-1, *difference_BCNFK.shape[2:])

    def pooled(self, power_BCNF: Array) -> Array:
        """Returns powers at the frequency resolution of the features."""
        return power_BCNF

    def _onset_features(self, mixture_BCT: Array, frames: int) -> Array:
        """Returns features of short windows between the centres of frames, (B*C, N, F, K).

        Those from the centre of a frame up to the centre of the next belong to the frame.
        """
        settings = self.settings
        short_hop, odd = divmod(settings.onset_n_fft, 2)
        if (
            odd
            or not 0 < settings.onset_n_fft <= settings.n_fft
            or settings.hop_length % short_hop
        ):
            raise ValueError(
                "onset_n_fft must be even and at most n_fft, and half of it must divide "
                f"hop_length, not {settings.onset_n_fft}"
            )
        per_frame = settings.hop_length // short_hop
        # Short windows are zero-padded to n_fft, which keeps the bins, and scaled to keep
        # the magnitude of a sine.
        rest = settings.n_fft - settings.onset_n_fft
        window = np.pad(
            transforms.hann(settings.onset_n_fft), (rest // 2, rest - rest // 2)
        )
        padded_BCT = jnp.pad(mixture_BCT, [(0, 0), (0, 0), (0, settings.hop_length)])
        window *= np.float32(settings.n_fft / settings.onset_n_fft)
        options = self._stft_options | {"window": window, "hop_length": short_hop}
        spectrum_BCMF = transforms.stft(padded_BCT, **options)
        before = transforms.leading_frames(settings.n_fft, short_hop)
        before -= per_frame * transforms.leading_frames(settings.n_fft, settings.hop_length)
        spectrum_BCMF = spectrum_BCMF[:, :, before : before + frames * per_frame]
        features_BCMFK = self.features(spectrum_BCMF[..., : self.num_bins])
        bins, kinds = features_BCMFK.shape[3:]
        split = features_BCMFK.reshape(-1, frames, per_frame, bins, kinds)
        return jnp.moveaxis(split, 2, 3).reshape(-1, frames, bins, per_frame * kinds)

    def mask(self, estimates_BNFSK: Array) -> Array:
        return jax.nn.softplus(estimates_BNFSK[..., 0])

    @property
    def num_bins(self) -> int:
        settings = self.settings
        bins = settings.n_fft // 2 + 1
        if not settings.max_frequency:
            return bins
        if not settings.max_frequency > 0:
            raise ValueError("max_frequency must be positive, or 0 for all bins")
        highest = round(settings.max_frequency / self.sample_rate * settings.n_fft)
        return min(bins, highest + 1)

    def transform(self, mixture_BCT: Array) -> Array:
        return transforms.stft(mixture_BCT, **self._stft_options)

    def inverse(self, spectrum_BSCNF: Array, length: int) -> Array:
        return transforms.istft(spectrum_BSCNF, **self._stft_options, length=length)

    @property
    def _stft_options(self) -> dict[str, Any]:
        return {
            "window": transforms.hann(self.settings.n_fft),
            "hop_length": self.settings.hop_length,
            "dft": self.settings.dft,
        }


def power(spectrum: Array) -> Array:
    """Returns squared magnitudes plus `SILENCE`: roots and logarithms have gradients."""
    return spectrum.real**2 + spectrum.imag**2 + SILENCE
