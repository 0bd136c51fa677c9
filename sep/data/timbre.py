"""Makes one instrument sound like others: body, brightness, formants and strings.

A network that is trained on a few instruments fits these. Therefore the fixed properties
of an instrument are drawn again for each example. The resonances of a body, especially a
violin's, are narrow peaks on a slope with one broad rise at 2 to 3.5 kHz, the bridge hill
(Dünnwald 1991; Jansson 1997). A body of another size shifts the spectral envelope.

Strengths are `TimbreSettings`; what is 0 is not compiled.

Shapes: S source, C channel, T sample, G grid frequency (see `filters`), P peak, K band,
N block.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from sep.data.filters import GRID, LOWEST_HZ, Number, lines_KG, octaves_G, uniform
from sep.data.settings import TimbreSettings

FILTERS = ("body_db", "tilt_db", "formant_semitones")  # settings that are filters
# Bodies have narrow peaks and, last, the bridge hill. Widths are deviations in octaves.
_PEAKS = 24
_BODY_HZ, _HILL_HZ = (200.0, 6000.0), (2000.0, 3500.0)
_PEAK_WIDTH, _HILL_WIDTH = (0.04, 0.25), (0.3, 0.5)
_CENTRE_HZ = 1000.0  # frequency at which a tilt is 0 dB
_BANDS = 6  # of a spectral envelope, per octave
_SMOOTH, _SMOOTH_HZ = 0.25, 300.0  # reach of smoothing to each side: octaves, Hz
_RANGE_DB = 40.0  # of an envelope below its peak; lower values are noise
_FORMANT_LIMIT_DB = 15.0
_BLOCK = 128  # most samples for which a detuned copy has one whole-sample delay


def curves(
    key_S: Array, power_SG: Array, strengths: Sequence[TimbreSettings], rate: float
) -> Array:
    """Random filters that change the timbre of each source: (S, G) in dB.

    Args:
      key_S: random keys.
      power_SG: power spectra of the sources.
      strengths: settings of each source; with 0 it is not changed.
      rate: sample rate in Hz.
    """
    body_S, tilt_S, shift_S = (
        np.array([getattr(each, name) for each in strengths], np.float32)
        for name in FILTERS
    )

    def one(
        key: Array, power_G: Array, body_db: Number, tilt_db: Number, semitones: Number
    ) -> Array:
        body_key, tilt_key, formant_key = jax.random.split(key, 3)
        total_G = jnp.zeros(GRID + 1)
        if body_S.any():
            total_G += body(body_key, body_db, rate)
        if tilt_S.any():
            total_G += uniform(tilt_key, tilt_db) * tilt(rate)
        if shift_S.any():
            octaves = uniform(formant_key, semitones) / 12
            total_G += formant_shift(power_G, octaves, rate)
        return total_G

    return jax.vmap(one)(key_S, power_SG, body_S, tilt_S, shift_S)


def body(key: Array, deviation_db: Number, rate: float) -> Array:
    """Resonances of a random body, (G,) in dB, whose peaks have this deviation."""
    gain_key, *keys = jax.random.split(key, 5)
    peak_P, hill = _log_uniform(keys[0], _BODY_HZ, _PEAKS), _log_uniform(keys[1], _HILL_HZ)
    centre_P = jnp.log2(jnp.append(peak_P, hill) / LOWEST_HZ)
    width_P = jnp.append(
        _log_uniform(keys[2], _PEAK_WIDTH, _PEAKS), _log_uniform(keys[3], _HILL_WIDTH)
    )
    gain_P = jax.random.normal(gain_key, (_PEAKS + 1,)) * deviation_db
    distance_PG = (octaves_G(rate) - centre_P[:, None]) / width_P[:, None]
    return gain_P @ jnp.exp(-0.5 * distance_PG**2)


def tilt(rate: float) -> np.ndarray:
    """Slope (G,) of 1 dB per octave, 0 dB at `_CENTRE_HZ`."""
    return octaves_G(rate) - np.float32(np.log2(_CENTRE_HZ / LOWEST_HZ))


def formant_shift(power_G: Array, octaves: Array, rate: float) -> Array:
    """Filter (G,), in dB, that shifts the spectral envelope up; the pitch does not change.

    The envelope is that of the whole crop: the body is the same for every note, and many
    notes together fill the gaps between the harmonics of each. It is the mean over nearby
    peaks, which are the values above the local average.

    Args:
      power_G: power spectrum of the crop.
      octaves: shift of the envelope.
      rate: sample rate in Hz.
    """
    position_G = octaves_G(rate) * _BANDS  # in bands, evenly spaced in log frequency
    bands = int(position_G[-1]) + 1
    lines = lines_KG(position_G, bands)
    near_KG = _nearby(position_G, bands)
    local_G = (near_KG @ power_G) @ lines
    peak_G = power_G >= 0.9 * local_G
    envelope_K = (near_KG @ (power_G * peak_G)) / (near_KG @ peak_G + 1e-9)
    envelope_K = 10 * jnp.log10(envelope_K + 1e-20)
    # Below the lowest note the envelope is unknown. It is continued there with the value a
    # little above the frequency at which that note rises from the noise.
    lowest = jnp.argmax(envelope_K > envelope_K.max() - _RANGE_DB / 2) + _BANDS // 3
    level_K = jnp.where(np.arange(bands) < lowest, envelope_K[lowest], envelope_K)
    level_K = jnp.maximum(level_K, level_K.max() - _RANGE_DB)
    moved_K = jnp.interp(np.arange(bands) - octaves * _BANDS, np.arange(bands), level_K)
    change_K = jnp.clip(moved_K - level_K, -_FORMANT_LIMIT_DB, _FORMANT_LIMIT_DB)
    return change_K @ lines


def _nearby(position_G: np.ndarray, bands: int) -> np.ndarray:
    """Weights (K, G) of an average around each band, wide enough for several harmonics."""
    band_K1 = np.arange(bands)[:, None]
    frequency_K1 = LOWEST_HZ * 2 ** (band_K1 / _BANDS)
    reach_K1 = np.maximum(_SMOOTH, np.log2(1 + _SMOOTH_HZ / frequency_K1)) * _BANDS
    weight_KG = np.maximum(1 - np.abs(position_G - band_K1) / reach_K1, 0)
    weight_KG = weight_KG * (position_G > 0) + 1e-9
    return (weight_KG / weight_KG.sum(1, keepdims=True)).astype(np.float32)


def detune(key: Array, wave_CT: Array, limit_cents: float) -> Array:
    """Adds a second string, a few cents off, that beats with the first: (C, T).

    The second string is a copy that is at most as loud as the original. It is played
    slower or faster, and coincides with the original in the middle of the crop: its delay
    is never more than milliseconds.
    """
    cents_key, gain_key = jax.random.split(key)
    slope = 2 ** (uniform(cents_key, limit_cents) / 1200) - 1
    most = 2 ** (limit_cents / 1200) - 1
    channels, length = wave_CT.shape
    size = int(
        np.clip(1 / most, 1, _BLOCK)
    )  # in a block the copy drifts by a sample at most
    blocks = -(-length // size)
    margin = int(most * (length / 2 + size)) + 3
    after = margin + blocks * size - length
    padded_CT = jnp.pad(wave_CT, [(0, 0), (margin, after)])
    start_N = np.arange(blocks) * size
    # The copy's position is the original's plus a drift, rounded down at mid-block.
    drift_N = slope * (start_N + size / 2 - length / 2)
    base_N = jnp.floor(drift_N).astype(jnp.int32)

    def piece(start: Array | np.ndarray) -> Array:
        return jax.lax.dynamic_slice_in_dim(padded_CT, start, size + 3, 1)

    pieces_NCT = jax.vmap(piece)(start_N + base_N + margin - 1)
    within_T = slope * (np.arange(size, dtype=np.float32) - size / 2)
    x_N1T = (drift_N - base_N)[:, None, None] + within_T
    copy_NCT = sum(
        weight * pieces_NCT[..., tap : tap + size]
        for tap, weight in enumerate(_cubic(x_N1T))
    )
    copy_CT = jnp.swapaxes(copy_NCT, 0, 1).reshape(channels, -1)[:, :length]
    return wave_CT + jax.random.uniform(gain_key) * copy_CT


def _log_uniform(key: Array, limits: tuple[float, float], count: int = 1) -> Array:
    low, high = np.log(limits)
    return jnp.exp(jax.random.uniform(key, (count,), minval=low, maxval=high))


def _cubic(x: Array) -> tuple[Array, ...]:
    """Lagrange weights of the samples at -1, 0, 1, 2 for the value at x, -1 <= x <= 2."""
    return (
        x * (x - 1) * (2 - x) / 6,
        (x + 1) * (x - 1) * (x - 2) / 2,
        (x + 1) * x * (2 - x) / 2,
        (x + 1) * x * (x - 1) / 6,
    )
