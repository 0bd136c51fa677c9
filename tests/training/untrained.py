"""States and parameters of numbers: an initialisation would have to be compiled."""

from typing import Any

import jax
import numpy as np


def filled(shapes: Any) -> Any:
    """Returns arrays of these shapes and types: the same in all processes.

    Numbers are near 0.5 and -0.5, or 0 if they are integers.
    """

    def fill(shape: jax.ShapeDtypeStruct) -> np.ndarray:
        random = np.random.default_rng(0)
        values = 0.5 + 0.02 * random.standard_normal(shape.shape)
        values *= np.where(random.random(shape.shape) < 0.5, -1, 1)
        return values.astype(shape.dtype)

    return jax.tree.map(fill, shapes)


def parameters(separator: Any) -> Any:
    """Returns parameters of a separator of mono recordings."""
    mixture_BCT = jax.ShapeDtypeStruct((1, 1, 2000), np.float32)
    shapes = jax.eval_shape(separator.init, jax.random.key(0), mixture_BCT)
    return filled(shapes["params"])
