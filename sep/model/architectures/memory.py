"""Gradients that need less memory: only layer outputs are saved, the rest is recomputed.

Chen et al. (2016), "Training Deep Nets with Sublinear Memory Cost".
"""

from collections.abc import Callable

import jax
from jax import Array
from jax.ad_checkpoint import checkpoint_name

_LAYER = "layer"


def saved(output: Array) -> Array:
    """Returns a layer's output, marked as one that `rematerialised` saves."""
    return checkpoint_name(output, _LAYER)


def rematerialised(apply: Callable) -> Callable:
    """Returns `apply` with a gradient that keeps what is `saved`, recomputing the rest."""
    policy = jax.checkpoint_policies.save_only_these_names(_LAYER)
    return jax.checkpoint(apply, policy=policy)
