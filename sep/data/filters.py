"""Linear filters as curves in dB over frequency: they add, and one transform applies all.

A curve has `GRID` + 1 values, evenly spaced from 0 Hz to Nyquist, and its filter has zero
phase: it rings for `GRID` samples at most, before and after.

Shapes: S source, C channel, F bin, G grid frequency, K knot, R room, L sample of a room.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from sep.data.settings import DataSettings

GRID = 2048
LOWEST_HZ = 60.0  # under it every curve is level
ECHO = 4096  # samples of an echo in which channels differ
_DECAY = 0.003, 0.03  # seconds in which it falls to 1/e
_KNOTS = 8  # of an equaliser
_STEEP_DB = 900.0  # of a low-pass, an octave: 60 dB within a fifteenth of one
_CODEC_HZ = 18000.0  # the highest low-pass


def octaves_G(rate: float) -> np.ndarray:
    """Where the grid lies, in octaves above `LOWEST_HZ`; 0 also under it."""
    frequency_G = np.linspace(0, rate / 2, GRID + 1)
    return np.log2(np.maximum(frequency_G, LOWEST_HZ) / LOWEST_HZ).astype(np.float32)


def lines_KG(position_G: np.ndarray, knots: int) -> np.ndarray:
    """Weights that draw straight lines between knots 0 .. knots - 1, level outside."""
    inside_G = np.clip(position_G, 0, knots - 1)
    weight_KG = np.maximum(1 - np.abs(inside_G - np.arange(knots)[:, None]), 0)
    return weight_KG.astype(np.float32)


def equaliser(key: Array, deviation_db: float, rate: float) -> Array:
    """A random smooth curve (G,): normal at knots evenly spaced in log frequency."""
    position_G = octaves_G(rate)
    lines = lines_KG(position_G / position_G[-1] * (_KNOTS - 1), _KNOTS)
    return deviation_db * jax.random.normal(key, (_KNOTS,)) @ lines


def low_pass(key: Array, lowest_hz: float, rate: float) -> Array:
    """The end of a lossy codec's band (G,): a steep cut, random in log frequency."""
    lowest_hz = max(lowest_hz, LOWEST_HZ)
    low, high = np.log2(np.array([lowest_hz, max(lowest_hz, _CODEC_HZ)]) / LOWEST_HZ)
    cut = jax.random.uniform(key, minval=low, maxval=high)
    above_G = octaves_G(rate) - cut
    return jnp.clip(-_STEEP_DB * above_G, -90.0, 0.0)


def band_limits(key: Array, sources: int, data: DataSettings, rate: float) -> Array:
    """Low-passes (S, G), in dB, of some sources or of all alike."""

    def limit(key):
        cut_key, chance_key = jax.random.split(key)
        curve_G = low_pass(cut_key, data.band_limit_hz, rate)
        return jnp.where(jax.random.bernoulli(chance_key, data.band_limit), curve_G, 0.0)

    return jax.vmap(limit)(shared(key, sources, data.shared))


def fft_length(samples: int) -> int:
    """The next length that the grid divides and that transforms fast: 1, 3, 5 x 2^n."""
    least = -(-samples // (2 * GRID))
    power = 1 << (least - 1).bit_length()  # the next power of two
    return 2 * GRID * min(n for n in (power * 5 // 8, power * 3 // 4, power) if n >= least)


def apply(spectrum_CF: Array, curve_G: Array) -> Array:
    """A spectrum (..., C, F) through the filter of its curve (..., G)."""
    gain_G = decibels(curve_G)
    repeat = (spectrum_CF.shape[-1] - 1) // GRID
    rise_G = jnp.diff(gain_G)[..., None] * (np.arange(repeat, dtype=np.float32) / repeat)
    inner = (gain_G[..., :-1, None] + rise_G).reshape(*gain_G.shape[:-1], -1)
    gain_F = jnp.concatenate([inner, gain_G[..., -1:]], -1)
    return spectrum_CF * gain_F[..., None, :]


def convolve(spectrum_F: Array, other_F: Array) -> Array:
    """The product of spectra, in parts: XLA's complex product is several times slower."""
    a, b, c, d = spectrum_F.real, spectrum_F.imag, other_F.real, other_F.imag
    return jax.lax.complex(a * c - b * d, a * d + b * c)


def diffused(key: Array, spectrum_SCF: Array, share: float, rate: float) -> Array:
    """Stereo sources with sides that are echoes of their middles: wide, as rooms make them.

    So wide is no instrument alone. An echo is noise that dies away within `ECHO` samples,
    of random level and duration, for each source another.
    """

    def echo(key):
        level_key, decay_key, noise_key = jax.random.split(key, 3)
        fastest, slowest = np.log(_DECAY)
        decay = jnp.exp(jax.random.uniform(decay_key, minval=fastest, maxval=slowest))
        dying_L = jnp.exp(-np.arange(ECHO, dtype=np.float32) / (rate * decay))
        echo_L = jax.random.normal(noise_key, (ECHO,)) * dying_L
        level = share * jax.random.uniform(level_key)
        return level * echo_L / jnp.sqrt((echo_L**2).sum())

    sources, _, bins = spectrum_SCF.shape
    echo_SL = jax.vmap(echo)(jax.random.split(key, sources))
    echo_SF = jnp.fft.rfft(echo_SL, 2 * (bins - 1))
    side_SF = convolve(spectrum_SCF.mean(1), echo_SF)
    return spectrum_SCF + jnp.stack([side_SF, -side_SF], 1)


def reverberation(key: Array, sources: int, rooms_RL: Array, data: DataSettings) -> Array:
    """Impulse responses (S, L): the direct path at 0, and some of a room after it.

    Sources that share a room stand at different distances in it.
    """
    room_key, distance_key = jax.random.split(key)

    def response(key, distance):
        index_key, chance_key = jax.random.split(key)
        room_L = rooms_RL[jax.random.randint(index_key, (), 0, len(rooms_RL))]
        inside = jax.random.bernoulli(chance_key, data.room)
        return (room_L * inside * distance).at[0].set(1.0)

    distance_S = jax.random.uniform(distance_key, (sources,))
    return jax.vmap(response)(shared(room_key, sources, data.shared), distance_S)


def shared(key: Array, sources: int, chance: float) -> Array:
    """A key for each source, or by this chance the same one for all; (S,)."""
    own_key, same_key = jax.random.split(key)
    same = jax.random.bernoulli(same_key, chance)
    key_S = jax.random.split(own_key, sources)
    return key_S[jnp.where(same, 0, np.arange(sources))]


def power(spectrum_CF: Array) -> Array:
    """Power on the grid (..., G), of all channels; above each grid frequency its cell."""
    square_CF = spectrum_CF.real**2 + spectrum_CF.imag**2
    cells = square_CF[..., :-1].reshape(*square_CF.shape[:-1], GRID, -1)
    mean_G = cells.mean((-3, -1))
    return jnp.concatenate([mean_G, mean_G[..., -1:]], -1)


def decibels(gain_db: Array) -> Array:
    """Amplitude factor of a gain in dB."""
    return 10 ** (gain_db / 20)


def uniform(key: Array, limit: float, shape: tuple[int, ...] = ()) -> Array:
    """Numbers between -limit and limit."""
    return jax.random.uniform(key, shape, minval=-limit, maxval=limit)
