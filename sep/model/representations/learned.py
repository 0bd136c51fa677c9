"""A filterbank that is trained with the network."""

import jax.numpy as jnp
import numpy as np
from jax import Array

from sep.model import transforms
from sep.model.dft import product
from sep.model.representations.masking import Signed
from sep.model.representations.settings import LearnedSettings


class Learned(Signed):
    """Features are compressed products of frames with learned filters; masks have any sign.

    An encoder and a decoder as in Conv-TasNet (Luo & Mesgarani 2019), but for music, with
    long strides and without a rectifier, which keeps signs. Both are matrices, initialised
    as windowed cosines (DCT-IV), lowest frequencies first. With as many filters as samples
    in a frame the initial transform is exact; with fewer it lacks the highest frequencies.
    After training the decoder need not invert the encoder exactly. K = 1.

    Settings:
      frame_length: samples in a frame.
      hop_length: samples between frames; below `frame_length`.
      filters: number of filters (F), at most `frame_length`.
      compression: exponent on magnitudes.
    """

    settings: LearnedSettings

    def setup(self) -> None:
        settings = self.settings
        if not 1 <= settings.filters <= settings.frame_length:
            raise ValueError(
                f"learned.filters must be 1 to {settings.frame_length} (frame_length), not "
                f"{settings.filters}"
            )
        window_T = np.sqrt(transforms.hann(settings.frame_length))
        dual_T = transforms.dual_window(window_T, settings.hop_length)
        cosines_TF = _cosines(settings.frame_length)[:, : settings.filters]
        self.encoder_TF = self.param(
            "encoder", lambda _: jnp.asarray(window_T[:, None] * cosines_TF)
        )
        self.decoder_FT = self.param(
            "decoder", lambda _: jnp.asarray(cosines_TF.T * dual_T)
        )

    def transform(self, mixture_BCT: Array) -> Array:
        frames_BCNT = transforms.frame(
            mixture_BCT,
            frame_length=self.settings.frame_length,
            hop_length=self.settings.hop_length,
        )
        return product(frames_BCNT, self.encoder_TF)

    def inverse(self, coefficients_BSCNF: Array, length: int) -> Array:
        frames_BSCNT = product(coefficients_BSCNF, self.decoder_FT)
        return transforms.overlap_add(
            frames_BSCNT, hop_length=self.settings.hop_length, length=length
        )


def _cosines(length: int) -> np.ndarray:
    """Returns the orthogonal matrix of a DCT-IV, (T, F) float32."""
    middle = np.arange(length) + 0.5
    angle_TF = np.pi / length * np.outer(middle, middle)
    return (np.sqrt(2 / length) * np.cos(angle_TF)).astype(np.float32)
