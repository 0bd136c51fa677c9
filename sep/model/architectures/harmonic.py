"""A network that hears intervals: what it knows of one pitch it knows of all."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.nn.initializers import variance_scaling

from sep.model.architectures.dense import dense
from sep.model.architectures.dilated import dilated
from sep.model.architectures.memory import kept
from sep.model.architectures.output import faint
from sep.model.architectures.settings import HarmonicSettings

LOWEST = 8  # bin at which the first semitone begins
PARTS = 3  # of a semitone: frequencies in it that are told apart
OCTAVE = 12 * PARTS
# What lies where, in semitones: partials 2 to 8 of a tone; tones of which it is partial
# 2, 3 or 4; how far up and down all blocks listen, neighbours, fifths, octaves, twelfths.
PARTIALS = (12, 19, 24, 28, 31, 34, 36)
FUNDAMENTALS = (-12, -19, -24)
INTERVALS = (1, 7, 12, 19)


class Harmonic(nn.Module):
    """Residual blocks over semitones that listen to fixed intervals, and along time.

    On a logarithmic axis the partials of a tone lie at the same distances whatever its
    pitch, so bins are gathered to semitones, and all semitones share their weights; a bias
    for each says how high it lies. Masks must tell partials apart that lie closer than
    that: estimates are interpolated back to bins, and weighed there with how much each
    bin stands out from its neighbours, by weights that are estimated, too. For features
    whose bins lie at equal distances of frequency. Convolutions over intervals are those of
    Zhang et al. (2020), "Deep Audio Priors Emerge from Harmonic Convolutional Networks".

    Shapes: N frame, F bin, P semitone, R part of a semitone, D numbers a semitone, O output
    (of a source), W weight (of what stands out).

    Attributes:
      width: D.
      depth: how many blocks; each listens twice as far along time as the one before.
      peaks: of how many kinds of features, the first ones, it counts what stands out.
      dropout: share of blocks that an example does without while training (stochastic
        depth, Huang et al. 2016).
    """

    settings: HarmonicSettings

    @nn.compact
    def __call__(
        self, features_BNFK: Array, *, num_sources: int, num_outputs: int
    ) -> Array:
        batch, frames, bins, kinds = features_BNFK.shape
        place_F = place_of_bins(bins)
        semitones = int(place_F[-1]) // PARTS + 1
        parts, outputs = semitones * PARTS, num_sources * num_outputs
        planes_BKNF = jnp.moveaxis(features_BNFK, 3, 1)

        parts_BKNR = gathered(planes_BKNF, gathering(place_F, parts))
        parts_BNRK = jnp.moveaxis(parts_BKNR, 1, 3)
        heard_BNPD = parts_BNRK.reshape(batch, frames, semitones, -1)
        around = (*FUNDAMENTALS, -1, 0, 1, *PARTIALS)
        heard_BNPD = dense(self.settings.width, joined(heard_BNPD, around, (-2, -1, 1, 2)))
        zeros = nn.initializers.zeros
        pitch_PD = self.param("pitch", zeros, heard_BNPD.shape[2:], jnp.float32)
        heard_BNPD = heard_BNPD + pitch_PD.astype(heard_BNPD.dtype)
        for index in range(self.settings.depth):
            heard_BNPD = kept(Block(2**index, self.settings.dropout)(heard_BNPD))
        heard_BNPD = nn.PReLU()(nn.LayerNorm()(heard_BNPD))

        standing_BWNF = jnp.concatenate(
            standing_out(planes_BKNF[:, : self.settings.peaks]), 1
        )
        numbers = outputs * (1 + standing_BWNF.shape[1])
        told_BNPD = dense(PARTS * numbers, heard_BNPD, faint())
        told_BNRD = told_BNPD.reshape(batch, frames, parts, numbers)
        told_BDNF = interpolated(jnp.moveaxis(told_BNRD, 3, 1), place_F)
        told_BOWNF = told_BDNF.reshape(batch, outputs, -1, frames, bins)
        bias_OF = self.param("bias", zeros, (outputs, bins), jnp.float32)
        estimates_BONF = told_BOWNF[:, :, 0] + bias_OF[:, None].astype(told_BOWNF.dtype)
        for weight in range(standing_BWNF.shape[1]):  # (B, O, W, N, F).sum(2) is slow
            estimates_BONF += told_BOWNF[:, :, 1 + weight] * standing_BWNF[:, None, weight]
        estimates_BNFO = jnp.moveaxis(estimates_BONF, 1, 3)
        return estimates_BNFO.reshape(batch, frames, bins, num_sources, num_outputs)


class Block(nn.Module):
    """A residual block that hears both ends of `INTERVALS`, and frames `reach` away."""

    reach: int
    dropout: float

    @nn.compact
    def __call__(self, heard_BNPD: Array) -> Array:
        *_, height, width = heard_BNPD.shape
        normal_BNPD = nn.LayerNorm()(heard_BNPD)
        near_BNPD = dense(width, normal_BNPD, share(1))
        for semitones in [interval for interval in INTERVALS if interval < height]:
            near_BNPD += both_ends(width, 0, semitones)(normal_BNPD)
        near_BNPD += both_ends(width, self.reach, 0)(normal_BNPD)
        added_BNPD = dense(width, nn.PReLU()(near_BNPD))
        training = self.has_rng("dropout")
        whole_examples = nn.Dropout(self.dropout, (1, 2, 3), deterministic=not training)
        return heard_BNPD + whole_examples(added_BNPD)


def both_ends(width: int, frames: int, semitones: int) -> nn.Conv:
    """A convolution that hears what lies so far before or below, and after or above."""
    return nn.Conv(
        width,
        kernel_size=(2, 1) if frames else (1, 2),
        kernel_dilation=(2 * frames or 1, 2 * semitones or 1),
        padding=((frames, frames), (semitones, semitones)),
        use_bias=False,
        kernel_init=share(2),
        conv_general_dilated=dilated,
    )


def share(ends: int) -> Callable:
    """LeCun normal for so many of all that a block adds up."""
    every = 1 + 2 * len(INTERVALS) + 2
    return variance_scaling(ends / every, "fan_in", "truncated_normal")


def joined(heard_BNPD: Array, semitones, frames) -> Array:
    """To each semitone, what lies so many semitones above it, and so many frames after."""
    _, length, height, _ = heard_BNPD.shape
    late, high = max(map(abs, frames)), max(map(abs, semitones))
    padded = jnp.pad(heard_BNPD, [(0, 0), (late, late), (high, high), (0, 0)])
    above = [padded[:, late : late + length, high + i :][:, :, :height] for i in semitones]
    after = [padded[:, late + i :, high : high + height][:, :length] for i in frames]
    return jnp.concatenate(above + after, -1)


def place_of_bins(bins: int) -> np.ndarray:
    """Where each bin lies, in parts of a semitone above the first; (F,)."""
    return OCTAVE * np.log2(np.maximum(np.arange(bins), LOWEST) / LOWEST)


def gathering(place_F: np.ndarray, parts: int) -> np.ndarray:
    """Weights (F, R) of bins in the mean about each part; low parts lie between two."""
    bins = len(place_F)
    bin_R = LOWEST * 2.0 ** (np.arange(parts) / OCTAVE)
    reach_R = np.maximum(bin_R * (2 ** (1 / OCTAVE) - 1), 1)
    bin_R = np.minimum(bin_R, bins - 1)  # the last semitone is rarely whole
    weights_FR = np.maximum(1 - np.abs(np.arange(bins)[:, None] - bin_R) / reach_R, 0)
    return (weights_FR / weights_FR.sum(0)).astype(np.float32)


def gathered(planes_BKNF: Array, weights_FR: np.ndarray) -> Array:
    """Their product, octave by octave: a part hears few bins, and zeros take time."""
    octaves = []
    for first in range(0, weights_FR.shape[1], OCTAVE):
        weights = weights_FR[:, first : first + OCTAVE]
        heard = np.flatnonzero(weights.any(1))
        bins = slice(heard[0], heard[-1] + 1)
        octaves.append(planes_BKNF[..., bins] @ weights[bins].astype(planes_BKNF.dtype))
    return jnp.concatenate(octaves, -1)


def interpolated(told_BDNR: Array, place_F: np.ndarray) -> Array:
    """Values (B, D, N, F) at bins, between parts of a semitone; octave by octave."""
    octaves = []
    for octave in range(int(place_F[-1]) // OCTAVE + 1):
        place = place_F[place_F // OCTAVE == octave]
        near = told_BDNR[..., octave * OCTAVE : (octave + 1) * OCTAVE + 1]
        distance = np.abs(np.arange(near.shape[-1])[:, None] + octave * OCTAVE - place)
        weights = np.maximum(1 - distance, 0)
        weights /= weights.sum(0)  # nothing lies above the last part
        octaves.append(near @ weights.astype(near.dtype))
    return jnp.concatenate(octaves, -1)


def standing_out(planes_BKNF: Array) -> list[Array]:
    """By how much each bin is above its neighbours in frequency, farther ones, in time."""
    padded = jnp.pad(planes_BKNF, [(0, 0), (0, 0), (1, 1), (2, 2)])
    now, here = padded[:, :, 1:-1], padded[..., 2:-2]
    near = (now[..., 1:-3] + now[..., 3:-1]) / 2
    far = (now[..., :-4] + now[..., 4:]) / 2
    other = (here[:, :, :-2] + here[:, :, 2:]) / 2
    return [planes_BKNF - mean for mean in (near, far, other)]
