"""A temporal convolutional network over whole frames."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from sep.model.architectures.framewise import Framewise
from sep.model.architectures.settings import TcnSettings


class Tcn(Framewise):
    """`Framewise`, listening with dilated convolutions, after Conv-TasNet.

    Layer i looks `2 ** (i % dilations)` frames back and ahead (Luo & Mesgarani 2019; not
    causal, with layer normalisation).

    Attributes:
      dilations: layers after which the dilation starts again at 1 frame.
    """

    settings: TcnSettings

    def layer(self, heard_BNK: Array, index: int) -> Array:
        return Dilated(
            self.settings.width,
            2 ** (index % self.settings.dilations),
            name=f"dilated_{index}",
        )(heard_BNK)


class Dilated(nn.Module):
    """A residual block: dense, depthwise along time, dense.

    Attributes:
      width: K of what it hears and says; twice as many within.
      dilation: frames between the three that the depthwise convolution sees.
    """

    width: int
    dilation: int

    @nn.compact
    def __call__(self, heard_BNK: Array) -> Array:
        batch, frames, width = heard_BNK.shape
        heard_MK = heard_BNK.reshape(batch * frames, width)
        wide_MK = nn.PReLU()(nn.Dense(2 * self.width)(nn.LayerNorm()(heard_MK)))
        kernel_3K = self.param(
            "depthwise", jax.nn.initializers.normal(3**-0.5), (3, wide_MK.shape[-1])
        )
        seen_BNK = depthwise(wide_MK.reshape(batch, frames, -1), kernel_3K, self.dilation)
        seen_MK = nn.LayerNorm()(nn.PReLU()(seen_BNK.reshape(batch * frames, -1)))
        return heard_BNK + nn.Dense(width)(seen_MK).reshape(heard_BNK.shape)


def depthwise(heard_BNK: Array, kernel_LK: Array, dilation: int) -> Array:
    """Convolves each of the K alone along time, over L frames centred on each (L odd).

    Shifted products and sums: on CPUs XLA's own depthwise convolution is far slower.
    """
    frames, reach = heard_BNK.shape[1], len(kernel_LK) // 2 * dilation
    padded_BNK = jnp.pad(heard_BNK, [(0, 0), (reach, reach), (0, 0)])
    shifted = [
        padded_BNK[:, i * dilation : i * dilation + frames] for i in range(len(kernel_LK))
    ]
    return sum(
        kernel_K * part_BNK for kernel_K, part_BNK in zip(kernel_LK, shifted, strict=True)
    )
