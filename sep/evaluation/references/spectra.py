"""Changes of short-time spectra, block by block.

All blocks have the same shape, so one compiled program serves recordings of any length, and
memory is bounded. Blocks overlap by more than the reach of a frame, so the result equals
that of one transform of the whole recording.

Shapes: S source, C channel, T sample, N frame of a block, F bin.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jax import Array

from sep.model import transforms

FRAMES = 256  # own frames of a block, without those shared with its neighbours
NEIGHBOURS = 15  # frames on either side of a frame on which its new spectrum may depend


class Transform(NamedTuple):
    """A short-time Fourier transform with a Hann window.

    Attributes:
      n_fft: samples of a frame at `sample_rate`.
      hop_length: samples between frames at `sample_rate`.
      sample_rate: in Hz; `at` gives the transform with the same durations at another rate.
    """

    n_fft: int = 4096
    hop_length: int = 1024
    sample_rate: int = 44100

    def at(self, sample_rate: int) -> "Transform":
        """The transform with the same durations at another sample rate."""
        ratio = sample_rate / self.sample_rate
        hop_length = max(1, round(self.hop_length * ratio))
        n_fft = 2 * max(1, round(self.n_fft * ratio / 2))
        return Transform(n_fft, hop_length, sample_rate) if ratio != 1 else self

    @property
    def shared(self) -> int:
        """Number of frames at each end of a block that belong to its neighbours."""
        return NEIGHBOURS + -(-self.n_fft // self.hop_length)


def blocks(wave_CT: np.ndarray, transform: Transform) -> Iterator[Array]:
    """Yields spectra (..., N, F) of consecutive blocks of a wave (..., T), complex64.

    The own frames of a block are the `FRAMES` after the first `transform.shared`. Together
    they are the frames of the whole wave, followed by silence.
    """
    *leading, length = wave_CT.shape
    hop_length, shared = transform.hop_length, transform.shared
    frames = transforms.num_frames(length, transform.n_fft, hop_length)
    span = (FRAMES + 2 * shared) * hop_length
    for first in range(0, frames, FRAMES):
        begin = (first - shared) * hop_length
        block = np.zeros((*leading, span), np.float32)
        part = wave_CT[..., max(begin, 0) : begin + span]
        at = max(-begin, 0)
        block[..., at : at + part.shape[-1]] = part
        yield stft(block, transform)


def change(
    wave_CT: np.ndarray, transform: Transform, split: Callable[[Array], Array]
) -> np.ndarray:
    """Applies a function to the spectra of waves and returns new waves.

    Args:
      wave_CT: waves, (..., T).
      transform: of their spectra, at their sample rate.
      split: maps a block of the spectra (..., N, F) to other spectra (..., N, F), with any
        leading axes. The new spectrum of a frame may depend on `NEIGHBOURS` frames on
        either side of it.

    Returns:
      Waves (..., T) with the leading axes of the new spectra.
    """
    # A power of two brings the peak to about 1, so that no squared spectrum over- or
    # underflows, and is undone without rounding.
    _, exponent = np.frexp(max(wave_CT.max(), -wave_CT.min()))
    gain = np.float32(2.0 ** -np.clip(exponent, -120, 120))
    begin, step = transform.shared * transform.hop_length, FRAMES * transform.hop_length
    parts = []
    for spectrum_CNF in blocks(wave_CT, transform):
        changed_CT = np.asarray(_istft(split(gain * spectrum_CNF), transform))
        parts.append(changed_CT[..., begin : begin + step] / gain)
    return np.concatenate(parts, axis=-1)[..., : wave_CT.shape[-1]]


@partial(jax.jit, static_argnames="transform")
def stft(wave_CT: Array, transform: Transform) -> Array:
    """Spectra (..., N, F) of waves (..., T); compiled again for every length."""
    window = transforms.hann(transform.n_fft)
    return transforms.stft(wave_CT, window=window, hop_length=transform.hop_length)


@partial(jax.jit, static_argnames="transform")
def _istft(spectrum_CNF: Array, transform: Transform) -> Array:
    length = (FRAMES + 2 * transform.shared) * transform.hop_length
    return transforms.istft(
        spectrum_CNF,
        window=transforms.hann(transform.n_fft),
        hop_length=transform.hop_length,
        length=length,
    )
