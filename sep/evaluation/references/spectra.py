"""Short-time spectra a block at a time, changed, and made waves again.

Every block has the same shape, so one program serves recordings of every length, and
memory is bounded. Blocks overlap by more than frames reach: what comes out is what one
transform of the whole recording would give.

Shapes: S source, C channel, T sample, N frame of a block, F bin.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jax import Array

from sep.model import transforms

FRAMES = 256  # of a block, without those that it shares with its neighbours
NEIGHBOURS = 15  # frames on either side of a frame that what is made of it may depend on


class Transform(NamedTuple):
    """A short-time Fourier transform with a Hann window.

    Lengths are in samples at `sample_rate`, and last as long at other rates.
    """

    n_fft: int = 4096
    hop_length: int = 1024
    sample_rate: int = 44100  # Hz

    def at(self, sample_rate: int) -> "Transform":
        """The same durations at another rate."""
        ratio = sample_rate / self.sample_rate
        hop_length = max(1, round(self.hop_length * ratio))
        n_fft = 2 * max(1, round(self.n_fft * ratio / 2))
        return Transform(n_fft, hop_length, sample_rate) if ratio != 1 else self

    @property
    def shared(self) -> int:
        """Frames at either end of a block that belong to its neighbours."""
        return NEIGHBOURS + -(-self.n_fft // self.hop_length)


def blocks(wave_CT: np.ndarray, transform: Transform) -> Iterator[Array]:
    """Spectra (..., N, F) of consecutive blocks of a wave (..., T), complex64.

    A block's own frames are the `FRAMES` that follow the first `transform.shared`: they
    are those of the whole wave, in order, and silence after its end.
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
    """What `split` makes of waves' spectra, as waves (..., T); the leading axes are its.

    `split` maps a block of the spectra (..., N, F) of waves (..., T) to other spectra
    (..., N, F). What it makes of a frame may depend on `NEIGHBOURS` frames around it.
    """
    # The peak to about 1 by a power of two, undone without rounding: no square of a
    # spectrum over- or underflows, however loud or soft the recording.
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
    """The transform (..., N, F) of waves (..., T); compiled for every length."""
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
