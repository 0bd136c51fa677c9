"""A dense layer on the last axis of any number, as one product of two matrices.

XLA is slow to make ready products over several axes, which gradients of its weights
are otherwise.
"""

from collections.abc import Callable

import flax.linen as nn
from jax import Array
from jax.nn.initializers import lecun_normal

_INIT = lecun_normal()


def dense(width: int, heard: Array, init: Callable = _INIT) -> Array:
    """`heard` (..., K) becomes (..., width); called within a module, whose layer it is."""
    rows = heard.reshape(-1, heard.shape[-1])
    return nn.Dense(width, kernel_init=init)(rows).reshape(*heard.shape[:-1], width)
