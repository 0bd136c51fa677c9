"""How good an estimate is, in dB. Shapes: T samples, of one channel or of all joined.

For NumPy's arrays, in their precision, as for JAX's. Of a reference without any energy
ratios to it are NaN. A silent estimate of one that has is -inf dB good by `si_sdr`, 0 dB
by `usdr`.
BSS Eval's ratios have a file of their own: `sep.evaluation.bss_eval`.
"""

import numpy as np
from jax import Array

_REST = 1e-6  # of the mean energy: a source under it rests


def si_sdr(reference_T: Array, estimate_T: Array) -> Array:
    """Scale-invariant signal-to-distortion ratio (Le Roux et al. 2019), (...,) in dB.

    Any axes may lead. Means are not removed.
    """
    xp = reference_T.__array_namespace__()
    with np.errstate(divide="ignore", invalid="ignore"):
        energy = (reference_T**2).sum(-1)
        scale = (reference_T * estimate_T).sum(-1) / energy
        target_T = scale[..., None] * reference_T
        target = (target_T**2).sum(-1)
        distortion = ((estimate_T - target_T) ** 2).sum(-1)
        # Of an estimate with nothing of the source in it, both may be zero.
        ratio = xp.where(target > 0, target / distortion, target)
        return 10 * xp.log10(ratio)


def usdr(reference_T: Array, estimate_T: Array) -> Array:
    """Signal-to-error ratio over the whole signal, (...,) in dB.

    The "utterance" or "global" SDR of the music demixing challenges (Mitsufuji et al.
    2022), without their small constants.
    """
    xp = reference_T.__array_namespace__()
    with np.errstate(divide="ignore", invalid="ignore"):
        energy = (reference_T**2).sum(-1)
        error = ((reference_T - estimate_T) ** 2).sum(-1)
        return 10 * xp.log10(xp.where(energy > 0, energy / error, xp.nan))


def leakage(
    reference_T: Array, estimate_T: Array, mixture_T: Array, *, window: int
) -> Array:
    """What is heard of a source while it rests, (...,) in dB relative to the mixture.

    Energy of the estimate over the mixture's, in all windows of `window` samples where
    the reference is at least 60 dB under its own mean energy. 0 dB: all of the others;
    -inf: nothing. NaN if the source never rests, or the others rest with it. After the
    "predicted energy at silence" of Schulze-Forster et al. 2019, but relative, so that
    it does not depend on the level. The last samples that fill no window do not count;
    NaN also if none is filled.
    """
    xp = reference_T.__array_namespace__()

    if reference_T.shape[-1] < window:
        return xp.full(reference_T.shape[:-1], xp.nan)

    def energies(wave_T):
        whole = wave_T.shape[-1] // window * window
        return (wave_T[..., :whole] ** 2).reshape(*wave_T.shape[:-1], -1, window).sum(-1)

    reference_M, estimate_M, mixture_M = map(energies, (reference_T, estimate_T, mixture_T))
    rests_M = reference_M <= _REST * reference_M.mean(-1, keepdims=True)
    heard, there = ((xp.where(rests_M, x_M, 0)).sum(-1) for x_M in (estimate_M, mixture_M))
    with np.errstate(divide="ignore", invalid="ignore"):
        return 10 * xp.log10(xp.where(there > 0, heard / there, xp.nan))
