"""A filterbank that is learned with the network."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from sep import transforms
from sep.representations.masking import SILENCE, Masking, from_even_share


class Learned(Masking):
    """Products of frames with learned filters in, compressed; a mask of any sign out.

    An encoder and a decoder, as in Conv-TasNet (Luo & Mesgarani 2019), but for music:
    with long strides, and without a rectifier, so signs are kept. Both are matrices. They
    start as windowed cosines (DCT-IV), lowest frequencies first: with as many filters as
    samples in a frame that is exact, with fewer what lies above is lost. Once trained
    they need not invert each other: it loses what training does not miss. K = 1.

    Attributes:
      frame_length: samples in a frame.
      hop_length: samples between frames; below `frame_length`.
      filters: how many (F), at most `frame_length`.
      compression: exponent on magnitudes of the features; signs stay.
    """

    frame_length: int
    hop_length: int
    filters: int
    compression: float

    outputs = 1

    def setup(self) -> None:
        if not 1 <= self.filters <= self.frame_length:
            raise ValueError(f"learned: filters must be 1 to {self.frame_length}")
        window_T = np.sqrt(transforms.hann(self.frame_length))
        dual_T = transforms.dual_window(window_T, self.hop_length)
        cosines_TF = _cosines(self.frame_length)[:, : self.filters]
        self.encoder_TF = self.param(
            "encoder", lambda _: jnp.asarray(window_T[:, None] * cosines_TF)
        )
        self.decoder_FT = self.param(
            "decoder", lambda _: jnp.asarray(cosines_TF.T * dual_T)
        )

    def transform(self, mixture_BCT: Array) -> Array:
        how = {"frame_length": self.frame_length, "hop_length": self.hop_length}
        return _product(transforms.frame(mixture_BCT, **how), self.encoder_TF)

    def inverse(self, coefficients_BSCNF: Array, length: int) -> Array:
        frames_BSCNT = _product(coefficients_BSCNF, self.decoder_FT)
        return transforms.overlap_add(
            frames_BSCNT, hop_length=self.hop_length, length=length
        )

    def features(self, coefficients_BCNF: Array) -> Array:
        scale = (coefficients_BCNF**2 + SILENCE) ** ((self.compression - 1) / 2)
        return (coefficients_BCNF * scale)[..., None]

    def mask(self, estimates_BNFSK: Array) -> Array:
        return from_even_share(estimates_BNFSK)


def _cosines(length: int) -> np.ndarray:
    """The orthogonal matrix of a DCT-IV, (T, F) float32."""
    middle = np.arange(length) + 0.5
    angle_TF = np.pi / length * np.outer(middle, middle)
    return (np.sqrt(2 / length) * np.cos(angle_TF)).astype(np.float32)


def _product(left: Array, right: Array) -> Array:
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)
