"""How a network begins: its last layer says next to nothing.

So masks start near what they mean without an estimate, the same share for every source,
and not with noise that has to be unlearned first.
"""

from collections.abc import Callable

from jax.nn.initializers import variance_scaling


def faint(batch_axis: tuple[int, ...] = ()) -> Callable:
    """Initialises the kernel of a last layer: a tenth of LeCun normal."""
    return variance_scaling(0.01, "fan_in", "truncated_normal", batch_axis=batch_axis)
