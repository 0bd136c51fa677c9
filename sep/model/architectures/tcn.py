"""A temporal convolutional network over whole frames."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from sep.model.architectures.framewise import Framewise
from sep.model.architectures.settings import TcnSettings


class Tcn(Framewise):
    """`Framewise` with dilated convolutions along time, after Conv-TasNet.

    Layer i reaches `2 ** (i % dilations)` frames back and ahead (Luo & Mesgarani 2019; here
    not causal, and with layer normalisation).

    Settings:
      dilations: number of layers after which the dilation restarts at 1 frame.
    """

    settings: TcnSettings

    def layer(self, hidden_BNK: Array, index: int) -> Array:
        dilation = 2 ** (index % self.settings.dilations)
        return Dilated(self.settings.width, dilation, name=f"dilated_{index}")(hidden_BNK)


class Dilated(nn.Module):
    """A residual block: dense, depthwise convolution along time, dense.

    Attributes:
      width: K of inputs and outputs; the convolution has 2 K features.
      dilation: frames between the three taps of the convolution.
    """

    width: int
    dilation: int

    @nn.compact
    def __call__(self, hidden_BNK: Array) -> Array:
        batch, frames, width = hidden_BNK.shape
        hidden_MK = hidden_BNK.reshape(batch * frames, width)
        wide_MK = nn.PReLU()(nn.Dense(2 * self.width)(nn.LayerNorm()(hidden_MK)))
        kernel_3K = self.param(
            "depthwise", jax.nn.initializers.normal(3**-0.5), (3, wide_MK.shape[-1])
        )
        wide_BNK = wide_MK.reshape(batch, frames, -1)
        convolved_BNK = depthwise(wide_BNK, kernel_3K, self.dilation)
        convolved_MK = convolved_BNK.reshape(batch * frames, -1)
        convolved_MK = nn.LayerNorm()(nn.PReLU()(convolved_MK))
        return hidden_BNK + nn.Dense(width)(convolved_MK).reshape(hidden_BNK.shape)


def depthwise(inputs_BNK: Array, kernel_LK: Array, dilation: int) -> Array:
    """Convolves each of the K features along time, over L centred frames (L odd).

    A sum of shifted products: XLA's own depthwise convolution is far slower on CPUs.
    """
    frames, reach = inputs_BNK.shape[1], len(kernel_LK) // 2 * dilation
    padded_BNK = jnp.pad(inputs_BNK, [(0, 0), (reach, reach), (0, 0)])
    shifted = [
        padded_BNK[:, i * dilation : i * dilation + frames] for i in range(len(kernel_LK))
    ]
    products = (kernel_K * part for kernel_K, part in zip(kernel_LK, shifted, strict=True))
    return jnp.asarray(sum(products))
