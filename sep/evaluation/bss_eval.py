"""BSS Eval v4: how good an estimate is, with filters of the references allowed.

What a filter of the reference (by default 512 taps, from every channel to every channel)
makes of it counts as distortion of space (ISR), what filters of the other references
add as interference (SIR), and the rest as artefacts (SAR); SDR counts all three (Vincent
et al. 2007, Stöter, Liutkus and Ito 2018). One set of filters serves a whole recording;
ratios are taken window by window. The numbers are those of `museval` in its mode v4.

Filters come from normal equations whose matrices have condition numbers of 1e6 to 1e12,
so all is computed in float64, whatever JAX is set to. Energies of filtered windows are
sums over their spectra (Parseval): nothing is transformed back.

Shapes: S source, C channel, T sample, M window, L tap, F bin. I counts the references'
channels together (S times C), J the channels of references and then of estimates.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.linalg import cho_factor, cho_solve
from numpy.lib.stride_tricks import sliding_window_view

TAPS = 512  # of a filter
_BLOCK = 2**13  # samples in a transform for correlations
_BLOCKS = 32  # of them in one call; every call has the same shape, whatever the length
_GROUP = 2**19  # samples, at least, of windows in one call
# Added to the Gram matrix's diagonal, times its mean: dual mono makes it singular.
_RIDGE = 1e-13
# Filters that amplify more than this, and cancel each other, need float64 to the end.
_LARGE = 1e2


class Scores(NamedTuple):
    """Ratios in dB, (S, M) each."""

    sdr: np.ndarray
    isr: np.ndarray
    sir: np.ndarray
    sar: np.ndarray

    def median(self) -> dict[str, np.ndarray]:
        """Of the windows, by name, (S,): what a track scores. NaN where all are NaN."""
        heard_S = ~np.isnan(self.sdr).all(1)
        found = {}
        for name, value_SM in self._asdict().items():
            found[name] = np.full(len(value_SM), np.nan)
            found[name][heard_S] = np.nanmedian(value_SM[heard_S], axis=1)
        return found


def bss_eval(
    references_SCT: np.ndarray,
    estimates_SCT: np.ndarray,
    *,
    window: int,
    hop: int | None = None,
    taps: int = TAPS,
) -> Scores:
    """Scores of every source in every window of `window` samples, `hop` apart.

    A window longer than the recording is the whole recording; samples at the end that do
    not fill a window have no score, though the filters know them. By default windows
    touch. Sources are told apart by their place: nothing is permuted.

    - A window in which a reference or an estimate is digital silence is NaN for all
      sources, as in museval.
    - A source that is silent from end to end is NaN, and for the others as if it were
      not there; museval raises an error.
    - Where references are copies of each other, as the channels of dual mono are, the
      filters are not unique, but what they can make is: scores are those of one copy.
    - A perfect estimate has +inf dB, or about 130 dB where rounding shows.

    Raises:
      ValueError: the shapes differ, or window, hop or taps are not positive.
    """
    if references_SCT.shape != estimates_SCT.shape or references_SCT.ndim != 3:
        raise ValueError(
            f"references and estimates must be (S, C, T) alike: {references_SCT.shape}, "
            f"{estimates_SCT.shape}"
        )
    sources, channels, length = references_SCT.shape
    window = min(window, length)
    hop = window if hop is None else hop
    if min(window, hop, taps) < 1:
        raise ValueError("a window, a hop and a filter have at least one sample")
    heard_S = references_SCT.any((1, 2))
    scores_4SM = np.full((4, sources, (length - window) // hop + 1), np.nan)
    if heard_S.any():  # silent references have no channels in the normal equations
        waves = (
            x_SCT[heard_S].reshape(-1, length) for x_SCT in (references_SCT, estimates_SCT)
        )
        with jax.enable_x64(True):
            scores_4SM[:, heard_S] = _scores(*waves, window, hop, channels, taps)
    return Scores(*scores_4SM)


def _scores(references_IT, estimates_IT, window, hop, channels, taps) -> np.ndarray:
    """SDR, ISR, SIR, SAR (4, S, M), for references with some sound in each."""
    filters = _filters(_correlations(references_IT, estimates_IT, taps), channels)
    return _ratios(references_IT, estimates_IT, *filters, window, hop)


def _correlations(references_IT, estimates_IT, taps: int) -> Array:
    """Of references with all waves, later by 0 to L-1 samples: (I, J, L)."""
    size = max(_BLOCK, 8 * taps)
    span = _BLOCKS * (size - taps + 1)
    length = references_IT.shape[1]

    def part_IJF(start):
        end = start + span + taps - 1
        tail = [(0, 0), (0, max(0, end - length))]
        parts = (np.pad(x[:, start:end], tail) for x in (references_IT, estimates_IT))
        return _cross_spectra(*parts, size, taps)

    total_IJF = sum(_on_all_cores(part_IJF, range(0, length, span)))
    return jnp.fft.irfft(total_IJF)[..., :taps]


@partial(jax.jit, static_argnums=(2, 3))
def _cross_spectra(references_IT, estimates_IT, size: int, taps: int) -> Array:
    """Sums over blocks of spectra's products, (I, J, F); see `_correlations`."""
    waves_JT = jnp.concatenate([references_IT, estimates_IT]).astype(np.float64)
    waves, references = len(waves_JT), len(references_IT)
    step = size - taps + 1  # samples of a block; the others are the next one's

    def add(total_IJF, start):
        block_JT = jax.lax.dynamic_slice(waves_JT, (0, start), (waves, size))
        later_JF = jnp.fft.rfft(block_JT)
        own_IF = jnp.fft.rfft(block_JT[:references, :step], size)
        return total_IJF + own_IF.conj()[:, None] * later_JF, None

    nothing = jnp.zeros((references, waves, size // 2 + 1), jnp.complex128)
    return jax.lax.scan(add, nothing, np.arange(_BLOCKS) * step)[0]


def _filters(correlation_IJL: Array, channels: int) -> tuple[Array, Array]:
    """Of all references (I, I, L), or their own (S, C, C, L), to estimates' channels."""
    references, _, taps = correlation_IJL.shape
    gram = _gram(correlation_IJL[:, :references])
    wanted = correlation_IJL[:, references:].swapaxes(1, 2).reshape(-1, references)
    filters_IIL = _solve(gram, wanted).reshape(references, taps, references)
    own = []
    for first in range(0, references, channels):
        rows = slice(first * taps, (first + channels) * taps)
        found = _solve(gram[rows, rows], wanted[rows, first : first + channels])
        own.append(found.reshape(channels, taps, channels))
    return filters_IIL.swapaxes(1, 2), jnp.stack(own).swapaxes(2, 3)


@jax.jit
def _gram(correlation_IIL: Array) -> Array:
    """Products of all pairs of delayed references, (I L, I L)."""
    references, _, taps = correlation_IIL.shape
    # Lag a - b from the one, b - a from the other: Toeplitz blocks.
    earlier = correlation_IIL.swapaxes(0, 1)[..., :0:-1]
    lags = jnp.concatenate([earlier, correlation_IIL], axis=-1)
    index_LL = np.arange(taps)[:, None] - np.arange(taps) + taps - 1
    blocks = lags[..., index_LL]  # (I, I, L, L)
    return blocks.swapaxes(1, 2).reshape(references * taps, references * taps)


@jax.jit
def _solve(gram: Array, wanted: Array) -> Array:
    ridge = _RIDGE * jnp.trace(gram) / len(gram)
    return cho_solve(cho_factor(gram + ridge * jnp.eye(len(gram)), lower=True), wanted)


def _ratios(references_IT, estimates_IT, filters_IIL, own_SCCL, window, hop) -> np.ndarray:
    """SDR, ISR, SIR, SAR (4, S, M), window by window."""
    size = _smooth(window + filters_IIL.shape[-1] - 1)
    # What filters change, and estimates miss: small numbers, which float32 can hold.
    changes = [_changes(filters, size) for filters in (filters_IIL, own_SCCL)]
    if max(abs(change).max() for change in changes) < _LARGE:
        changes = [change.astype(np.complex64) for change in changes]
    places_M = np.arange(0, references_IT.shape[1] - window + 1, hop)
    group = -(-_GROUP // window)

    def part_M4S(first):
        places = np.resize(places_M[first : first + group], group)
        windows = (
            sliding_window_view(x, window, axis=1)[:, places].swapaxes(0, 1)
            for x in (references_IT, estimates_IT)
        )
        return _ratios_of(*windows, *changes, size)

    found = _on_all_cores(part_M4S, range(0, len(places_M), group))
    return np.concatenate(found)[: len(places_M)].transpose(1, 2, 0)


def _changes(filters: Array, size: int) -> Array:
    """Spectra of what filters (..., I, I, L) add to what they are given."""
    return jnp.fft.rfft(filters, size) - jnp.eye(filters.shape[-2])[..., None]


@partial(jax.jit, static_argnums=4)
def _ratios_of(
    references_MIT: Array, estimates_MIT: Array, change_IIF, own_SCCF, size: int
) -> Array:
    """Ratios in dB (M, 4, S) of some windows."""
    windows, references, _ = references_MIT.shape
    sources, channels = own_SCCF.shape[:2]
    missed_MIT = estimates_MIT.astype(np.float64) - references_MIT
    true_MIF, missed_MIF = (
        jnp.fft.rfft(wave.astype(own_SCCF.real.dtype), size)
        for wave in (references_MIT, missed_MIT)
    )
    added_MIF = sum(change_IIF[i] * true_MIF[:, i, None] for i in range(references))
    true, missed, added = (
        x_MIF.reshape(windows, sources, channels, -1)
        for x_MIF in (true_MIF, missed_MIF, added_MIF)
    )
    own = sum(own_SCCF[:, c] * true[:, :, c, None] for c in range(channels))
    pairs = (
        (true, missed),
        (true, own),
        (true + own, added - own),
        (true + added, missed - added),
    )
    ratio_M4S = jnp.stack([_energy(a, size) / _energy(b, size) for a, b in pairs], axis=1)
    heard_MS = [
        (wave_MIT != 0).reshape(windows, sources, -1).any(-1)
        for wave_MIT in (references_MIT, estimates_MIT)
    ]
    heard_M = (heard_MS[0] & heard_MS[1]).all(-1)
    return jnp.where(heard_M[:, None, None], 10 * jnp.log10(ratio_M4S), jnp.nan)


def _on_all_cores(function, items) -> list[np.ndarray]:
    """The function of every item, in order: the transforms within it use one core each."""

    def in_float64(item):
        with jax.enable_x64(True):  # which each thread has to say
            return np.asarray(function(item))

    cores = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count()))(0)
    with ThreadPoolExecutor(len(cores)) as pool:
        return list(pool.map(in_float64, items))


def _energy(spectrum_MSCF: Array, size: int) -> Array:
    """Of each source's wave (M, S), but for a factor, from half of its spectrum."""
    power_MSF = (spectrum_MSCF.real**2 + spectrum_MSCF.imag**2).sum(2)
    alone_MS = power_MSF[..., 0] + (power_MSF[..., -1] if size % 2 == 0 else 0)
    return 2 * power_MSF.sum(-1) - alone_MS


def _smooth(size: int) -> int:
    """The next number with no prime factor above 7: FFTs of such lengths are fast."""
    while True:
        rest = size
        for prime in (2, 3, 5, 7):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 1
