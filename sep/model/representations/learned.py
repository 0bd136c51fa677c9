"""A filterbank that is learned with the network."""

import jax.numpy as jnp
import numpy as np
from jax import Array

from sep.model import transforms
from sep.model.dft import product
from sep.model.representations.masking import Signed
from sep.model.representations.settings import LearnedSettings


class Learned(Signed):
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
    """

    settings: LearnedSettings

    def setup(self) -> None:
        if not 1 <= self.settings.filters <= self.settings.frame_length:
            raise ValueError(f"learned: filters must be 1 to {self.settings.frame_length}")
        window_T = np.sqrt(transforms.hann(self.settings.frame_length))
        dual_T = transforms.dual_window(window_T, self.settings.hop_length)
        cosines_TF = _cosines(self.settings.frame_length)[:, : self.settings.filters]
        self.encoder_TF = self.param(
            "encoder", lambda _: jnp.asarray(window_T[:, None] * cosines_TF)
        )
        self.decoder_FT = self.param(
            "decoder", lambda _: jnp.asarray(cosines_TF.T * dual_T)
        )

    def transform(self, mixture_BCT: Array) -> Array:
        how = {
            "frame_length": self.settings.frame_length,
            "hop_length": self.settings.hop_length,
        }
        return product(transforms.frame(mixture_BCT, **how), self.encoder_TF)

    def inverse(self, coefficients_BSCNF: Array, length: int) -> Array:
        frames_BSCNT = product(coefficients_BSCNF, self.decoder_FT)
        return transforms.overlap_add(
            frames_BSCNT, hop_length=self.settings.hop_length, length=length
        )


def _cosines(length: int) -> np.ndarray:
    """The orthogonal matrix of a DCT-IV, (T, F) float32."""
    middle = np.arange(length) + 0.5
    angle_TF = np.pi / length * np.outer(middle, middle)
    return (np.sqrt(2 / length) * np.cos(angle_TF)).astype(np.float32)
