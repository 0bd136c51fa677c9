"""A network whose weights are shared by all pitches: convolutions over musical intervals.

Shapes: N frame, F bin, P semitone, R part of a semitone, D feature of a semitone, K feature
of a bin, O output of all sources, W peak feature of a bin.
"""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.nn.initializers import variance_scaling

from sep.model.architectures.dense import dense
from sep.model.architectures.dilated import dilated
from sep.model.architectures.memory import saved
from sep.model.architectures.output import small_init
from sep.model.architectures.settings import HarmonicSettings

LOWEST = 8  # bin at which the first semitone begins
PARTS = 3  # frequency resolution of inputs and outputs, in parts of a semitone
OCTAVE = 12 * PARTS
# Offsets in semitones: partials 2 to 8 of a tone; the fundamentals of which a tone is
# partial 2, 3 or 4; the reach of a block's convolutions up and down, which are neighbours,
# fifths, octaves and twelfths.
PARTIALS = (12, 19, 24, 28, 31, 34, 36)
FUNDAMENTALS = (-12, -19, -24)
INTERVALS = (1, 7, 12, 19)
# Offsets of the copies that the first layer takes as input.
_INPUT_SEMITONES = (*FUNDAMENTALS, -1, 0, 1, *PARTIALS)
_INPUT_FRAMES = (-2, -1, 1, 2)

_ZEROS = nn.initializers.zeros


class Harmonic(nn.Module):
    """Residual blocks over semitones, with convolutions over fixed intervals and time.

    On a logarithmic frequency axis the partials of a tone have the same distances at any
    pitch. Bins are averaged to semitones, and all semitones share their weights; a bias for
    each encodes its pitch. The convolutions over intervals are those of Zhang et al.
    (2020), "Deep Audio Priors Emerge from Harmonic Convolutional Networks".

    Masks must separate partials that are closer than a semitone. Estimates are therefore
    interpolated back to bins, and the bins' differences to their neighbours are added with
    weights that are also estimated. The features' bins must be equally spaced in frequency.

    Settings:
      width: D.
      depth: number of blocks; each reaches twice as far in time as the previous one.
      peaks: number of kinds of features, the first ones, for which differences to
        neighbours are computed.
      dropout: share of blocks that an example skips in training (stochastic depth, Huang et
        al. 2016).
    """

    settings: HarmonicSettings

    @nn.compact
    def __call__(
        self, features_BNFK: Array, *, num_sources: int, num_outputs: int
    ) -> Array:
        batch, frames, bins, _ = features_BNFK.shape
        place_F = place_of_bins(bins)
        planes_BKNF = jnp.moveaxis(features_BNFK, 3, 1)
        hidden_BNPD = self.first_layer(planes_BKNF, place_F)
        for index in range(self.settings.depth):
            hidden_BNPD = saved(Block(2**index, self.settings.dropout)(hidden_BNPD))
        hidden_BNPD = nn.PReLU()(nn.LayerNorm()(hidden_BNPD))
        peaks_BWNF = jnp.concatenate(
            peak_features(planes_BKNF[:, : self.settings.peaks]), 1
        )
        outputs = num_sources * num_outputs
        estimates_BONF = self.last_layer(hidden_BNPD, peaks_BWNF, place_F, outputs)
        estimates_BNFO = jnp.moveaxis(estimates_BONF, 1, 3)
        return estimates_BNFO.reshape(batch, frames, bins, num_sources, num_outputs)

    def first_layer(self, planes_BKNF: Array, place_F: np.ndarray) -> Array:
        """Maps features to semitones with their surroundings, (B, N, P, D)."""
        batch, _, frames, _ = planes_BKNF.shape
        semitones = int(place_F[-1]) // PARTS + 1
        parts_BKNR = to_parts(planes_BKNF, weights_of_parts(place_F, semitones * PARTS))
        parts_BNRK = jnp.moveaxis(parts_BKNR, 1, 3)
        hidden_BNPD = parts_BNRK.reshape(batch, frames, semitones, -1)
        copies_BNPD = shifted_copies(hidden_BNPD, _INPUT_SEMITONES, _INPUT_FRAMES)
        hidden_BNPD = dense(self.settings.width, copies_BNPD)
        pitch_PD = self.param("pitch", _ZEROS, hidden_BNPD.shape[2:], jnp.float32)
        return hidden_BNPD + pitch_PD.astype(hidden_BNPD.dtype)

    def last_layer(
        self, hidden_BNPD: Array, peaks_BWNF: Array, place_F: np.ndarray, outputs: int
    ) -> Array:
        """Maps semitones and peak features to estimates (B, O, N, F)."""
        batch, frames, semitones, _ = hidden_BNPD.shape
        bins, peaks = len(place_F), peaks_BWNF.shape[1]
        values = outputs * (1 + peaks)
        parts_BNPX = dense(PARTS * values, hidden_BNPD, small_init())
        parts_BNRX = parts_BNPX.reshape(batch, frames, semitones * PARTS, values)
        bins_BXNF = to_bins(jnp.moveaxis(parts_BNRX, 3, 1), place_F)
        bins_BOVNF = bins_BXNF.reshape(batch, outputs, -1, frames, bins)
        bias_OF = self.param("bias", _ZEROS, (outputs, bins), jnp.float32)
        estimates_BONF = bins_BOVNF[:, :, 0] + bias_OF[:, None].astype(bins_BOVNF.dtype)
        for peak in range(peaks):  # a sum over an axis of (B, O, W, N, F) is slow
            estimates_BONF += bins_BOVNF[:, :, 1 + peak] * peaks_BWNF[:, None, peak]
        return estimates_BONF


class Block(nn.Module):
    """A residual block of convolutions over `INTERVALS` and over time.

    Attributes:
      reach: frames, back and ahead, that the convolution over time reaches.
      dropout: share of examples that skip the block in training.
    """

    reach: int
    dropout: float

    @nn.compact
    def __call__(self, hidden_BNPD: Array) -> Array:
        *_, height, width = hidden_BNPD.shape
        normal_BNPD = nn.LayerNorm()(hidden_BNPD)
        sum_BNPD = dense(width, normal_BNPD, init_of_summand(1))
        for semitones in [interval for interval in INTERVALS if interval < height]:
            sum_BNPD += two_taps(width, 0, semitones)(normal_BNPD)
        sum_BNPD += two_taps(width, self.reach, 0)(normal_BNPD)
        added_BNPD = dense(width, nn.PReLU()(sum_BNPD))
        training = self.has_rng("dropout")
        drop_examples = nn.Dropout(self.dropout, (1, 2, 3), deterministic=not training)
        return hidden_BNPD + drop_examples(added_BNPD)


def two_taps(width: int, frames: int, semitones: int) -> nn.Conv:
    """Returns a convolution with taps at minus and plus an offset in frames or semitones.

    One of the two offsets is 0.
    """
    return nn.Conv(
        width,
        kernel_size=(2, 1) if frames else (1, 2),
        kernel_dilation=(2 * frames or 1, 2 * semitones or 1),
        padding=((frames, frames), (semitones, semitones)),
        use_bias=False,
        kernel_init=init_of_summand(2),
        conv_general_dilated=dilated,
    )


def init_of_summand(taps: int) -> Callable:
    """Returns an initialiser for a layer with `taps` of all taps that a block adds up.

    Together the layers of a block are LeCun normal.
    """
    all_taps = 1 + 2 * len(INTERVALS) + 2
    return variance_scaling(taps / all_taps, "fan_in", "truncated_normal")


def shifted_copies(
    hidden_BNPD: Array, semitones: Sequence[int], frames: Sequence[int]
) -> Array:
    """Concatenates copies shifted by these semitone offsets and by these frame offsets.

    The D of a semitone at an offset of i are those of the semitone i above, or of the frame
    i later; zeros beyond the ends.
    """
    _, length, height, _ = hidden_BNPD.shape
    late, high = max(map(abs, frames)), max(map(abs, semitones))
    padded = jnp.pad(hidden_BNPD, [(0, 0), (late, late), (high, high), (0, 0)])
    above = [padded[:, late : late + length, high + i :][:, :, :height] for i in semitones]
    after = [padded[:, late + i :, high : high + height][:, :length] for i in frames]
    return jnp.concatenate(above + after, -1)


def place_of_bins(bins: int) -> np.ndarray:
    """Returns the position of each bin, (F,), in parts of a semitone above the first."""
    return OCTAVE * np.log2(np.maximum(np.arange(bins), LOWEST) / LOWEST)


def weights_of_parts(place_F: np.ndarray, parts: int) -> np.ndarray:
    """Returns weights (F, R) of bins in the weighted mean around each part of a semitone.

    Low parts are interpolated between two bins.
    """
    bins = len(place_F)
    bin_R = LOWEST * 2.0 ** (np.arange(parts) / OCTAVE)
    reach_R = np.maximum(bin_R * (2 ** (1 / OCTAVE) - 1), 1)
    bin_R = np.minimum(bin_R, bins - 1)  # the last semitone is rarely complete
    weights_FR = np.maximum(1 - np.abs(np.arange(bins)[:, None] - bin_R) / reach_R, 0)
    return (weights_FR / weights_FR.sum(0)).astype(np.float32)


def to_parts(planes_BKNF: Array, weights_FR: np.ndarray) -> Array:
    """Returns the weighted means (B, K, N, R) around parts of semitones.

    Computed octave by octave: a part has few bins with a weight, and products with zeros
    take time.
    """
    octaves = []
    for first in range(0, weights_FR.shape[1], OCTAVE):
        weights = weights_FR[:, first : first + OCTAVE]
        used = np.flatnonzero(weights.any(1))
        bins = slice(used[0], used[-1] + 1)
        octaves.append(planes_BKNF[..., bins] @ weights[bins].astype(planes_BKNF.dtype))
    return jnp.concatenate(octaves, -1)


def to_bins(parts_BDNR: Array, place_F: np.ndarray) -> Array:
    """Interpolates from parts of semitones to bins, (B, D, N, F), octave by octave."""
    octaves = []
    for octave in range(int(place_F[-1]) // OCTAVE + 1):
        place = place_F[place_F // OCTAVE == octave]
        near = parts_BDNR[..., octave * OCTAVE : (octave + 1) * OCTAVE + 1]
        distance = np.abs(np.arange(near.shape[-1])[:, None] + octave * OCTAVE - place)
        weights = np.maximum(1 - distance, 0)
        weights /= weights.sum(0)  # places above the last part use its value
        octaves.append(near @ weights.astype(near.dtype))
    return jnp.concatenate(octaves, -1)


def peak_features(planes_BKNF: Array) -> list[Array]:
    """Returns each bin's differences to the means of neighbours, each (B, K, N, F).

    The neighbours are the adjacent bins, the next but one, and the adjacent frames.
    """
    padded = jnp.pad(planes_BKNF, [(0, 0), (0, 0), (1, 1), (2, 2)])
    same_frame, same_bin = padded[:, :, 1:-1], padded[..., 2:-2]
    near = (same_frame[..., 1:-3] + same_frame[..., 3:-1]) / 2
    far = (same_frame[..., :-4] + same_frame[..., 4:]) / 2
    in_time = (same_bin[:, :, :-2] + same_bin[:, :, 2:]) / 2
    return [planes_BKNF - mean for mean in (near, far, in_time)]
