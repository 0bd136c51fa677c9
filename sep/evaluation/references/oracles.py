"""Oracles: the best that a kind of mask can do, computed from the true sources.

They are upper bounds for separators with such a mask on such a transform. A mask multiplies
one bin of one channel; the Wiener filter mixes the channels of a bin. The estimates of
`ibm`, `irm` and `mwf` sum to the mixture; where all sources are silent, each gets the same
share of it.

Every oracle maps a mixture (C, T), its sources (S, C, T) and a transform at the sample rate
of the recording to estimates (S, C, T). Anything else in the mixture must be one more
source; `sep.evaluation.references.build` adds it.

Shapes: S source, C channel, T sample, N frame, F bin.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from sep.evaluation.references import spectra
from sep.evaluation.references.spectra import FRAMES, Transform
from sep.model import wiener

# Fraction of a source's power that is assumed to be diffuse. It makes the covariance
# invertible for sources from a single direction and for two equal channels.
_DIFFUSE = 1e-6


def ibm(
    mixture_CT: np.ndarray, sources_SCT: np.ndarray, transform: Transform
) -> np.ndarray:
    """Ideal binary mask (Wang 2005): a bin goes to its loudest source; equals share it.

    SiSEC's "IBM1" (Stöter et al. 2018) gives a bin to each source with at least half of the
    mixture's magnitude, which may be none or two.
    """
    return _change(mixture_CT, sources_SCT, transform, _binary)


def irm(
    mixture_CT: np.ndarray,
    sources_SCT: np.ndarray,
    transform: Transform,
    exponent: float = 2.0,
) -> np.ndarray:
    """Ideal ratio mask: |s|^exponent over its sum over all sources.

    With an exponent of 2, a ratio of powers, it is SiSEC's "IRM2" and the Wiener gain: the
    mask with the least expected error among those that depend only on the powers of the
    sources. `psm` also depends on their phases and has a lower error. With 1 it is "IRM1".
    """
    split = partial(_ratio, exponent=exponent)
    return _change(mixture_CT, sources_SCT, transform, split)


def psm(
    mixture_CT: np.ndarray,
    sources_SCT: np.ndarray,
    transform: Transform,
    bound: float = np.inf,
) -> np.ndarray:
    """Phase-sensitive mask: the real mask from 0 to `bound` that is nearest to the source.

    max(0, Re s x* / |x|^2) (Erdogan et al. 2015). No estimate with the phases of the
    mixture is nearer. There is no bound by default, as Sep's masks of magnitudes have none.
    Estimates do not sum to the mixture.
    """
    return _change(mixture_CT, sources_SCT, transform, partial(_projected, bound=bound))


def cirm(
    mixture_CT: np.ndarray,
    sources_SCT: np.ndarray,
    transform: Transform,
    bound: float = 1.0,
) -> np.ndarray:
    """Complex ideal ratio mask s / x, with a magnitude of at most `bound`.

    Williamson et al. (2016) bound the real and imaginary parts, at 10. Without a bound the
    estimate is the source itself. With 1 the mask changes phases but makes no bin louder
    than the mixture's, like a network's mask that ends in tanh. Estimates do not exactly
    sum to the mixture.
    """
    return _change(mixture_CT, sources_SCT, transform, partial(_complex, bound=bound))


def mwf(
    mixture_CT: np.ndarray, sources_SCT: np.ndarray, transform: Transform
) -> np.ndarray:
    """Multichannel Wiener filter v_j R_j (sum over k of v_k R_k)^-1 on a bin's channels.

    The local Gaussian model (Duong et al. 2010): v_j(n, f) is the true power of a source,
    the mean over channels, and R_j(f) its true spatial covariance, the same for all frames:
    the sum of y y^H over frames, divided by the sum of v_j. SiSEC's "MWF" gives all frames
    the same weight, soft ones too, and scores lower. With one channel it equals `irm`.
    """
    covariance_SFCC = spatial_covariance(sources_SCT, transform)
    split = partial(_wiener, covariance_SFCC)
    return _change(mixture_CT, sources_SCT, transform, split)


def spatial_covariance(sources_SCT: np.ndarray, transform: Transform) -> np.ndarray:
    """Spatial covariances of sources, complex128 (S, F, C, C), each with trace C.

    Zero in bins where a source is silent throughout.
    """
    own = slice(transform.shared, transform.shared + FRAMES)
    total_SFCC = np.zeros((), np.complex128)
    for block_SCNF in spectra.blocks(sources_SCT, transform):
        with jax.enable_x64(True):
            block_SFCC = _covariance(block_SCNF[:, :, own])
        total_SFCC = total_SFCC + np.asarray(block_SFCC)
    power_SF = np.trace(total_SFCC, axis1=-2, axis2=-1).real / sources_SCT.shape[1]
    return total_SFCC / np.where(power_SF > 0, power_SF, 1)[..., None, None]


def shares(weights_SCNF: np.ndarray | Array) -> Array:
    """Masks from weights ≥ 0: they sum to one, and are equal where all weights are zero."""
    total_CNF = weights_SCNF.sum(0)
    positive_CNF = total_CNF > 0
    return jnp.where(
        positive_CNF,
        weights_SCNF / jnp.where(positive_CNF, total_CNF, 1),
        1 / weights_SCNF.shape[0],
    )


def _change(
    mixture_CT: np.ndarray,
    sources_SCT: np.ndarray,
    transform: Transform,
    split: Callable[[Array, Array], Array],
) -> np.ndarray:
    """`spectra.change` with a `split` of the mixture's and the sources' spectra."""
    waves_ACT = np.concatenate([mixture_CT[None], sources_SCT])
    return spectra.change(
        waves_ACT, transform, lambda all_ACNF: split(all_ACNF[0], all_ACNF[1:])
    )


@jax.jit
def _binary(mixture_CNF: Array, sources_SCNF: Array) -> Array:
    power_SCNF = _power(sources_SCNF)
    loudest_SCNF = (power_SCNF == power_SCNF.max(0)).astype(power_SCNF.dtype)
    return shares(loudest_SCNF) * mixture_CNF


@partial(jax.jit, static_argnames="exponent")
def _ratio(mixture_CNF: Array, sources_SCNF: Array, exponent: float) -> Array:
    return shares(_power(sources_SCNF) ** (exponent / 2)) * mixture_CNF


@partial(jax.jit, static_argnames="bound")
def _projected(mixture_CNF: Array, sources_SCNF: Array, bound: float) -> Array:
    size_CNF = jnp.abs(mixture_CNF)
    turn_CNF = mixture_CNF / jnp.where(size_CNF > 0, size_CNF, 1)
    along_SCNF = jnp.maximum((sources_SCNF * turn_CNF.conj()).real, 0)
    if bound < np.inf:
        along_SCNF = jnp.minimum(along_SCNF, bound * size_CNF)
    return along_SCNF * turn_CNF


@partial(jax.jit, static_argnames="bound")
def _complex(mixture_CNF: Array, sources_SCNF: Array, bound: float) -> Array:
    limit_CNF = bound * jnp.abs(mixture_CNF)
    size_SCNF = jnp.abs(sources_SCNF)
    loud_SCNF = size_SCNF > limit_CNF
    return sources_SCNF * jnp.where(
        loud_SCNF, limit_CNF / jnp.where(loud_SCNF, size_SCNF, 1), 1
    )


def _wiener(covariance_SFCC: np.ndarray, mixture_CNF: Array, sources_SCNF: Array) -> Array:
    with jax.enable_x64(True):  # in float32, nearly equal channels cannot be resolved
        return _filter(covariance_SFCC, mixture_CNF, sources_SCNF)


@jax.jit
def _covariance(sources_SCNF: Array) -> Array:
    sources_SCNF = sources_SCNF.astype(complex)
    return jnp.einsum("scnf,sdnf->sfcd", sources_SCNF, sources_SCNF.conj())


@jax.jit
def _filter(covariance_SFCC: Array, mixture_CNF: Array, sources_SCNF: Array) -> Array:
    channels = mixture_CNF.shape[0]
    share_SNF = shares(_power(sources_SCNF.astype(complex)).mean(1))
    covariance_SFCC = covariance_SFCC + _DIFFUSE * jnp.eye(channels)
    covariance_SCCF = jnp.moveaxis(covariance_SFCC, 1, -1)
    estimates_SCNF = wiener.filtered(
        mixture_CNF.astype(complex), share_SNF, covariance_SCCF
    )
    return estimates_SCNF.astype(mixture_CNF.dtype)


def _power(spectrum_CNF: Array) -> Array:
    return spectrum_CNF.real**2 + spectrum_CNF.imag**2
