"""A linear recurrence along time, in parallel: h[n] = a[n] h[n-1] + b[n].

Two of its steps are one step of the same kind, so a tree of them, as deep as the
logarithm of the number of frames, replaces the loop (Blelloch 1990; Martin & Cundy 2018,
"Parallelizing Linear Recurrent Neural Nets Over Sequence Length").

Shapes: B batch, N frame, H state.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax


@jax.custom_vjp
def linear_recurrence(decay_BNH: Array, input_BNH: Array) -> Array:
    """All states_BNH from a (decay) and b (input), starting at zero before frame 0.

    Has first derivatives in reverse mode only. To run backward in time, flip N.
    """
    return _scan(decay_BNH, input_BNH, reverse=False)


def _scan(decay_BNH: Array, input_BNH: Array, *, reverse: bool) -> Array:
    def joined(first, then):
        return first[0] * then[0], then[0] * first[1] + then[1]

    pairs = (decay_BNH, input_BNH)
    return lax.associative_scan(joined, pairs, axis=1, reverse=reverse)[1]


def _forward(decay_BNH: Array, input_BNH: Array):
    states_BNH = linear_recurrence(decay_BNH, input_BNH)
    return states_BNH, (decay_BNH, states_BNH)


def _backward(saved, grad_BNH: Array):
    """The gradient is a linear recurrence too, back in time, with the next decay."""
    decay_BNH, states_BNH = saved
    nothing_B1H = jnp.zeros_like(decay_BNH[:, :1])
    next_BNH = jnp.concatenate([decay_BNH[:, 1:], nothing_B1H], 1)
    previous_BNH = jnp.concatenate([nothing_B1H, states_BNH[:, :-1]], 1)
    grad_input_BNH = _scan(next_BNH, grad_BNH, reverse=True)
    return grad_input_BNH * previous_BNH, grad_input_BNH


linear_recurrence.defvjp(_forward, _backward)
