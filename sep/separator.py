"""The one idea: synthesise(estimate(analyse(mixture))), and the stems sum to it."""

from pathlib import PurePath

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from sep.architectures import ARCHITECTURES
from sep.errors import UserError
from sep.representations import REPRESENTATIONS
from sep.representations.masking import Masking
from sep.representations.spectrogram import Spectrogram

RESIDUAL = "residual"  # name of the output for all that is no named source
REFERENCE_RMS = 2.0**-4  # level that networks are made for
CELL = 1024  # samples over which `share_rest` compares the energies of sources
_SILENCE = 1e-16  # power at the reference level under which nothing is heard

# In `share_rest` K is a sample of a cell.
_POSITION_K = (np.arange(CELL, dtype=np.float32) + 0.5) / CELL - 0.5  # from the centre
_INTERPOLATION_3K = np.stack(
    [np.maximum(-_POSITION_K, 0), 1 - np.abs(_POSITION_K), np.maximum(_POSITION_K, 0)]
)


class Separator(nn.Module):
    """A mixture (B, C, T) in, its sources (B, S, C, T) out; they sum to the mixture.

    Attributes:
      representation: see `sep.representations`.
      architecture: see `sep.architectures`.
      num_sources: S; with a residual that is one more than the named sources.
      dtype: in which the architecture computes; its parameters, and sound, are float32.
      level_free: whether networks see each frame as if it were as loud as any other.
      stereo: whether they see how each channel differs from the others, too.
    """

    representation: nn.Module
    architecture: nn.Module
    num_sources: int
    dtype: str = "float32"
    level_free: bool = False
    stereo: bool = False

    @nn.compact
    def __call__(self, mixture_BCT: Array, beside_BCT: Array | None = None) -> Array:
        """Separates each channel by itself, but for what it knows of others.

        `beside_BCT` are the `others`, for who has only some of the channels here.
        """
        features_BNFK, context = self.representation.analyse(mixture_BCT)
        if self.level_free:
            features_BNFK = level_free(features_BNFK)
        if self.stereo:
            beside_BCT = others(mixture_BCT) if beside_BCT is None else beside_BCT
            between_BNFK = self.representation.between(context, beside_BCT)
            features_BNFK = jnp.concatenate([features_BNFK, between_BNFK], 3)
        features_BNFK = Standardise(name="standardise")(features_BNFK)
        estimates_BNFSK = self.estimate(features_BNFK.astype(self.dtype))
        sources_BSCT = self.representation.synthesise(
            estimates_BNFSK.astype(jnp.float32), context, mixture_BCT.shape[-1]
        )
        # Accelerators round the factors of a product unless they are told not to.
        with jax.default_matmul_precision("highest"):
            return share_rest(mixture_BCT, sources_BSCT)

    def estimate(self, features_BNFK: Array) -> Array:
        """What the architecture says with its parameters in `dtype`."""
        call = nn.map_variables(
            lambda architecture, features_BNFK: architecture(
                features_BNFK,
                num_sources=self.num_sources,
                num_outputs=self.representation.outputs,
            ),
            "params",
            trans_in_fn=lambda params: jax.tree.map(
                lambda array: array.astype(self.dtype), params
            ),
            init=self.is_initializing(),
        )
        return call(self.architecture, features_BNFK)


def others(mixture_CT: Array) -> Array:
    """What is beside each channel (..., C, T): the mean of all others; of mono, itself."""
    channels = mixture_CT.shape[-2]
    if channels == 1:
        return mixture_CT
    return (mixture_CT.sum(-2, keepdims=True) - mixture_CT) / (channels - 1)


def level_free(features_BNFK: Array) -> Array:
    """Frames of zero mean and unit deviation, silent ones aside: how loud is not told.

    Layer normalisation (Ba, Kiros and Hinton 2016) of what a network sees, so that it
    need not learn that a chord is the same chord at any level.
    """
    mean_BN11 = features_BNFK.mean((2, 3), keepdims=True)
    variance_BN11 = features_BNFK.var((2, 3), keepdims=True)
    return (features_BNFK - mean_BN11) * jax.lax.rsqrt(variance_BN11 + 1e-6)


class Standardise(nn.Module):
    """Brings every bin (F, K) to zero mean and unit deviation.

    Both are parameters that start as the statistics of the batch that initialises the
    network (after Salimans and Kingma 2016), so initialise with real mixtures.
    """

    @nn.compact
    def __call__(self, features_BNFK: Array) -> Array:
        mean_FK = self.param("mean", lambda _: features_BNFK.mean((0, 1)))
        # The floor, against bins that happen to be silent, is relative to all bins.
        deviation_FK = self.param(
            "deviation",
            lambda _: features_BNFK.std((0, 1)) + 0.1 * features_BNFK.std() + 1e-6,
        )
        # As a matrix: XLA sums the gradients of both over its rows several times as fast.
        flat = features_BNFK.reshape(-1, mean_FK.size)
        standard = (flat - mean_FK.reshape(-1)) / deviation_FK.reshape(-1)
        return standard.reshape(features_BNFK.shape)


def share_rest(mixture_BCT: Array, sources_BSCT: Array) -> Array:
    """Makes sources (B, S, C, T) sum to the mixture (B, C, T): mixture consistency.

    What is left over goes to the sources in proportion to their energy nearby (cells of
    `CELL` samples, weights interpolated between their centres), so a source that is
    silent stays silent; where all are silent, each gets the same share (Wisdom et al.
    2019, with local weights). Works on NumPy arrays as on JAX's, and differentiates on
    silence.
    """
    xp = sources_BSCT.__array_namespace__()
    batch, sources, channels, length = sources_BSCT.shape
    cells = -(-length // CELL)
    tail = [(0, 0), (0, 0), (0, 0), (0, cells * CELL - length)]
    cells_BSCNK = xp.pad(sources_BSCT, tail).reshape(batch, sources, channels, cells, CELL)
    energy_BSCN = (cells_BSCNK**2).mean(-1)
    total_B1CN = energy_BSCN.sum(1)[:, None]
    heard_B1CN = total_B1CN > _SILENCE  # a division by less has no finite gradient
    weight_BSCN = xp.where(
        heard_B1CN, energy_BSCN / xp.where(heard_B1CN, total_B1CN, 1), 1 / sources
    )
    # Between the centres of cells weights are interpolated: each cell's samples mix its
    # own weight with its neighbours' by distance (a product is fast to differentiate).
    ends = [(0, 0), (0, 0), (0, 0), (1, 1)]
    padded_BSCN = xp.pad(weight_BSCN, ends, mode="edge")
    near_BSCN3 = xp.stack([padded_BSCN[..., i : i + cells] for i in range(3)], -1)
    weight_BSCNK = near_BSCN3 @ _INTERPOLATION_3K
    weight_BSCT = weight_BSCNK.reshape(batch, sources, channels, -1)[..., :length]
    rest_BCT = mixture_BCT - sources_BSCT.sum(1)
    return sources_BSCT + weight_BSCT * rest_BCT[:, None]


def level_gain(rms: float) -> float:
    """The power of two that brings a recording's RMS nearest to `REFERENCE_RMS`.

    A power of two is undone without rounding. Digital silence keeps its level.
    """
    if rms <= 0:
        return 1.0
    return float(2.0 ** np.clip(np.round(np.log2(REFERENCE_RMS / rms)), -120, 120))


def output_names(model) -> tuple[str, ...]:
    """Names of the S outputs, in their order, from the `model` part of a config.

    Raises:
      UserError: they are not different names of files, which stems are written to.
    """
    names = (*model["sources"], *([RESIDUAL] if model["residual"] else []))
    if not names or len(set(names)) < len(names):
        raise UserError(f"model.sources must be different names: {', '.join(names)}")
    for name in names:  # a stranger's model must not write elsewhere either
        if PurePath(name).name != name or name in ("", "..") or not name.isprintable():
            raise UserError(f"model.sources: {name!r} is not a file name")
    return names


def build(model) -> Separator:
    """The separator that the `model` part of a config describes.

    Raises:
      UserError: no representation or architecture has that name; the message lists all.
        Or networks are to see how channels differ, and there is no spectrogram.
    """
    representation = lookup(REPRESENTATIONS, "representation", model["representation"])
    architecture = lookup(ARCHITECTURES, "architecture", model["architecture"])
    if model["stereo"] and not issubclass(representation, Spectrogram):
        known = [n for n, kind in REPRESENTATIONS.items() if issubclass(kind, Spectrogram)]
        raise UserError(f"model.stereo is for spectrograms: {', '.join(sorted(known))}")
    return Separator(
        representation=representation(
            sample_rate=model["sample_rate"], **model[model["representation"]]
        ),
        architecture=architecture(**model[model["architecture"]]),
        num_sources=len(output_names(model)),
        # Masks do without the level; an estimate that is a wave has one of its own.
        level_free=model["level_free"] and issubclass(representation, Masking),
        stereo=model["stereo"],
    )


def in_use(config: dict) -> dict:
    """A config without the settings of representations and architectures not in use."""
    model = config["model"]
    used = {model["representation"], model["architecture"]}
    unused = {*REPRESENTATIONS, *ARCHITECTURES} - used
    return config | {"model": {k: v for k, v in model.items() if k not in unused}}


def lookup(registry: dict, kind: str, name: str):
    """registry[name], or a UserError that lists what there is."""
    if name not in registry:
        raise UserError(f"unknown {kind} {name!r}; known: {', '.join(sorted(registry))}")
    return registry[name]
