"""Less memory for gradients: only what layers put out is kept, the rest computed twice.

Chen et al. (2016), "Training Deep Nets with Sublinear Memory Cost".
"""

from collections.abc import Callable

import jax
from jax import Array
from jax.ad_checkpoint import checkpoint_name

_LAYER = "layer"


def kept(output: Array) -> Array:
    """The same array, which `rematerialised` will keep: for what a layer puts out."""
    return checkpoint_name(output, _LAYER)


def rematerialised(apply: Callable) -> Callable:
    """The same function; its gradient keeps what is `kept` and computes the rest again."""
    policy = jax.checkpoint_policies.save_only_these_names(_LAYER)
    return jax.checkpoint(apply, policy=policy)
