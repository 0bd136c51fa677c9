"""Spectrograms: a network sees magnitudes or complex bins and answers with masks.

The mask multiplies the mixture's own short-time Fourier transform, so synthesis needs
that as context. Masks are not bounded to 1: where sources cancel in the mixture, a bin
of one source is larger than the bin of both.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from sep import transforms

_SILENCE = 1e-12  # power under which a bin counts as silence; keeps gradients finite


class _Spectrogram(nn.Module):
    """What both kinds of spectrogram share: the transform, the band, the masking.

    Attributes:
      sample_rate: Hz.
      n_fft: window (Hann) and transform length in samples.
      hop_length: samples between frames.
      max_frequency: Hz; the network sees bins up to here, and its highest mask serves
        for all bins above. 0 means every bin.
      compression: exponent on the magnitude; 1/3 is about how loudness grows.
      dft: form of the transform, one of `sep.dft.DFTS`.
    """

    sample_rate: int
    n_fft: int
    hop_length: int
    max_frequency: float
    compression: float
    dft: str

    @property
    def num_bins(self) -> int:
        bins = self.n_fft // 2 + 1
        if not self.max_frequency:
            return bins
        return min(bins, round(self.max_frequency / self.sample_rate * self.n_fft) + 1)

    def analyse(self, mixture_BCT: Array) -> tuple[Array, Array]:
        """Features (B*C, N, F, K); the context is the spectrum (B, C, N, all bins)."""
        spectrum_BCNF = transforms.stft(
            mixture_BCT,
            window=transforms.hann(self.n_fft),
            hop_length=self.hop_length,
            dft=self.dft,
        )
        seen_BCNF = spectrum_BCNF[..., : self.num_bins]
        features_BCNFK = self.features(seen_BCNF)
        return features_BCNFK.reshape(-1, *features_BCNFK.shape[2:]), spectrum_BCNF

    def synthesise(self, estimates_BNFSK: Array, context: Array, length: int) -> Array:
        """Waves (B, S, C, length): the context times the masks, transformed back."""
        batch, channels, frames, bins = context.shape
        mask_BNFS = self.mask(estimates_BNFSK)
        highest_BN1S, above = mask_BNFS[:, :, -1:], bins - mask_BNFS.shape[2]
        # Not jnp.pad, whose mode "edge" takes many times as long to differentiate.
        mask_BNFS = jnp.concatenate([mask_BNFS, highest_BN1S.repeat(above, 2)], 2)
        mask_BCNFS = mask_BNFS.reshape(batch, channels, frames, bins, -1)
        mask_BSCNF = jnp.moveaxis(mask_BCNFS, 4, 1)
        return transforms.istft(
            mask_BSCNF * context[:, None],
            window=transforms.hann(self.n_fft),
            hop_length=self.hop_length,
            dft=self.dft,
            length=length,
        )


def _power(spectrum: Array) -> Array:
    return spectrum.real**2 + spectrum.imag**2 + _SILENCE


class Magnitude(_Spectrogram):
    """Compressed magnitudes in, a real mask >= 0 out. Inverts with the mixture's phase."""

    outputs = 1

    def features(self, spectrum_BCNF: Array) -> Array:
        return (_power(spectrum_BCNF) ** (self.compression / 2))[..., None]

    def mask(self, estimates_BNFSK: Array) -> Array:
        return jax.nn.softplus(estimates_BNFSK[..., 0])


class Complex(_Spectrogram):
    """Real and imaginary parts in, magnitudes compressed; a complex mask out.

    Inverts exactly: a complex mask can turn the mixture's spectrum into any other.
    """

    outputs = 2

    def features(self, spectrum_BCNF: Array) -> Array:
        scale = _power(spectrum_BCNF) ** ((self.compression - 1) / 2)
        return jnp.stack([spectrum_BCNF.real * scale, spectrum_BCNF.imag * scale], -1)

    def mask(self, estimates_BNFSK: Array) -> Array:
        return jax.lax.complex(estimates_BNFSK[..., 0], estimates_BNFSK[..., 1])
