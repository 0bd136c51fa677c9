"""Linear filters as curves in dB over frequency.

Curves of several filters are added, and one Fourier transform applies the sum. A curve has
`GRID` + 1 values, evenly spaced from 0 Hz to Nyquist. Its filter has zero phase, and its
response is at most `GRID` samples long on either side.

Shapes: S source, C channel, F bin, G grid frequency, K knot, R room, L sample of a room.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from sep.data.settings import DataSettings

Number = float | np.ndarray | Array

GRID = 2048
LOWEST_HZ = 60.0  # below it every curve is constant
ECHO = 4096  # length in samples of the echo that makes channels differ
_DECAY = 0.003, 0.03  # range of the seconds in which it decays to 1/e
_KNOTS = 8  # of the equaliser
_STEEP_DB = 900.0  # slope of a low-pass per octave: 60 dB within 1/15 octave
_CODEC_HZ = 18000.0  # highest cut-off frequency of a low-pass


def octaves_G(rate: float) -> np.ndarray:
    """Grid frequencies in octaves above `LOWEST_HZ`; 0 below it."""
    frequency_G = np.linspace(0, rate / 2, GRID + 1)
    return np.log2(np.maximum(frequency_G, LOWEST_HZ) / LOWEST_HZ).astype(np.float32)


def lines_KG(position_G: np.ndarray, knots: int) -> np.ndarray:
    """Weights of linear interpolation between knots 0 .. knots - 1, constant outside."""
    inside_G = np.clip(position_G, 0, knots - 1)
    weight_KG = np.maximum(1 - np.abs(inside_G - np.arange(knots)[:, None]), 0)
    return weight_KG.astype(np.float32)


def equaliser(key: Array, deviation_db: float, rate: float) -> Array:
    """Random smooth curve (G,): normal values at knots evenly spaced in log frequency."""
    position_G = octaves_G(rate)
    lines = lines_KG(position_G / position_G[-1] * (_KNOTS - 1), _KNOTS)
    return deviation_db * jax.random.normal(key, (_KNOTS,)) @ lines


def low_pass(key: Array, lowest_hz: float, rate: float) -> Array:
    """Steep low-pass (G,) as of a lossy codec, with a cut-off random in log frequency."""
    lowest_hz = max(lowest_hz, LOWEST_HZ)
    low, high = np.log2(np.array([lowest_hz, max(lowest_hz, _CODEC_HZ)]) / LOWEST_HZ)
    cut = jax.random.uniform(key, minval=low, maxval=high)
    above_G = octaves_G(rate) - cut
    return jnp.clip(-_STEEP_DB * above_G, -90.0, 0.0)


def band_limits(key: Array, sources: int, data: DataSettings, rate: float) -> Array:
    """Random low-passes (S, G) in dB; by chance the same for all sources, or none."""

    def limit(key: Array) -> Array:
        cut_key, chance_key = jax.random.split(key)
        curve_G = low_pass(cut_key, data.band_limit_hz, rate)
        return jnp.where(jax.random.bernoulli(chance_key, data.band_limit), curve_G, 0.0)

    return jax.vmap(limit)(shared(key, sources, data.shared))


def fft_length(samples: int) -> int:
    """Smallest sufficient multiple of 2 * `GRID` with a fast transform: 1, 3 or 5 x 2^n."""
    least = -(-samples // (2 * GRID))
    power = 1 << (least - 1).bit_length()  # the next power of two
    return 2 * GRID * min(n for n in (power * 5 // 8, power * 3 // 4, power) if n >= least)


def apply(spectrum_CF: Array, curve_G: Array) -> Array:
    """Applies the filter of a curve (..., G) to a spectrum (..., C, F)."""
    gain_G = decibels(curve_G)
    repeat = (spectrum_CF.shape[-1] - 1) // GRID
    rise_G = jnp.diff(gain_G)[..., None] * (np.arange(repeat, dtype=np.float32) / repeat)
    inner = (gain_G[..., :-1, None] + rise_G).reshape(*gain_G.shape[:-1], -1)
    gain_F = jnp.concatenate([inner, gain_G[..., -1:]], -1)
    return spectrum_CF * gain_F[..., None, :]


def convolve(spectrum_F: Array, other_F: Array) -> Array:
    """Product of spectra in real parts: XLA's complex product is several times slower."""
    a, b, c, d = spectrum_F.real, spectrum_F.imag, other_F.real, other_F.imag
    return jax.lax.complex(a * c - b * d, a * d + b * c)


def diffused(key: Array, spectrum_SCF: Array, share: float, rate: float) -> Array:
    """Widens stereo sources: an echo of the middle is added left, subtracted right.

    Rooms have such an effect; the recording of an instrument alone is rarely so wide. The
    echo is noise that decays within `ECHO` samples. Its level and decay are random, and
    independent for each source.

    Args:
      key: random key.
      spectrum_SCF: spectra of the sources, with 2 channels.
      share: largest RMS gain of the echo.
      rate: sample rate in Hz.
    """

    def echo(key: Array) -> Array:
        level_key, decay_key, noise_key = jax.random.split(key, 3)
        fastest, slowest = np.log(_DECAY)
        decay = jnp.exp(jax.random.uniform(decay_key, minval=fastest, maxval=slowest))
        envelope_L = jnp.exp(-np.arange(ECHO, dtype=np.float32) / (rate * decay))
        echo_L = jax.random.normal(noise_key, (ECHO,)) * envelope_L
        level = share * jax.random.uniform(level_key)
        return level * echo_L / jnp.sqrt((echo_L**2).sum())

    sources, _, bins = spectrum_SCF.shape
    echo_SL = jax.vmap(echo)(jax.random.split(key, sources))
    echo_SF = jnp.fft.rfft(echo_SL, 2 * (bins - 1))
    side_SF = convolve(spectrum_SCF.mean(1), echo_SF)
    return spectrum_SCF + jnp.stack([side_SF, -side_SF], 1)


def reverberation(key: Array, sources: int, rooms_RL: Array, data: DataSettings) -> Array:
    """Impulse responses (S, L): direct sound at index 0, followed by some of a room's.

    Sources that share a room have different distances, hence different gains of the room.
    """
    room_key, distance_key = jax.random.split(key)

    def response(key: Array, distance: Array) -> Array:
        index_key, chance_key = jax.random.split(key)
        room_L = rooms_RL[jax.random.randint(index_key, (), 0, len(rooms_RL))]
        inside = jax.random.bernoulli(chance_key, data.room)
        return (room_L * inside * distance).at[0].set(1.0)

    distance_S = jax.random.uniform(distance_key, (sources,))
    return jax.vmap(response)(shared(room_key, sources, data.shared), distance_S)


def shared(key: Array, sources: int, chance: float) -> Array:
    """Returns a key for each source (S,), or with this chance the same one for all."""
    own_key, same_key = jax.random.split(key)
    same = jax.random.bernoulli(same_key, chance)
    key_S = jax.random.split(own_key, sources)
    return key_S[jnp.where(same, 0, np.arange(sources))]


def power(spectrum_CF: Array) -> Array:
    """Mean power over channels (..., G), in the cell above each grid frequency."""
    square_CF = spectrum_CF.real**2 + spectrum_CF.imag**2
    cells = square_CF[..., :-1].reshape(*square_CF.shape[:-1], GRID, -1)
    mean_G = cells.mean((-3, -1))
    return jnp.concatenate([mean_G, mean_G[..., -1:]], -1)


def decibels(gain_db: Array) -> Array:
    """Amplitude factor of a gain in dB."""
    return 10 ** (gain_db / 20)


def uniform(key: Array, limit: Number, shape: tuple[int, ...] = ()) -> Array:
    """Uniform random numbers from -limit to limit."""
    return jax.random.uniform(key, shape, minval=-limit, maxval=limit)
