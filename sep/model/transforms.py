"""Frames, short-time Fourier and modified discrete cosine transforms, and their inverses.

Frame n starts at sample ``n * hop_length - frame_offset(...)``. All frames that overlap the
signal are computed, including those that extend beyond its ends, where the signal is
zero-padded. Each sample then lies in as many frames at the edges as in the middle, and one
synthesis window, the canonical dual, inverts the transform for any signal length.

Shapes: T sample, N frame, K sample of a frame, F bin. Any axes may lead. Lengths,
windows and hops are static under jit: windows are concrete (NumPy) arrays.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from sep.errors import UserError
from sep.model.dft import DFTS, Irfft, Rfft


def hann(n_fft: int) -> np.ndarray:
    """Returns the periodic Hann window, (n_fft,) float32."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)


def sine(frame_length: int) -> np.ndarray:
    """Returns the sine window, (frame_length,) float32, for `mdct`.

    Its squares half a frame apart sum to 1 (Princen and Bradley 1986).
    """
    middle = np.arange(frame_length) + 0.5
    return np.sin(np.pi * middle / frame_length).astype(np.float32)


def frame_offset(frame_length: int, hop_length: int) -> int:
    """Returns the number of samples by which frame 0 starts before the signal.

    Frame number ``leading_frames`` is the one that is centred on sample 0.
    """
    return frame_length // 2 + leading_frames(frame_length, hop_length) * hop_length


def leading_frames(frame_length: int, hop_length: int) -> int:
    """Returns the number of frames before the one that is centred on sample 0."""
    return (frame_length - frame_length // 2 - 1) // hop_length


def num_frames(length: int, frame_length: int, hop_length: int) -> int:
    """Returns the number of frames that overlap a signal of `length` samples."""
    return (length - 1 + frame_offset(frame_length, hop_length)) // hop_length + 1


def frame(wave_T: Array, *, frame_length: int, hop_length: int) -> Array:
    """Cuts (..., T) into overlapping frames (..., N, K), K = frame_length.

    Raises:
      ValueError: the signal is empty, or a length is not positive.
    """
    if frame_length < 1 or hop_length < 1:
        raise ValueError(
            f"frame_length and hop_length must be positive: {frame_length}, {hop_length}"
        )
    length = wave_T.shape[-1]
    if length < 1:
        raise ValueError("an empty signal has no frames")
    return _frame(wave_T, frame_length, hop_length, length)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _frame(wave_T: Array, frame_length: int, hop_length: int, length: int) -> Array:
    frames = num_frames(length, frame_length, hop_length)
    before = frame_offset(frame_length, hop_length)
    after = (frames - 1) * hop_length + frame_length - length - before
    padded_T = jnp.pad(wave_T, [(0, 0)] * (wave_T.ndim - 1) + [(before, max(after, 0))])

    def one_frame(start: Array | np.ndarray) -> Array:
        return jax.lax.dynamic_slice_in_dim(padded_T, start, frame_length, axis=-1)

    # XLA copies slices on all cores; concatenation of shifted copies takes twice as long.
    return jax.vmap(one_frame, out_axes=-2)(np.arange(frames) * hop_length)


def _frame_forward(
    wave_T: Array, frame_length: int, hop_length: int, length: int
) -> tuple[Array, None]:
    return _frame(wave_T, frame_length, hop_length, length), None


def _frame_backward(
    frame_length: int, hop_length: int, length: int, _: None, gradient_NK: Array
) -> tuple[Array]:
    # The transpose of slices would be a scatter, which is many times slower.
    return (overlap_add(gradient_NK, hop_length=hop_length, length=length),)


_frame.defvjp(_frame_forward, _frame_backward)


def overlap_add(frames_NK: Array, *, hop_length: int, length: int) -> Array:
    """Adds frames (..., N, K) at their positions in a signal (..., T).

    This is the transpose of `frame`.

    Raises:
      ValueError: the number of frames is not that of a signal of `length` samples.
    """
    *leading, frames, frame_length = frames_NK.shape
    if frames != num_frames(length, frame_length, hop_length):
        raise ValueError(f"{frames} frames do not match {length} samples")
    overlap = -(-frame_length // hop_length)
    padding = [(0, 0)] * (frames_NK.ndim - 1)
    padded_NK = jnp.pad(frames_NK, [*padding, (0, overlap * hop_length - frame_length)])
    total: Any = 0
    for i in range(overlap):
        part = padded_NK[..., i * hop_length : (i + 1) * hop_length]
        around = [*padding[:-1], (i, overlap - 1 - i), (0, 0)]
        total = total + jnp.pad(part, around)
    wave = total.reshape(*leading, -1)
    before = frame_offset(frame_length, hop_length)
    return wave[..., before : before + length]


def dual_window(window: np.ndarray, hop_length: int) -> np.ndarray:
    """Returns the canonical dual of an analysis window, for exact synthesis; same shape.

    It is the window divided by the sum of its shifted squares (Allen and Rabiner 1977).
    "NOLA" (nonzero overlap-add) is the condition that this sum is nowhere zero.

    Raises:
      ValueError: the window is empty or has several axes, the hop is not positive, or they
        violate NOLA.
    """
    window = np.asarray(window, np.float64)
    if window.ndim != 1 or not window.size:
        raise ValueError(
            f"a window must have one axis and at least one sample, not {window.shape}"
        )
    if hop_length < 1:
        raise ValueError(f"hop_length must be positive: {hop_length}")
    spans = -(-window.size // hop_length)
    squares = np.pad(window**2, (0, spans * hop_length - window.size))
    power_hop = squares.reshape(spans, hop_length).sum(0)
    if power_hop.min() <= 1e-10 * power_hop.max():
        raise ValueError(
            f"a window of {window.size} samples at hop_length {hop_length} violates NOLA "
            f"(sample {int(power_hop.argmin())} of each hop has no weight and cannot be "
            "restored); use a smaller hop_length or a window without zeros"
        )
    return (window / np.tile(power_hop, spans)[: window.size]).astype(np.float32)


def stft(wave_T: Array, *, window: np.ndarray, hop_length: int, dft: str = "fft") -> Array:
    """Returns the short-time Fourier transform, complex (..., N, F), F = n_fft // 2 + 1.

    Frame ``n + leading_frames`` is centred on sample ``n * hop_length``. From there on the
    frames are those of `librosa.stft` and `torch.stft` with ``center=True`` and zero
    padding.

    Args:
      wave_T: (..., T).
      window: n_fft samples.
      hop_length: samples between frames.
      dft: algorithm for the transform of a frame, one of `sep.model.dft.DFTS`. Results are
        equal up to rounding.

    Raises:
      ValueError: the signal is empty, or window and hop violate NOLA.
      UserError: dft is unknown.
    """
    rfft, _ = _lookup(dft)
    dual_window(window, hop_length)  # raises if the transform could not be inverted
    frames_NK = frame(wave_T, frame_length=len(window), hop_length=hop_length)
    return rfft(frames_NK * jnp.asarray(window, frames_NK.dtype))


def istft(
    spectrum_NF: Array,
    *,
    window: np.ndarray,
    hop_length: int,
    length: int,
    dft: str = "fft",
) -> Array:
    """Returns the wave (..., T) of `length` samples of an `stft` (..., N, F).

    The inverse is exact. For a modified spectrum the result is the wave with the nearest
    stft in the least-squares sense (Griffin and Lim 1984).

    Raises:
      ValueError: window and hop violate NOLA, or the number of frames or bins does not
        match `length` and the window.
      UserError: dft is unknown.
    """
    _, irfft = _lookup(dft)
    dual = dual_window(window, hop_length)
    if spectrum_NF.shape[-1] != len(window) // 2 + 1:
        raise ValueError(
            f"{spectrum_NF.shape[-1]} bins do not match a window of {len(window)}"
        )
    frames_NK = irfft(spectrum_NF, len(window))
    return overlap_add(
        frames_NK * jnp.asarray(dual, frames_NK.dtype),
        hop_length=hop_length,
        length=length,
    )


def _lookup(dft: str) -> tuple[Rfft, Irfft]:
    if dft not in DFTS:
        raise UserError(f"unknown dft {dft!r}; known: {', '.join(sorted(DFTS))}")
    return DFTS[dft]


def mdct(wave_T: Array, *, window: np.ndarray) -> Array:
    """Returns the modified discrete cosine transform, real (..., N, F), of a wave (..., T).

    Frames of 2 F samples, the window's length, overlap by half. Each has F coefficients:

        X[k] = sqrt(2 / F) sum_n w[n] x[n] cos(pi / F (n + 1/2 + F/2) (k + 1/2))

    Time-domain aliasing of neighbouring frames cancels, which makes `imdct` exact (Princen
    and Bradley 1986). Frame n is centred on sample n * F. The whole transform is orthogonal
    and preserves energy.

    Raises:
      ValueError: the signal is empty, the window's length is no multiple of 4, the window
        is not symmetric, or its squares half a frame apart do not sum to 1.
    """
    bins = _half(window)
    frames_NK = frame(wave_T, frame_length=len(window), hop_length=bins)
    frames_NK = frames_NK * jnp.asarray(window, frames_NK.dtype)
    # Quarters a, b, c, d fold to -c' - d, a - b', where ' reverses in time.
    a, b, c, d = jnp.split(frames_NK, 4, axis=-1)
    return _dct_iv(jnp.concatenate([-jnp.flip(c, -1) - d, a - jnp.flip(b, -1)], -1))


def imdct(coefficients_NF: Array, *, window: np.ndarray, length: int) -> Array:
    """Returns the wave (..., T) of `length` samples of an `mdct` (..., N, F), exactly.

    Raises:
      ValueError: the number of frames or bins does not match `length` and the window, or
        the window is not allowed; see `mdct`.
    """
    bins = _half(window)
    if coefficients_NF.shape[-1] != bins:
        raise ValueError(
            f"{coefficients_NF.shape[-1]} bins do not match a window of {len(window)}"
        )
    u, v = jnp.split(_dct_iv(coefficients_NF), 2, axis=-1)
    unfolded_NK = jnp.concatenate([v, -jnp.flip(v, -1), -jnp.flip(u, -1), -u], -1)
    frames_NK = unfolded_NK * jnp.asarray(window, unfolded_NK.dtype)
    return overlap_add(frames_NK, hop_length=bins, length=length)


def _half(window: np.ndarray) -> int:
    """Returns F, half a window's length; raises ValueError if `mdct` cannot use it."""
    bins = len(window) // 2
    if len(window) % 4 or not bins:
        raise ValueError(
            f"an MDCT's frame must be a multiple of 4 samples, not {len(window)}"
        )
    power_F = np.asarray(window, np.float64) ** 2
    power_F = power_F[:bins] + power_F[bins:]
    if not (np.allclose(power_F, 1, atol=1e-5) and np.allclose(window, window[::-1])):
        raise ValueError(
            "an MDCT's window must be symmetric, and its squares half a frame apart must "
            "sum to 1"
        )
    return bins


def _dct_iv(values_F: Array) -> Array:
    """Returns the orthonormal DCT-IV of the last axis by one FFT of F / 2 points; F even.

    It is its own inverse.
    """
    bins = values_F.shape[-1]
    turn = np.exp(-1j * np.pi * (np.arange(bins // 2) + 1 / 8) / bins)
    turn = jnp.asarray(turn * (2 / bins) ** 0.25, jnp.result_type(values_F, jnp.complex64))
    packed = jax.lax.complex(values_F[..., ::2], jnp.flip(values_F, -1)[..., ::2])
    spectrum = jnp.fft.fft(packed * turn) * turn
    pairs = jnp.stack([spectrum.real, -jnp.flip(spectrum.imag, -1)], -1)
    return pairs.reshape(values_F.shape)
