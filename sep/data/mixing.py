"""Stems to mixtures: the augmentation, pure and jitted with the training step.

An example is augmented by a key of its own, folded from its index in the whole run, and
never by its place in a batch. Every strength is a static number of the config: what is 0
is not even compiled. Whatever is done, the sources sum to the mixture.

Shapes: B batch, S source, C channel, T sample, R room, L sample of a room, G and F
frequency (see `filters`).
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from sep.data import filters, timbre
from sep.data.filters import decibels, uniform
from sep.data.settings import DataSettings
from sep.data.stems import QUIET
from sep.model.names import REFERENCE_RMS, RESIDUAL

_NOISE_RANGE_DB, _NOISE_TILT_DB = 30.0, 6.0  # of background noise; the tilt per octave
_STAGES = ("detune", "colour", "place", "gain", "noise", "level", "clip")


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
    """One random mixture of each example: mixture (B, C, T), sources (B, S, C, T).

    Args:
      key: of the run.
      index_B: number of each example in the run.
      stems_BSCT: of each example.
      rooms_RL: impulse responses, maybe none.
      data: strengths of the augmentation.
      names: of the S sources; they choose the timbre, and only a residual gets noise.
      sample_rate: in Hz.

    Raises:
      ValueError: crops of fewer than 2 samples.
    """
    if stems_BSCT.shape[-1] < 2:
        raise ValueError(f"crops need 2 samples or more: {stems_BSCT.shape[-1]}")

    def example(index, stems_SCT):
        return mix_example(
            jax.random.fold_in(key, index),
            stems_SCT,
            rooms_RL,
            data=data,
            names=names,
            rate=sample_rate,
        )

    return jax.vmap(example)(index_B, jnp.asarray(stems_BSCT))


def mix_example(
    key: Array,
    stems_SCT: Array,
    rooms_RL: Array,
    *,
    data: DataSettings,
    names: Sequence[str],
    rate: float,
) -> tuple[Array, Array]:
    """One random mixture: (C, T), and its sources (S, C, T)."""
    keys = dict(zip(_STAGES, jax.random.split(key, len(_STAGES)), strict=True))
    waves_SCT = detuned(keys["detune"], stems_SCT, names, data)
    waves_SCT = coloured(keys["colour"], waves_SCT, rooms_RL, names, data, rate)
    waves_SCT = placed(keys["place"], to_reference_level(waves_SCT), data)
    waves_SCT *= gains(keys["gain"], len(names), data)[:, None, None]
    if RESIDUAL in names and data.noise:
        noise_CT = background(keys["noise"], waves_SCT[0].shape, data, rate)
        waves_SCT = waves_SCT.at[names.index(RESIDUAL)].add(noise_CT)
    if limit_db := data.level_db:
        waves_SCT *= decibels(uniform(keys["level"], limit_db))
    if data.clip and data.clip_db:
        waves_SCT *= clipping(keys["clip"], waves_SCT.sum(0), data)
    return waves_SCT.sum(0), waves_SCT


def to_reference_level(stems_SCT: Array) -> Array:
    """Every stem (..., S, C, T) at the level where their sum has about reference RMS.

    What is softer than `QUIET` is background noise, and is not made as loud as music.
    """
    rms = jnp.sqrt((stems_SCT**2).mean((-2, -1), keepdims=True))
    level = REFERENCE_RMS / np.sqrt(stems_SCT.shape[-3])
    return stems_SCT * level / jnp.maximum(rms, QUIET)


def detuned(
    key: Array, stems_SCT: Array, names: Sequence[str], data: DataSettings
) -> Array:
    """Stems with a second, detuned string each, where their timbre has one."""
    waves, keys = list(stems_SCT), jax.random.split(key, len(names))
    for i, (name, own) in enumerate(zip(names, keys, strict=True)):
        if limit := data.timbre_of(name).detune_cents:
            waves[i] = timbre.detune(own, waves[i], limit)
    return jnp.stack(waves)


def coloured(
    key: Array,
    waves_SCT: Array,
    rooms_RL: Array,
    names: Sequence[str],
    data: DataSettings,
    rate: float,
) -> Array:
    """All that is linear, in one transform: equaliser, body, band limit, room, width."""
    strengths = [data.timbre_of(name) for name in names]
    in_rooms = bool(data.room) and rooms_RL.size > 0
    bodies = any(getattr(each, name) for each in strengths for name in timbre.FILTERS)
    sources, channels, samples = waves_SCT.shape
    diffuse = channels == 2 and data.diffuse
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
        diffuse_key = jax.random.fold_in(key, 4)  # beside the four, which stay as they were
        spectrum_SCF = filters.diffused(diffuse_key, spectrum_SCF, diffuse, rate)
    if in_rooms:
        echo_SL = filters.reverberation(room_key, sources, rooms_RL, data)
        echo_SF = jnp.fft.rfft(echo_SL, length)
        spectrum_SCF = filters.convolve(spectrum_SCF, echo_SF[:, None])
    return jnp.fft.irfft(spectrum_SCF, length)[..., :samples]


def placed(key: Array, waves_SCT: Array, data: DataSettings) -> Array:
    """Stereo sources at other places: sides scaled, panned, and exchanged by chance.

    Or all in the middle, as in a mono recording.
    """
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


def gains(key: Array, sources: int, data: DataSettings) -> Array:
    """A factor for each source: loudness, polarity, and 0 for who is absent."""
    keys, shape, gain_S = jax.random.split(key, 3), (sources,), jnp.ones(sources)
    if limit_db := data.gain_db:
        gain_S *= decibels(uniform(keys[0], limit_db, shape))
    if chance := data.polarity:
        gain_S = jnp.where(jax.random.bernoulli(keys[1], chance, shape), -gain_S, gain_S)
    if chance := data.absent:
        gain_S = jnp.where(jax.random.bernoulli(keys[2], chance, shape), 0.0, gain_S)
    return gain_S


def background(
    key: Array, shape: tuple[int, int], data: DataSettings, rate: float
) -> Array:
    """Noise (C, T), sometimes: white to brown, at most `noise_db` over the reference."""
    noise_key, tilt_key, level_key, chance_key = jax.random.split(key, 4)
    length = filters.fft_length(shape[-1] + 2 * filters.GRID)
    spectrum_CF = jnp.fft.rfft(jax.random.normal(noise_key, shape), length)
    tilt_db = -_NOISE_TILT_DB * jax.random.uniform(tilt_key)
    curve_G = tilt_db * filters.octaves_G(rate)
    noise_CT = jnp.fft.irfft(filters.apply(spectrum_CF, curve_G), length)
    noise_CT = noise_CT[:, : shape[-1]]
    rms = jnp.sqrt((noise_CT**2).mean()) + 1e-9
    level_db = data.noise_db - _NOISE_RANGE_DB * jax.random.uniform(level_key)
    heard = jax.random.bernoulli(chance_key, data.noise)
    return noise_CT * (heard * REFERENCE_RMS * decibels(level_db) / rms)


def clipping(key: Array, mixture_CT: Array, data: DataSettings) -> Array:
    """The gain (C, T) that clips a mixture softly, sometimes; 1 where it is soft.

    One gain for all sources keeps their sum. The limit lies under the mixture's peak.
    """
    limit_key, chance_key = jax.random.split(key)
    under_db = data.clip_db * jax.random.uniform(limit_key)
    limit = jnp.abs(mixture_CT).max() * decibels(-under_db)
    gain_CT = (1 + (mixture_CT / jnp.maximum(limit, 1e-20)) ** 4) ** -0.25
    return jnp.where(jax.random.bernoulli(chance_key, data.clip), gain_CT, 1.0)
