"""Augments stems and mixes them, inside the compiled training step.

The augmentation is a chain, `STAGES`, at the end of this file. To add a stage, write one
function of the form `stage(key, waves_SCT, setup) -> waves_SCT`, enter it in `STAGES` with
the next unused key number, and add one field to `DataSettings` that is 0 where the stage
is off. The random draws of all other stages stay as they are.

The key of an example is folded from its number in the whole run, not from its place in a
batch. Settings are constants of the compiled program: a stage that is off (0) is not
compiled. The sources always sum to the mixture.

Shapes: B batch, S source, C channel, T sample, R room, L sample of a room, G and F
frequency (see `filters`).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from sep.data import filters, timbre
from sep.data.filters import decibels, uniform
from sep.data.settings import DataSettings
from sep.data.stems import QUIET
from sep.model.names import REFERENCE_RMS, RESIDUAL

_NOISE_RANGE_DB = 30.0  # of the level of background noise
_NOISE_TILT_DB = 6.0  # its steepest slope per octave
_SPLIT_KEYS = 7  # key numbers below this come from one split, others are folded in


class Setup(NamedTuple):
    """What all stages share.

    Attributes:
      data: strengths of the augmentation.
      names: of the S sources.
      rate: sample rate in Hz.
      rooms_RL: impulse responses; R may be 0.
    """

    data: DataSettings
    names: Sequence[str]
    rate: float
    rooms_RL: Array


class Stage(NamedTuple):
    """A link of the chain.

    Attributes:
      apply: (key, waves_SCT, setup) -> waves_SCT of one example.
      key_number: determines the random key; None for a stage without random draws.
    """

    apply: Callable[[Array, Array, Setup], Array]
    key_number: int | None


def mix(
    key: Array,
    index_B: Array,
    stems_BSCT: Array,
    rooms_RL: Array,
    *,
    data: DataSettings,
    names: Sequence[str],
    sample_rate: float,
) -> tuple[Array, Array]:
    """Makes a random mixture of each example.

    Args:
      key: random key of the run.
      index_B: number of each example in the run.
      stems_BSCT: stems of each example.
      rooms_RL: impulse responses; R may be 0.
      data: strengths of the augmentation.
      names: of the S sources; they determine the timbre, and only a residual gets noise.
      sample_rate: in Hz.

    Returns:
      The mixtures (B, C, T) and their sources (B, S, C, T).

    Raises:
      ValueError: crops have fewer than 2 samples.
    """
    if stems_BSCT.shape[-1] < 2:
        raise ValueError(f"crops need 2 samples or more: {stems_BSCT.shape[-1]}")
    setup = Setup(data, names, sample_rate, rooms_RL)

    def example(index: Array, stems_SCT: Array) -> tuple[Array, Array]:
        return mix_example(jax.random.fold_in(key, index), stems_SCT, setup)

    return jax.vmap(example)(index_B, jnp.asarray(stems_BSCT))


def mix_example(key: Array, stems_SCT: Array, setup: Setup) -> tuple[Array, Array]:
    """Returns a random mixture (C, T) and its sources (S, C, T)."""
    split_keys = list(jax.random.split(key, _SPLIT_KEYS))
    waves_SCT = stems_SCT
    for apply, number in STAGES:
        if number is not None and number < _SPLIT_KEYS:
            stage_key = split_keys[number]
        else:
            stage_key = key if number is None else jax.random.fold_in(key, number)
        waves_SCT = apply(stage_key, waves_SCT, setup)
    return waves_SCT.sum(0), waves_SCT


def to_reference_level(stems_SCT: Array) -> Array:
    """Scales every stem (..., S, C, T) such that their sum has about the reference RMS.

    Stems below `QUIET` are background noise, and are not made as loud as music.
    """
    rms = jnp.sqrt((stems_SCT**2).mean((-2, -1), keepdims=True))
    level = REFERENCE_RMS / np.sqrt(stems_SCT.shape[-3])
    return stems_SCT * level / jnp.maximum(rms, QUIET)


def detune(key: Array, stems_SCT: Array, setup: Setup) -> Array:
    """Adds a second, detuned string to the stems that have one in their timbre."""
    waves, keys = list(stems_SCT), jax.random.split(key, len(setup.names))
    for i, (name, own_key) in enumerate(zip(setup.names, keys, strict=True)):
        if limit := setup.data.timbre_of(name).detune_cents:
            waves[i] = timbre.detune(own_key, waves[i], limit)
    return jnp.stack(waves)


def colour(key: Array, waves_SCT: Array, setup: Setup) -> Array:
    """Applies all linear filters in one transform.

    They are: equaliser, timbre, band limit, diffuse echoes and room.
    """
    data, names, rate, rooms_RL = setup
    strengths = [data.timbre_of(name) for name in names]
    in_rooms = bool(data.room) and rooms_RL.size > 0
    bodies = any(getattr(each, name) for each in strengths for name in timbre.FILTERS)
    sources, channels, samples = waves_SCT.shape
    diffuse = data.diffuse if channels == 2 else 0.0
    if not (in_rooms or bodies or diffuse or data.equaliser_db or data.band_limit):
        return waves_SCT
    equaliser_key, timbre_key, band_key, room_key = jax.random.split(key, 4)
    ringing = rooms_RL.shape[1] * in_rooms + filters.ECHO * bool(diffuse) + 2 * filters.GRID
    length = filters.fft_length(samples + ringing)
    spectrum_SCF = jnp.fft.rfft(waves_SCT, length)
    curve_SG = jnp.zeros((sources, filters.GRID + 1))
    if deviation_db := data.equaliser_db:
        draw = partial(filters.equaliser, deviation_db=deviation_db, rate=rate)
        curve_SG += jax.vmap(draw)(jax.random.split(equaliser_key, sources))
    if bodies:
        power_SG = filters.power(spectrum_SCF)
        timbre_S = jax.random.split(timbre_key, sources)
        curve_SG += timbre.curves(timbre_S, power_SG, strengths, rate)
    if data.band_limit:
        curve_SG += filters.band_limits(band_key, sources, data, rate)
    spectrum_SCF = filters.apply(spectrum_SCF, curve_SG)
    if diffuse:
        diffuse_key = jax.random.fold_in(key, 4)  # leaves the four keys above unchanged
        spectrum_SCF = filters.diffused(diffuse_key, spectrum_SCF, diffuse, rate)
    if in_rooms:
        echo_SL = filters.reverberation(room_key, sources, rooms_RL, data)
        echo_SF = jnp.fft.rfft(echo_SL, length)
        spectrum_SCF = filters.convolve(spectrum_SCF, echo_SF[:, None])
    return jnp.fft.irfft(spectrum_SCF, length)[..., :samples]


def level_sources(_key: Array, waves_SCT: Array, _setup: Setup) -> Array:
    """Brings all sources to the reference level."""
    return to_reference_level(waves_SCT)


def place(key: Array, waves_SCT: Array, setup: Setup) -> Array:
    """Moves stereo sources: scales sides, pans, exchanges channels, or folds to mono.

    The first three are random for each source; by chance, all sources are folded to mono.
    """
    data = setup.data
    sources, channels, _ = waves_SCT.shape
    if channels != 2 or not (data.width or data.pan or data.swap or data.mono):
        return waves_SCT
    keys = jax.random.split(key, 3)
    middle_ST, side_ST = waves_SCT.sum(1) / 2, (waves_SCT[:, 0] - waves_SCT[:, 1]) / 2
    if width := data.width:
        side_ST *= 1 + uniform(keys[0], width, (sources, 1))
    waves_SCT = jnp.stack([middle_ST + side_ST, middle_ST - side_ST], 1)
    if pan := data.pan:  # constant power
        angle_S1 = np.pi / 4 * (1 + uniform(keys[1], pan, (sources, 1)))
        gain_SC1 = np.sqrt(2) * jnp.stack([jnp.cos(angle_S1), jnp.sin(angle_S1)], 1)
        waves_SCT *= gain_SC1
    if chance := data.swap:
        swapped_S11 = jax.random.bernoulli(keys[2], chance, (sources, 1, 1))
        waves_SCT = jnp.where(swapped_S11, waves_SCT[:, ::-1], waves_SCT)
    if chance := data.mono:
        folded = jax.random.bernoulli(jax.random.fold_in(key, len(keys)), chance)
        waves_SCT = jnp.where(folded, waves_SCT.mean(1, keepdims=True), waves_SCT)
    return waves_SCT


def change_gains(key: Array, waves_SCT: Array, setup: Setup) -> Array:
    """Multiplies each source by a random gain of random polarity, or silences it."""
    data, sources = setup.data, len(setup.names)
    keys, shape, gain_S = jax.random.split(key, 3), (sources,), jnp.ones(sources)
    if limit_db := data.gain_db:
        gain_S *= decibels(uniform(keys[0], limit_db, shape))
    if chance := data.polarity:
        gain_S = jnp.where(jax.random.bernoulli(keys[1], chance, shape), -gain_S, gain_S)
    if chance := data.absent:
        gain_S = jnp.where(jax.random.bernoulli(keys[2], chance, shape), 0.0, gain_S)
    return waves_SCT * gain_S[:, None, None]


def add_noise(key: Array, waves_SCT: Array, setup: Setup) -> Array:
    """Adds background noise to the residual, by chance."""
    if RESIDUAL not in setup.names or not setup.data.noise:
        return waves_SCT
    noise_CT = background(key, waves_SCT[0].shape, setup.data, setup.rate)
    return waves_SCT.at[setup.names.index(RESIDUAL)].add(noise_CT)


def background(
    key: Array, shape: tuple[int, ...], data: DataSettings, rate: float
) -> Array:
    """Noise of this shape (C, T) between white and brown, or silence by chance.

    Its level is at most `noise_db` over the reference.
    """
    noise_key, tilt_key, level_key, chance_key = jax.random.split(key, 4)
    length = filters.fft_length(shape[-1] + 2 * filters.GRID)
    spectrum_CF = jnp.fft.rfft(jax.random.normal(noise_key, shape), length)
    tilt_db = -_NOISE_TILT_DB * jax.random.uniform(tilt_key)
    curve_G = tilt_db * filters.octaves_G(rate)
    noise_CT = jnp.fft.irfft(filters.apply(spectrum_CF, curve_G), length)
    noise_CT = noise_CT[:, : shape[-1]]
    rms = jnp.sqrt((noise_CT**2).mean()) + 1e-9
    level_db = data.noise_db - _NOISE_RANGE_DB * jax.random.uniform(level_key)
    is_noisy = jax.random.bernoulli(chance_key, data.noise)
    return noise_CT * (is_noisy * REFERENCE_RMS * decibels(level_db) / rms)


def change_level(key: Array, waves_SCT: Array, setup: Setup) -> Array:
    """Multiplies all sources by one random gain."""
    limit_db = setup.data.level_db
    return waves_SCT * decibels(uniform(key, limit_db)) if limit_db else waves_SCT


def clip(key: Array, waves_SCT: Array, setup: Setup) -> Array:
    """Clips the mixture softly, by chance, at a random limit below its peak.

    The gain (C, T) that clips the mixture is applied to each source, which keeps the sum.
    """
    data = setup.data
    if not (data.clip and data.clip_db):
        return waves_SCT
    mixture_CT = waves_SCT.sum(0)
    limit_key, chance_key = jax.random.split(key)
    below_db = data.clip_db * jax.random.uniform(limit_key)
    limit = jnp.abs(mixture_CT).max() * decibels(-below_db)
    gain_CT = (1 + (mixture_CT / jnp.maximum(limit, 1e-20)) ** 4) ** -0.25
    is_clipped = jax.random.bernoulli(chance_key, data.clip)
    return waves_SCT * jnp.where(is_clipped, gain_CT, 1.0)


STAGES = (  # in order, with the numbers of their random keys; the next unused one is 7
    Stage(detune, 0),
    Stage(colour, 1),
    Stage(level_sources, None),
    Stage(place, 2),
    Stage(change_gains, 3),
    Stage(add_noise, 4),
    Stage(change_level, 5),
    Stage(clip, 6),
)
