"""BSS Eval v4: ratios that allow estimates to be filtered versions of the references.

What a filter of the reference itself explains (by default 512 taps, from every channel to
every channel) counts as spatial distortion (ISR), what filters of the other references add
counts as interference (SIR), and the rest as artefacts (SAR). SDR counts all three (Vincent
et al. 2007, Stöter, Liutkus and Ito 2018). One set of filters serves a whole recording;
ratios are computed for each window. The values are those of `museval` in its mode v4.

The filters solve normal equations whose matrices have condition numbers of 1e6 to 1e12, so
everything is computed in float64, whatever JAX is set to. Energies of filtered windows are
sums over their spectra (Parseval); no spectrum is transformed back.

Shapes: S source, C channel, T sample, M window, L tap, F bin, I channel of all references
(S times C), J channel of all references and then of all estimates.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.linalg import cho_factor, cho_solve
from numpy.lib.stride_tricks import sliding_window_view

TAPS = 512  # of a filter
_BLOCK = 2**13  # samples of a transform for correlations
_BLOCKS = 32  # blocks in a call; all calls have one shape, so they compile once
_GROUP = 2**19  # minimum number of samples of the windows in a call
# Times the mean of the Gram matrix's diagonal, added to it: dual mono makes it singular.
_RIDGE = 1e-13
# Filters with larger gains, which cancel each other, need float64 spectra.
_LARGE = 1e2

_Item = TypeVar("_Item")


class Scores(NamedTuple):
    """Ratios in dB, (S, M) each."""

    sdr: np.ndarray
    isr: np.ndarray
    sir: np.ndarray
    sar: np.ndarray

    def median(self) -> dict[str, np.ndarray]:
        """Medians over the windows that are not NaN, by name, (S,); NaN if all are."""
        has_value_S = ~np.isnan(self.sdr).all(1)
        found = {}
        for name, value_SM in self._asdict().items():
            found[name] = np.full(len(value_SM), np.nan)
            found[name][has_value_S] = np.nanmedian(value_SM[has_value_S], axis=1)
        return found


def bss_eval(
    references_SCT: np.ndarray,
    estimates_SCT: np.ndarray,
    *,
    window: int,
    hop: int | None = None,
    taps: int = TAPS,
) -> Scores:
    """Scores every source in every window.

    - In a window where a reference or an estimate is digital silence, the scores of all
      sources are NaN, as in museval.
    - Scores of a source that is silent throughout are NaN, and the other sources are
      scored as if it did not exist; museval raises an error.
    - If references are copies of each other, like the channels of dual mono, the filters
      are not unique, but the filtered signals are; scores equal those of one copy.
    - A perfect estimate has +inf dB, or about 130 dB where rounding errors dominate.

    Args:
      references_SCT: true sources.
      estimates_SCT: estimates in the same order; no permutation is tried.
      window: samples of a window; a longer one than the recording is the whole recording.
      hop: samples between the starts of windows; by default windows touch. Samples at the
        end that do not fill a window have no score, but count for the filters.
      taps: of the filters.

    Raises:
      ValueError: the shapes differ, or window, hop or taps are not positive.
    """
    if references_SCT.shape != estimates_SCT.shape or references_SCT.ndim != 3:
        raise ValueError(
            f"references and estimates must have one shape (S, C, T), not "
            f"{references_SCT.shape} and {estimates_SCT.shape}"
        )
    sources, channels, length = references_SCT.shape
    window = min(window, length)
    hop = window if hop is None else hop
    if min(window, hop, taps) < 1:
        raise ValueError("window, hop and taps must be at least 1")
    audible_S = references_SCT.any((1, 2))
    scores_4SM = np.full((4, sources, (length - window) // hop + 1), np.nan)
    if audible_S.any():  # silent references would make the normal equations singular
        references_IT, estimates_IT = (
            x_SCT[audible_S].reshape(-1, length)
            for x_SCT in (references_SCT, estimates_SCT)
        )
        with jax.enable_x64(True):
            correlation_IJL = _correlations(references_IT, estimates_IT, taps)
            filters = _filters(correlation_IJL, channels)
            scores_4SM[:, audible_S] = _ratios(
                references_IT, estimates_IT, *filters, window, hop
            )
    return Scores(*scores_4SM)


def _correlations(
    references_IT: np.ndarray, estimates_IT: np.ndarray, taps: int
) -> np.ndarray:
    """Correlations of references with all waves at lags of 0 to L-1 samples, (I, J, L)."""
    size = max(_BLOCK, 8 * taps)
    span = _BLOCKS * (size - taps + 1)
    length = references_IT.shape[1]

    def part_IJF(start: int) -> Array:
        end = start + span + taps - 1
        tail = [(0, 0), (0, max(0, end - length))]
        parts = (np.pad(x[:, start:end], tail) for x in (references_IT, estimates_IT))
        return _cross_spectra(*parts, size, taps)

    total_IJF = sum(_on_all_cores(part_IJF, range(0, length, span)))
    return np.asarray(jnp.fft.irfft(total_IJF))[..., :taps]


@partial(jax.jit, static_argnums=(2, 3))
def _cross_spectra(
    references_IT: Array, estimates_IT: Array, size: int, taps: int
) -> Array:
    """Products of spectra of references and all waves, summed over blocks, (I, J, F)."""
    waves_JT = jnp.concatenate([references_IT, estimates_IT]).astype(np.float64)
    waves, references = len(waves_JT), len(references_IT)
    step = size - taps + 1  # new samples of a block; the others belong to the next one

    def add(total_IJF: Array, start: Array) -> tuple[Array, None]:
        block_JT = jax.lax.dynamic_slice(waves_JT, (0, start), (waves, size))
        all_JF = jnp.fft.rfft(block_JT)
        new_IF = jnp.fft.rfft(block_JT[:references, :step], size)
        return total_IJF + new_IF.conj()[:, None] * all_JF, None

    zeros_IJF = jnp.zeros((references, waves, size // 2 + 1), jnp.complex128)
    starts = jnp.asarray(np.arange(_BLOCKS) * step)
    return jax.lax.scan(add, zeros_IJF, starts)[0]


def _filters(correlation_IJL: np.ndarray, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Filters to the estimates' channels: of all references, and of a source's own one.

    Returns:
      (I, I, L) and (S, C, C, L): the channel of the references, then of the estimates.
    """
    references, _, taps = correlation_IJL.shape
    gram = np.asarray(_gram(correlation_IJL[:, :references]))
    right_side = correlation_IJL[:, references:].swapaxes(1, 2).reshape(-1, references)
    filters_ILI = np.reshape(_solve(gram, right_side), (references, taps, references))
    own = []
    for first in range(0, references, channels):
        rows = slice(first * taps, (first + channels) * taps)
        found = _solve(gram[rows, rows], right_side[rows, first : first + channels])
        own.append(np.reshape(found, (channels, taps, channels)))
    return filters_ILI.swapaxes(1, 2), np.stack(own).swapaxes(2, 3)


@jax.jit
def _gram(correlation_IIL: Array) -> Array:
    """Inner products of all pairs of delayed references, (I L, I L); Toeplitz blocks."""
    references, _, taps = correlation_IIL.shape
    # A correlation at a negative lag is the swapped pair's at the positive one.
    earlier = correlation_IIL.swapaxes(0, 1)[..., :0:-1]
    lags = jnp.concatenate([earlier, correlation_IIL], axis=-1)
    index_LL = np.arange(taps)[:, None] - np.arange(taps) + taps - 1
    blocks = lags[..., index_LL]  # (I, I, L, L)
    return blocks.swapaxes(1, 2).reshape(references * taps, references * taps)


@jax.jit
def _solve(gram: Array, right_side: Array) -> Array:
    ridge = _RIDGE * jnp.trace(gram) / len(gram)
    factor = cho_factor(gram + ridge * jnp.eye(len(gram)), lower=True)
    return cho_solve(factor, right_side)


def _ratios(
    references_IT: np.ndarray,
    estimates_IT: np.ndarray,
    filters_IIL: np.ndarray,
    own_SCCL: np.ndarray,
    window: int,
    hop: int,
) -> np.ndarray:
    """SDR, ISR, SIR and SAR in dB of every window, (4, S, M)."""
    size = _smooth(window + filters_IIL.shape[-1] - 1)
    # Differences from the identity and from the references are small, so float32 spectra
    # of them are accurate enough.
    filters = filters_IIL, own_SCCL
    changes = [np.asarray(_changes(each, size)) for each in filters]
    if max(np.abs(change).max() for change in changes) < _LARGE:
        changes = [change.astype(np.complex64) for change in changes]
    starts_M = np.arange(0, references_IT.shape[1] - window + 1, hop)
    group = -(-_GROUP // window)

    def part_M4S(first: int) -> Array:
        starts = np.resize(starts_M[first : first + group], group)
        windows = (
            sliding_window_view(x, window, axis=1)[:, starts].swapaxes(0, 1)
            for x in (references_IT, estimates_IT)
        )
        return _ratios_of(*windows, *changes, size)

    found = _on_all_cores(part_M4S, range(0, len(starts_M), group))
    return np.concatenate(found)[: len(starts_M)].transpose(1, 2, 0)


@partial(jax.jit, static_argnums=1)
def _changes(filters: Array, size: int) -> Array:
    """Frequency responses of filters (..., I, I, L), minus the identity."""
    return jnp.fft.rfft(filters, size) - jnp.eye(filters.shape[-2])[..., None]


@partial(jax.jit, static_argnums=4)
def _ratios_of(
    references_MIT: Array,
    estimates_MIT: Array,
    change_IIF: Array,
    own_SCCF: Array,
    size: int,
) -> Array:
    """Ratios in dB of a group of windows, (M, 4, S)."""
    windows, references, _ = references_MIT.shape
    sources, channels = own_SCCF.shape[:2]
    error_MIT = estimates_MIT.astype(np.float64) - references_MIT
    true_MIF, error_MIF = (
        jnp.fft.rfft(wave.astype(own_SCCF.real.dtype), size)
        for wave in (references_MIT, error_MIT)
    )
    zero = jnp.zeros((), true_MIF.dtype)
    added_MIF = sum((change_IIF[i] * true_MIF[:, i, None] for i in range(references)), zero)
    true, error, added = (
        x_MIF.reshape(windows, sources, channels, -1)
        for x_MIF in (true_MIF, error_MIF, added_MIF)
    )
    own = sum((own_SCCF[:, c] * true[:, :, c, None] for c in range(channels)), zero)
    pairs = (
        (true, error),
        (true, own),
        (true + own, added - own),
        (true + added, error - added),
    )
    ratio_M4S = jnp.stack([_energy(a, size) / _energy(b, size) for a, b in pairs], axis=1)
    audible_MS = [
        (wave_MIT != 0).reshape(windows, sources, -1).any(-1)
        for wave_MIT in (references_MIT, estimates_MIT)
    ]
    audible_M = (audible_MS[0] & audible_MS[1]).all(-1)
    return jnp.where(audible_M[:, None, None], 10 * jnp.log10(ratio_M4S), jnp.nan)


def _on_all_cores(
    function: Callable[[_Item], Array], items: Iterable[_Item]
) -> list[np.ndarray]:
    """Values of a function for all items, in order, in threads.

    One call would use one core, as the transforms of JAX do.
    """

    def in_float64(item: _Item) -> np.ndarray:
        with jax.enable_x64(True):  # holds for one thread
            return np.asarray(function(item))

    cores = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    with ThreadPoolExecutor(len(cores)) as pool:
        return list(pool.map(in_float64, items))


def _energy(spectrum_MSCF: Array, size: int) -> Array:
    """Energy of each source's wave from half of its spectrum, up to a factor, (M, S)."""
    power_MSF = (spectrum_MSCF.real**2 + spectrum_MSCF.imag**2).sum(2)
    # Bins without a mirrored one count once.
    alone_MS = power_MSF[..., 0] + (power_MSF[..., -1] if size % 2 == 0 else 0)
    return 2 * power_MSF.sum(-1) - alone_MS


def _smooth(size: int) -> int:
    """Smallest number ≥ size without prime factors above 7; such FFTs are fast."""
    while True:
        rest = size
        for prime in (2, 3, 5, 7):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 1
