"""Estimates made better by what they have in common: where a source lies, and its pitch.

A network hears one channel at a time, in short frames. A multichannel Wiener filter made
of its estimates listens to all channels at once, in longer frames, in which the partials
of two instruments lie further apart.

Shapes: S source, C channel, T sample, N frame, F bin.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from sep.model import transforms
from sep.model.settings import SeparationSettings

HOPS = 4  # in a frame
# Share of a source's power that is taken to come from everywhere. It lets filters exist,
# in float32: also for sources from a single direction, and for channels that are equal.
_DIFFUSE = 0.03
_SILENCE = 1e-12  # power, at the reference level, under which all sources are alike


def frame_length(seconds: float, sample_rate: int) -> int:
    """Length of the filter's frames in samples, a power of two; 0 without a filter."""
    return max(HOPS, 2 ** round(np.log2(seconds * sample_rate))) if seconds else 0


def compiled(
    separation: SeparationSettings, sample_rate: int
) -> Callable[[Array], Array] | None:
    """`refine` with these settings, compiled; None if they ask for no filter."""
    n_fft = frame_length(separation.wiener_seconds, sample_rate)
    if not n_fft:
        return None
    return jax.jit(partial(refine, n_fft=n_fft, exponent=separation.wiener_exponent))


def refine(sources_SCT: Array, *, n_fft: int, exponent: float) -> Array:
    """Estimates (S, C, T) filtered out of their own sum: again they sum to it.

    One step of the local Gaussian model (Duong et al. 2010), as Open-Unmix takes it: a
    bin x (C,) of the mixture becomes v_j R_j (sum over k of v_k R_k)^-1 x. R_j(f) is the
    spatial covariance of an estimate, its trace C; v_j(n, f) the mean over channels of
    its power |y|^2, to `exponent` / 2: with less than 2 the filter is less sure than the
    estimates. With one channel it is a ratio mask.

    Args:
      sources_SCT: at the reference level.
      n_fft: length of frames in samples, a multiple of `HOPS`.
      exponent: see above.
    """
    if len(sources_SCT) == 1:
        return sources_SCT  # all there is
    how = {"window": transforms.hann(n_fft), "hop_length": n_fft // HOPS}
    spectrum_SCNF = transforms.stft(sources_SCT, **how)
    mixture_CNF = spectrum_SCNF.sum(0)
    power_SNF = (spectrum_SCNF.real**2 + spectrum_SCNF.imag**2).mean(1)
    weight_SNF = (power_SNF + _SILENCE) ** (exponent / 2)
    share_SNF = weight_SNF / weight_SNF.sum(0)
    covariance_SCCF = covariance(spectrum_SCNF, power_SNF)
    # The last estimate is the rest: a transform less, and all sum to what they did.
    found_SCNF = filtered(mixture_CNF, share_SNF, covariance_SCCF)[:-1]
    found_SCT = transforms.istft(found_SCNF, **how, length=sources_SCT.shape[-1])
    rest_CT = sources_SCT.sum(0) - found_SCT.sum(0)
    return jnp.concatenate([found_SCT, rest_CT[None]])


def filtered(mixture_CNF: Array, share_SNF: Array, covariance_SCCF: Array) -> Array:
    """The filter itself: v_j R_j (sum over k of v_k R_k)^-1 x for every source and bin.

    Sums of products, not einsum: products of matrices so small take longer.
    """
    model_CCNF = (share_SNF[:, None, None] * covariance_SCCF[:, :, :, None]).sum(0)
    white_CNF = solve(model_CCNF, mixture_CNF)
    return share_SNF[:, None] * (covariance_SCCF[:, :, :, None] * white_CNF).sum(2)


def covariance(spectrum_SCNF: Array, power_SNF: Array) -> Array:
    """How each source lies between the channels: complex Hermitian (S, C, C, F)."""
    channels = spectrum_SCNF.shape[1]
    total_SCCF = (spectrum_SCNF[:, :, None] * spectrum_SCNF[:, None].conj()).sum(3)
    power_S11F = power_SNF.sum(1)[:, None, None]
    diffuse_CC1 = _DIFFUSE * jnp.eye(channels)[..., None]
    return total_SCCF / (power_S11F + _SILENCE) + diffuse_CC1


def solve(matrix_CCNF: Array, right_CNF: Array) -> Array:
    """A^-1 b of every bin by Gaussian elimination; A is Hermitian, positive definite.

    Written out over the few channels, so that it is arithmetic on whole planes of bins:
    LAPACK, called for each bin, takes many times as long.
    """
    rows = [list(row_CNF) for row_CNF in matrix_CCNF]
    right = list(right_CNF)
    channels = range(len(rows))
    for pivot in channels:
        for below in channels[pivot + 1 :]:
            factor_NF = rows[below][pivot] / rows[pivot][pivot]
            for column in channels[pivot:]:
                rows[below][column] -= factor_NF * rows[pivot][column]
            right[below] -= factor_NF * right[pivot]
    for row in reversed(channels):
        for column in channels[row + 1 :]:
            right[row] -= rows[row][column] * right[column]
        right[row] /= rows[row][row]
    return jnp.stack(right)
