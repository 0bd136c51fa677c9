"""A multichannel Wiener filter that refines the estimates of a network.

A network processes one channel at a time in short frames. The filter is computed from its
estimates in all channels at once, and in longer frames, which separate the partials of two
instruments better in frequency.

Shapes: S source, C channel, T sample, N frame, F bin.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from sep.model import transforms
from sep.model.settings import SeparationSettings

HOPS = 4  # hops in a frame
# Share of a source's power that is modelled as diffuse. It makes filters exist in float32
# for sources from a single direction and for equal channels.
_DIFFUSE = 0.03
_SILENCE = 1e-12  # power, at the reference level, below which all sources weigh the same


def frame_length(seconds: float, sample_rate: int) -> int:
    """Returns the length of the filter's frames in samples.

    It is a power of two. If `seconds` is 0 there is no filter, and the length is 0.
    """
    return max(HOPS, 2 ** round(np.log2(seconds * sample_rate))) if seconds else 0


def compiled(
    separation: SeparationSettings, sample_rate: int
) -> Callable[[Array], Array] | None:
    """Returns `refine` with these settings, jitted, or None if they have no filter."""
    n_fft = frame_length(separation.wiener_seconds, sample_rate)
    if not n_fft:
        return None
    return jax.jit(partial(refine, n_fft=n_fft, exponent=separation.wiener_exponent))


def refine(sources_SCT: Array, *, n_fft: int, exponent: float) -> Array:
    """Filters estimates (S, C, T) out of their own sum, which stays the same.

    One step of the local Gaussian model (Duong et al. 2010), as in Open-Unmix. A bin x (C,)
    of the mixture becomes v_j R_j (sum over k of v_k R_k)^-1 x. R_j(f) is the spatial
    covariance of an estimate, with trace C. v_j(n, f) is the mean over channels of its
    power |y|^2, to the power of `exponent` / 2. An exponent below 2 makes the filter softer
    than the estimates are. For one channel the filter is a ratio mask.

    Args:
      sources_SCT: estimates at the reference level.
      n_fft: length of frames in samples, a multiple of `HOPS`.
      exponent: exponent on magnitudes; see above.
    """
    if len(sources_SCT) == 1:
        return sources_SCT
    options: dict[str, Any] = {
        "window": transforms.hann(n_fft),
        "hop_length": n_fft // HOPS,
    }
    spectrum_SCNF = transforms.stft(sources_SCT, **options)
    mixture_CNF = spectrum_SCNF.sum(0)
    power_SNF = (spectrum_SCNF.real**2 + spectrum_SCNF.imag**2).mean(1)
    weight_SNF = (power_SNF + _SILENCE) ** (exponent / 2)
    share_SNF = weight_SNF / weight_SNF.sum(0)
    covariance_SCCF = covariance(spectrum_SCNF, power_SNF)
    # The last estimate is the remainder, which saves a transform and preserves the sum.
    filtered_SCNF = filtered(mixture_CNF, share_SNF, covariance_SCCF)[:-1]
    filtered_SCT = transforms.istft(filtered_SCNF, **options, length=sources_SCT.shape[-1])
    rest_CT = sources_SCT.sum(0) - filtered_SCT.sum(0)
    return jnp.concatenate([filtered_SCT, rest_CT[None]])


def filtered(mixture_CNF: Array, share_SNF: Array, covariance_SCCF: Array) -> Array:
    """Returns v_j R_j (sum over k of v_k R_k)^-1 x for every source and bin, (S, C, N, F).

    Written as sums of elementwise products: einsum's products of such small matrices take
    longer.
    """
    model_CCNF = (share_SNF[:, None, None] * covariance_SCCF[:, :, :, None]).sum(0)
    white_CNF = solve(model_CCNF, mixture_CNF)
    return share_SNF[:, None] * (covariance_SCCF[:, :, :, None] * white_CNF).sum(2)


def covariance(spectrum_SCNF: Array, power_SNF: Array) -> Array:
    """Returns the spatial covariance of each source, complex Hermitian (S, C, C, F)."""
    channels = spectrum_SCNF.shape[1]
    total_SCCF = (spectrum_SCNF[:, :, None] * spectrum_SCNF[:, None].conj()).sum(3)
    power_S11F = power_SNF.sum(1)[:, None, None]
    diffuse_CC1 = _DIFFUSE * jnp.eye(channels)[..., None]
    return total_SCCF / (power_S11F + _SILENCE) + diffuse_CC1


def solve(matrix_CCNF: Array, right_CNF: Array) -> Array:
    """Returns A^-1 b for every bin by Gaussian elimination.

    A must be Hermitian and positive definite. Loops over the few channels are unrolled, and
    each step is arithmetic on whole planes of bins. LAPACK, called for each bin, takes many
    times as long.
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
