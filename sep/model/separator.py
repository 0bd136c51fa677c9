"""The one idea: synthesise(estimate(analyse(mixture))), and the stems sum to it."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from sep.errors import UserError
from sep.model.architectures import ARCHITECTURES
from sep.model.consistency import share_rest
from sep.model.registry import lookup
from sep.model.representations import REPRESENTATIONS
from sep.model.representations.masking import Masking
from sep.model.representations.spectrogram import Spectrogram
from sep.model.settings import ModelSettings


class Separator(nn.Module):
    """A mixture (B, C, T) in, its sources (B, S, C, T) out; they sum to the mixture.

    Attributes:
      representation: see `sep.model.representations`.
      architecture: see `sep.model.architectures`.
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


def build(model: ModelSettings) -> Separator:
    """The separator that the settings describe.

    Raises:
      UserError: no representation or architecture has that name; the message lists all.
        Or `stereo` is set for a representation that is no spectrogram.
    """
    representation = lookup(REPRESENTATIONS, "representation", model.representation)
    architecture = lookup(ARCHITECTURES, "architecture", model.architecture)
    kind = representation.module_class()
    if model.stereo and not issubclass(kind, Spectrogram):
        known = [
            name
            for name, entry in REPRESENTATIONS.items()
            if issubclass(entry.module_class(), Spectrogram)
        ]
        raise UserError(f"model.stereo is for spectrograms: {', '.join(sorted(known))}")
    return Separator(
        representation=kind(model.representation_settings, model.sample_rate),
        architecture=architecture.module_class()(model.architecture_settings),
        num_sources=len(model.outputs),
        # Masks do not depend on the level; an estimate that is a wave does.
        level_free=model.level_free and issubclass(kind, Masking),
        stereo=model.stereo,
    )
