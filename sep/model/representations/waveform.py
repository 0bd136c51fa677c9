"""The waveform itself, in overlapping windowed frames."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array

from sep.model import transforms
from sep.model.representations.settings import WaveformSettings


class Waveform(nn.Module):
    """Features are frames of samples; an estimate is the source's own frame; K = 1.

    Analysis and synthesis share a window, the square root of a Hann window, and invert each
    other exactly. The window fades the ends of estimated frames into their neighbours: a
    weighted overlap-add (Crochiere 1980), the crossfade of frame-wise networks.

    Attributes:
      settings: frame_length (F) and hop_length, in samples; the hop is below the length.
      sample_rate: Hz.
    """

    settings: WaveformSettings
    sample_rate: int

    outputs = 1

    @property
    def hop_length(self) -> int:
        """Samples between frames."""
        return self.settings.hop_length

    @property
    def window(self) -> np.ndarray:
        return np.sqrt(transforms.hann(self.settings.frame_length))

    def analyse(self, mixture_BCT: Array) -> tuple[Array, tuple[int, int]]:
        """Returns frames (B*C, N, F, 1) and, as context, B and C."""
        batch, channels, length = mixture_BCT.shape
        frames_NF = transforms.frame(
            mixture_BCT.reshape(batch * channels, length),
            frame_length=self.settings.frame_length,
            hop_length=self.settings.hop_length,
        )
        return (frames_NF * self.window)[..., None], (batch, channels)

    def synthesise(
        self, estimates_BNFSK: Array, context: tuple[int, int], length: int
    ) -> Array:
        """Returns waves (B, S, C, length) by overlap-add with the dual window."""
        frames_BSNF = jnp.moveaxis(estimates_BNFSK[..., 0], 3, 1)
        waves_BST = transforms.overlap_add(
            frames_BSNF * transforms.dual_window(self.window, self.settings.hop_length),
            hop_length=self.settings.hop_length,
            length=length,
        )
        batch, channels = context
        waves_BCST = waves_BST.reshape(batch, channels, -1, length)
        return jnp.swapaxes(waves_BCST, 1, 2)
