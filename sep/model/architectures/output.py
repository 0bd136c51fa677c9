"""Initialisation of a network's last layer.

Estimates of a new network should be near 0. Masks then start near an even share for every
source instead of noise that training must first remove.
"""

from collections.abc import Callable

from jax.nn.initializers import variance_scaling


def small_init(batch_axis: tuple[int, ...] = ()) -> Callable:
    """Returns an initialiser of the last layer's kernel: a tenth of LeCun normal."""
    return variance_scaling(0.01, "fan_in", "truncated_normal", batch_axis=batch_axis)
