"""Oracles: the best that a kind of mask can do, made from the true sources.

Upper bounds for separators with such a mask on such a transform. A mask multiplies one
bin of one channel; the Wiener filter mixes the channels of a bin. `ibm`, `irm` and `mwf`
divide the mixture: estimates sum to it, and where all sources are silent each gets the same
share of what there is.

Every oracle maps mixture_CT, sources_SCT and a transform, at the recording's own rate,
to estimates_SCT. What the mixture has besides the sources must come as one more source,
as `sep.evaluation.references` gives it.

Shapes: S source, C channel, T sample, N frame, F bin.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from sep.evaluation.references import spectra
from sep.evaluation.references.spectra import FRAMES, Transform
from sep.model import wiener

# Share of a source's power that is taken to come from everywhere, so that filters exist:
# also for sources from a single direction, and for two channels that are the same.
_DIFFUSE = 1e-6


def ibm(mixture_CT: np.ndarray, sources_SCT: np.ndarray, transform: Transform):
    """Ideal binary mask: a bin goes to the loudest source in it; equals share it.

    Wang (2005). SiSEC's "IBM1" (Stöter et al. 2018) gives a bin to whatever source has
    half the mixture's magnitude, which may be none, or two.
    """
    return _change(mixture_CT, sources_SCT, transform, _binary)


def irm(
    mixture_CT: np.ndarray,
    sources_SCT: np.ndarray,
    transform: Transform,
    exponent: float = 2.0,
) -> np.ndarray:
    """Ideal ratio mask: |s|^exponent over the sum of it over all sources.

    With 2, a ratio of powers, it is SiSEC's "IRM2" and the Wiener gain: of all masks that
    know the sources' powers alone, that with the least expected error; `psm`, which also
    knows how they met in the mixture, has less. With 1 it is "IRM1".
    """
    split = partial(_ratio, exponent=exponent)
    return _change(mixture_CT, sources_SCT, transform, split)


def psm(
    mixture_CT: np.ndarray,
    sources_SCT: np.ndarray,
    transform: Transform,
    bound: float = np.inf,
) -> np.ndarray:
    """Phase-sensitive mask: of all from 0 to `bound`, the one nearest to the source.

    max(0, Re s x* / |x|^2) (Erdogan et al. 2015): with the mixture's phases nothing does
    better. No bound is the default, as Sep's masks of magnitudes have none. Estimates do
    not sum to the mixture.
    """
    return _change(mixture_CT, sources_SCT, transform, partial(_projected, bound=bound))


def cirm(
    mixture_CT: np.ndarray,
    sources_SCT: np.ndarray,
    transform: Transform,
    bound: float = 1.0,
) -> np.ndarray:
    """Complex ideal ratio mask s / x, its magnitude at most `bound`.

    Williamson et al. (2016), who bound real and imaginary part, at 10. Without a bound it
    is the source itself. With 1 it turns phases, and makes no bin louder than the
    mixture's: what a mask that ends in tanh can do. The estimates do not quite sum to the
    mixture.
    """
    return _change(mixture_CT, sources_SCT, transform, partial(_complex, bound=bound))


def mwf(mixture_CT: np.ndarray, sources_SCT: np.ndarray, transform: Transform):
    """Multichannel Wiener filter v_j R_j (sum over k of v_k R_k)^-1 on a bin's channels.

    The local Gaussian model (Duong et al. 2010): v_j(n, f) is the source's true power,
    the mean over channels, and R_j(f) its true spatial covariance, the same for all
    frames: the sum over frames of y y^H over that of v_j. SiSEC's "MWF" weighs all
    frames alike, soft ones too, and comes out lower. One channel: `irm`.
    """
    covariance_SFCC = spatial_covariance(sources_SCT, transform)
    split = partial(_wiener, covariance_SFCC)
    return _change(mixture_CT, sources_SCT, transform, split)


def spatial_covariance(sources_SCT: np.ndarray, transform: Transform) -> np.ndarray:
    """How each source lies between the channels: complex128 (S, F, C, C), trace C.

    Where a source is silent throughout, all zero.
    """
    own = slice(transform.shared, transform.shared + FRAMES)
    total_SFCC = 0
    for block_SCNF in spectra.blocks(sources_SCT, transform):
        with jax.enable_x64(True):
            total_SFCC += np.asarray(_covariance(block_SCNF[:, :, own]))
    power_SF = np.trace(total_SFCC, axis1=-2, axis2=-1).real / sources_SCT.shape[1]
    return total_SFCC / np.where(power_SF > 0, power_SF, 1)[..., None, None]


def shares(weights_SCNF: Array) -> Array:
    """Weights ≥ 0 as masks that sum to one; equal ones where all weights are zero."""
    total_CNF = weights_SCNF.sum(0)
    heard_CNF = total_CNF > 0
    return jnp.where(
        heard_CNF,
        weights_SCNF / jnp.where(heard_CNF, total_CNF, 1),
        1 / weights_SCNF.shape[0],
    )


def _change(mixture_CT, sources_SCT, transform, split) -> np.ndarray:
    """`spectra.change` of what `split` makes of the mixture's and the sources' spectra."""
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
    with jax.enable_x64(True):  # float32 does not resolve nearly parallel channels
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
