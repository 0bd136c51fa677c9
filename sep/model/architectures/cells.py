"""Recurrent cells with one state, and a loop that runs any of them.

A cell is an elementwise function

    cell(projected_BG, recurrent_BG, state_BH) -> state_BH

of the frame's projected input x W + b, of the previous state times the recurrent kernel,
h U, and of the previous state itself. The loop computes only h U. The product with W
precedes it, and the gradients of W, b and U are single products after it, as in
`recurrence` for the LSTM.

Shapes: B batch, N frame, F feature, H state, G = the cell's gates times H.
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


def _simple(projected_BH: Array, recurrent_BH: Array, _: Array) -> Array:
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


def init_cell(key: Array, cell: Cell, num_features: int, hidden: int) -> dict[str, Array]:
    """Returns parameters of a layer in both directions: LeCun normal kernels, zero biases.

    All have the direction as their first axis.
    """
    input_key, recurrent_key = jax.random.split(key)
    kernel, width = lecun_normal(batch_axis=0), cell.gates * hidden
    return {
        "input": kernel(input_key, (2, num_features, width)),
        "recurrent": kernel(recurrent_key, (2, hidden, width)),
        "bias": jnp.zeros((2, width)),
    }


def bidirectional(cell: Cell, params: dict[str, Array], inputs_BNF: Array) -> Array:
    """Returns the states of both directions, (B, N, 2 H); the first half is forward.

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
    def step(state_BH: Array, projected_BG: Array) -> tuple[Array, Array]:
        state_BH = cell.step(projected_BG, state_BH @ kernel_HG, state_BH)
        return state_BH, state_BH

    start_BH = jnp.zeros((projected_NBG.shape[1], len(kernel_HG)), projected_NBG.dtype)
    return lax.scan(step, start_BH, projected_NBG, reverse=reverse)[1]


Saved = tuple[Array, Array, Array]


def _forward(
    cell: Cell, reverse: bool, projected_NBG: Array, kernel_HG: Array
) -> tuple[Array, Saved]:
    states_NBH = _run(cell, reverse, projected_NBG, kernel_HG)
    return states_NBH, (projected_NBG, kernel_HG, states_NBH)


def _backward(
    cell: Cell, reverse: bool, saved: Saved, grad_NBH: Array
) -> tuple[Array, Array]:
    projected_NBG, kernel_HG, states_NBH = saved
    start_1BH = jnp.zeros_like(states_NBH[:1])
    if reverse:
        previous_NBH = jnp.concatenate([states_NBH[1:], start_1BH])
    else:
        previous_NBH = jnp.concatenate([start_1BH, states_NBH[:-1]])
    recurrent_NBG = previous_NBH @ kernel_HG

    def step(
        grad_state_BH: Array, frame: tuple[Array, ...]
    ) -> tuple[Array, tuple[Array, Array]]:
        grad_BH, *inputs = frame
        _, vjp = jax.vjp(cell.step, *inputs)
        projected_BG, recurrent_BG, state_BH = vjp(grad_state_BH + grad_BH)
        return state_BH + recurrent_BG @ kernel_HG.T, (projected_BG, recurrent_BG)

    frames = (grad_NBH, projected_NBG, recurrent_NBG, previous_NBH)
    _, (grad_projected_NBG, grad_recurrent_NBG) = lax.scan(
        step, start_1BH[0], frames, reverse=not reverse
    )
    grad_kernel_HG = jnp.einsum("nbh,nbg->hg", previous_NBH, grad_recurrent_NBG)
    return grad_projected_NBG, grad_kernel_HG


_run.defvjp(_forward, _backward)
