"""The waveform itself, in overlapping windowed frames."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array

from sep.model import transforms
from sep.model.representations.settings import WaveformSettings


class Waveform(nn.Module):
    """Frames of samples in; an estimate is the source's own frame of them; K = 1.

    Inverts exactly. The window is the root of a Hann, shared by analysis and synthesis,
    so that what a network writes at the ends of a frame fades into the neighbours: a
    weighted overlap-add (Crochiere 1980), the crossfade of frame-wise networks.

    Attributes:
      sample_rate: Hz.
      frame_length: samples in a frame (F).
      hop_length: samples between frames; below `frame_length`.
    """

    settings: WaveformSettings
    sample_rate: int

    outputs = 1

    @property
    def hop_length(self) -> int:
        """Distance of frames in samples."""
        return self.settings.hop_length

    @property
    def window(self) -> np.ndarray:
        return np.sqrt(transforms.hann(self.settings.frame_length))

    def analyse(self, mixture_BCT: Array) -> tuple[Array, tuple[int, ...]]:
        """Frames (B*C, N, F, 1); the context is B and C."""
        batch, channels, length = mixture_BCT.shape
        frames_NF = transforms.frame(
            mixture_BCT.reshape(batch * channels, length),
            frame_length=self.settings.frame_length,
            hop_length=self.settings.hop_length,
        )
        return (frames_NF * self.window)[..., None], (batch, channels)

    def synthesise(
        self, estimates_BNFSK: Array, context: tuple[int, ...], length: int
    ) -> Array:
        """Waves (B, S, C, length) by overlap-add with the dual window."""
        frames_BSNF = jnp.moveaxis(estimates_BNFSK[..., 0], 3, 1)
        waves_BST = transforms.overlap_add(
            frames_BSNF * transforms.dual_window(self.window, self.settings.hop_length),
            hop_length=self.settings.hop_length,
            length=length,
        )
        batch, channels = context
        waves_BCST = waves_BST.reshape(batch, channels, -1, length)
        return jnp.swapaxes(waves_BCST, 1, 2)
