"""A dense layer on the last axis of an array of any rank, as a product of two matrices.

XLA compiles products over several axes slowly, and gradients of the weights would be such
products.
"""

from collections.abc import Callable

import flax.linen as nn
from jax import Array
from jax.nn.initializers import lecun_normal

_INIT = lecun_normal()


def dense(width: int, inputs: Array, init: Callable = _INIT) -> Array:
    """Maps inputs (..., K) to (..., width).

    Called within a Flax module, to which the layer belongs.
    """
    rows = inputs.reshape(-1, inputs.shape[-1])
    return nn.Dense(width, kernel_init=init)(rows).reshape(*inputs.shape[:-1], width)
