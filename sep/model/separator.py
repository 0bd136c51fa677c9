"""Separators: analyse a mixture, estimate its sources, synthesise them."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from sep.errors import UserError
from sep.model.architectures import ARCHITECTURES
from sep.model.consistency import AnyArray, share_rest
from sep.model.registry import lookup
from sep.model.representations import REPRESENTATIONS
from sep.model.representations.masking import Masking
from sep.model.representations.spectrogram import Spectrogram
from sep.model.settings import ModelSettings


class Separator(nn.Module):
    """Separates a mixture (B, C, T) into sources (B, S, C, T) that sum to it.

    Attributes:
      representation: see `sep.model.representations`.
      architecture: see `sep.model.architectures`.
      num_sources: S; a residual counts as one more source.
      dtype: type in which the architecture computes. Parameters and waves are float32.
      level_free: whether the features of each frame are normalised.
      stereo: whether features include the differences of each channel from the others.
    """

    representation: nn.Module
    architecture: nn.Module
    num_sources: int
    dtype: str = "float32"
    level_free: bool = False
    stereo: bool = False

    @nn.compact
    def __call__(self, mixture_BCT: Array, beside_BCT: Array | None = None) -> Array:
        """Separates channels independently, apart from inter-channel features.

        Args:
          mixture_BCT: at the reference level.
          beside_BCT: the mean of the other channels for each channel; by default it is
            computed by `others`. Pass it if `mixture_BCT` has only some of the channels.
        """
        features_BNFK, context = self.representation.analyse(mixture_BCT)
        if self.level_free:
            features_BNFK = level_free(features_BNFK)
        if self.stereo:
            beside_BCT = others(mixture_BCT) if beside_BCT is None else beside_BCT
            difference_BNFK = self.representation.channel_difference(context, beside_BCT)
            features_BNFK = jnp.concatenate([features_BNFK, difference_BNFK], 3)
        features_BNFK = Standardise(name="standardise")(features_BNFK)
        estimates_BNFSK = self.estimate(features_BNFK.astype(self.dtype))
        sources_BSCT = self.representation.synthesise(
            estimates_BNFSK.astype(jnp.float32), context, mixture_BCT.shape[-1]
        )
        # By default accelerators round the factors of products to fewer bits.
        with jax.default_matmul_precision("highest"):
            return share_rest(mixture_BCT, sources_BSCT)

    def estimate(self, features_BNFK: Array) -> Array:
        """Runs the architecture with its parameters cast to `dtype`."""
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


def others(mixture_CT: AnyArray) -> AnyArray:
    """Returns the mean of all other channels for each channel; mono is returned as it is.

    Args:
      mixture_CT: (..., C, T), a NumPy or JAX array.
    """
    channels = mixture_CT.shape[-2]
    if channels == 1:
        return mixture_CT
    return (mixture_CT.sum(-2, keepdims=True) - mixture_CT) / (channels - 1)


def level_free(features_BNFK: Array) -> Array:
    """Normalises each frame to zero mean and unit deviation, except silent ones.

    This is layer normalisation (Ba, Kiros and Hinton 2016) of a network's input. The
    network need not learn that a chord is the same chord at any level.
    """
    mean_BN11 = features_BNFK.mean((2, 3), keepdims=True)
    variance_BN11 = features_BNFK.var((2, 3), keepdims=True)
    return (features_BNFK - mean_BN11) * jax.lax.rsqrt(variance_BN11 + 1e-6)


class Standardise(nn.Module):
    """Standardises every bin (F, K) to zero mean and unit deviation.

    Mean and deviation are parameters. They are initialised with the statistics of the batch
    that initialises the network (after Salimans and Kingma 2016), which should therefore be
    real mixtures.
    """

    @nn.compact
    def __call__(self, features_BNFK: Array) -> Array:
        mean_FK = self.param("mean", lambda _: features_BNFK.mean((0, 1)))
        # The floor relative to all bins is for bins that are silent in this batch.
        deviation_FK = self.param(
            "deviation",
            lambda _: features_BNFK.std((0, 1)) + 0.1 * features_BNFK.std() + 1e-6,
        )
        # As a matrix: XLA sums the gradients of both over its rows several times as fast.
        flat = features_BNFK.reshape(-1, mean_FK.size)
        standard = (flat - mean_FK.reshape(-1)) / deviation_FK.reshape(-1)
        return standard.reshape(features_BNFK.shape)


def build(model: ModelSettings) -> Separator:
    """Builds the separator that settings describe.

    Raises:
      UserError: the representation or architecture is unknown; the message lists all. Or
        `stereo` is set and the representation is no spectrogram.
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
        raise UserError(
            f"model.stereo needs a spectrogram, not {model.representation}; choose a "
            f"representation of {', '.join(sorted(known))}"
        )
    return Separator(
        representation=kind(model.representation_settings, model.sample_rate),
        architecture=architecture.module_class()(model.architecture_settings),
        num_sources=len(model.outputs),
        # Masks do not depend on the level; estimates that are waves do.
        level_free=model.level_free and issubclass(kind, Masking),
        stereo=model.stereo,
    )
