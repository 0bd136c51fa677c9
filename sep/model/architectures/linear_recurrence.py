"""A linear recurrence along time, computed in parallel: h[n] = a[n] h[n-1] + b[n].

Two steps combine into one step of the same form. A tree of such combinations, of
logarithmic depth in the number of frames, replaces the loop (Blelloch 1990; Martin & Cundy
2018, "Parallelizing Linear Recurrent Neural Nets Over Sequence Length").

Shapes: B batch, N frame, H state.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax


@jax.custom_vjp
def linear_recurrence(decay_BNH: Array, input_BNH: Array) -> Array:
    """Returns all states_BNH from a (decay) and b (input); the initial state is zero.

    Has first derivatives in reverse mode only. To run backward in time, flip N.
    """
    return _scan(decay_BNH, input_BNH, reverse=False)


Step = tuple[Array, Array]


def _scan(decay_BNH: Array, input_BNH: Array, *, reverse: bool) -> Array:
    def combined(first: Step, second: Step) -> Step:
        return first[0] * second[0], second[0] * first[1] + second[1]

    pairs = (decay_BNH, input_BNH)
    return lax.associative_scan(combined, pairs, axis=1, reverse=reverse)[1]


def _forward(decay_BNH: Array, input_BNH: Array) -> tuple[Array, tuple[Array, Array]]:
    states_BNH = linear_recurrence(decay_BNH, input_BNH)
    return states_BNH, (decay_BNH, states_BNH)


def _backward(saved: tuple[Array, Array], grad_BNH: Array) -> tuple[Array, Array]:
    """Computes the gradient: a linear recurrence back in time with the next decays."""
    decay_BNH, states_BNH = saved
    zeros_B1H = jnp.zeros_like(decay_BNH[:, :1])
    next_BNH = jnp.concatenate([decay_BNH[:, 1:], zeros_B1H], 1)
    previous_BNH = jnp.concatenate([zeros_B1H, states_BNH[:, :-1]], 1)
    grad_input_BNH = _scan(next_BNH, grad_BNH, reverse=True)
    return grad_input_BNH * previous_BNH, grad_input_BNH


linear_recurrence.defvjp(_forward, _backward)
