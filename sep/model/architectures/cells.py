"""Recurrent cells of one state, and the loop that runs any of them.

A cell is an elementwise function

    cell(projected_BG, recurrent_BG, state_BH) -> state_BH

of the frame's input x W + b, of the state before times the recurrent kernel, h U, and of
that state itself. The loop holds nothing but h U: W lies before it, and the gradients of
W, b and U are single products after it, as in `recurrence`, for the LSTM.

Shapes: B batch, N frame, F features, H state, G = the cell's gates times H.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.nn.initializers import lecun_normal


class Cell(NamedTuple):
    """A recurrent cell."""

    gates: int
    step: Callable[[Array, Array, Array], Array]


def _simple(projected_BH: Array, recurrent_BH: Array, _) -> Array:
    return jnp.tanh(projected_BH + recurrent_BH)


def _gru(projected_BG: Array, recurrent_BG: Array, state_BH: Array) -> Array:
    reset, update, new = jnp.split(projected_BG, 3, -1)
    reset_h, update_h, new_h = jnp.split(recurrent_BG, 3, -1)
    update = jax.nn.sigmoid(update + update_h)
    new = jnp.tanh(new + jax.nn.sigmoid(reset + reset_h) * new_h)
    return update * state_BH + (1 - update) * new


CELLS = {
    "simple": Cell(1, _simple),  # Elman (1990), "Finding Structure in Time"
    "gru": Cell(3, _gru),  # Cho et al. (2014), with the reset after the product
}


def init_cell(key: Array, cell: Cell, num_features: int, hidden: int) -> dict:
    """Parameters of one layer in both directions (D): kernels LeCun normal, biases 0."""
    input_key, recurrent_key = jax.random.split(key)
    kernel, width = lecun_normal(batch_axis=0), cell.gates * hidden
    return {
        "input": kernel(input_key, (2, num_features, width)),
        "recurrent": kernel(recurrent_key, (2, hidden, width)),
        "bias": jnp.zeros((2, width)),
    }


def bidirectional(cell: Cell, params: dict, inputs_BNF: Array) -> Array:
    """States of both directions, (B, N, 2 H); the first half is forward in time.

    Has first derivatives in reverse mode only.
    """
    params = jax.tree.map(lambda x: x.astype(inputs_BNF.dtype), params)
    inputs_NBF = inputs_BNF.swapaxes(0, 1)
    states = [
        _run(
            cell,
            bool(direction),
            inputs_NBF @ params["input"][direction] + params["bias"][direction],
            params["recurrent"][direction],
        )
        for direction in range(2)
    ]
    return jnp.concatenate(states, -1).swapaxes(0, 1)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _run(cell: Cell, reverse: bool, projected_NBG: Array, kernel_HG: Array) -> Array:
    def step(state_BH, projected_BG):
        state_BH = cell.step(projected_BG, state_BH @ kernel_HG, state_BH)
        return state_BH, state_BH

    start_BH = jnp.zeros((projected_NBG.shape[1], len(kernel_HG)), projected_NBG.dtype)
    return lax.scan(step, start_BH, projected_NBG, reverse=reverse)[1]


def _forward(cell, reverse, projected_NBG, kernel_HG):
    states_NBH = _run(cell, reverse, projected_NBG, kernel_HG)
    return states_NBH, (projected_NBG, kernel_HG, states_NBH)


def _backward(cell, reverse, saved, grad_NBH):
    projected_NBG, kernel_HG, states_NBH = saved
    start_1BH = jnp.zeros_like(states_NBH[:1])
    if reverse:
        previous_NBH = jnp.concatenate([states_NBH[1:], start_1BH])
    else:
        previous_NBH = jnp.concatenate([start_1BH, states_NBH[:-1]])
    recurrent_NBG = previous_NBH @ kernel_HG

    def step(grad_state_BH, frame):
        grad_BH, *inputs = frame
        _, back = jax.vjp(cell.step, *inputs)
        projected_BG, recurrent_BG, state_BH = back(grad_state_BH + grad_BH)
        return state_BH + recurrent_BG @ kernel_HG.T, (projected_BG, recurrent_BG)

    frames = (grad_NBH, projected_NBG, recurrent_NBG, previous_NBH)
    _, (grad_projected_NBG, grad_recurrent_NBG) = lax.scan(
        step, start_1BH[0], frames, reverse=not reverse
    )
    grad_kernel_HG = jnp.einsum("nbh,nbg->hg", previous_NBH, grad_recurrent_NBG)
    return grad_projected_NBG, grad_kernel_HG


_run.defvjp(_forward, _backward)
