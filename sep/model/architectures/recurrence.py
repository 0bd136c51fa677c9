"""A bidirectional LSTM as pure functions that train fast through `lax.scan`.

The long short-term memory of Hochreiter & Schmidhuber (1997), "Long Short-Term
Memory", with the forget gate of Gers, Schmidhuber & Cummins (2000), "Learning to
Forget: Continual Prediction with LSTM":

    i, f, o = sigmoid(...)      g = tanh(...)      each of x W + h U + b
    c = f c + i g               h = o tanh(c)

Only h U depends on the previous frame. Everything else is computed outside the loop:
x W + b is one product over all frames, and so is the gradient of every weight, because the
backward pass scans only the gradient of the state. Frames are the first axis here, which
makes the data of one step contiguous.

Shapes: B batch, N frame, F feature, H hidden, D direction (0 forward in time, 1 backward),
G = 4H the gates in the order i, f, o, g, K = 2H both directions' states.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.nn.initializers import lecun_normal


def init_bilstm(key: Array, num_features: int, hidden: int) -> dict[str, Array]:
    """Returns parameters of one layer in float32: input_DFG, recurrent_DHG and bias_DG.

    Kernels are LeCun normal. Orthogonal recurrent kernels, the other common choice, need
    LAPACK's QR, and two of these at once in one program can deadlock on a CPU with two
    cores (jaxlib 0.10.2). Biases are one at the forget gate, which makes a new cell keep
    its state (Gers et al.), and zero elsewhere.
    """
    input_key, recurrent_key = jax.random.split(key)
    kernel = lecun_normal(batch_axis=0)
    input_DFG = kernel(input_key, (2, num_features, 4 * hidden))
    recurrent_DHG = kernel(recurrent_key, (2, hidden, 4 * hidden))
    bias_DG = jnp.zeros((2, 4 * hidden)).at[:, hidden : 2 * hidden].set(1.0)
    return {"input": input_DFG, "recurrent": recurrent_DHG, "bias": bias_DG}


def bilstm(params: dict[str, Array], inputs_BNF: Array) -> Array:
    """Runs an LSTM over the frames in both directions and returns outputs_BNK.

    The first H of the K outputs are the states of the forward direction, the others those
    of the backward one. Computes in the inputs' dtype, but cells in float32 at least. Works
    under jit, vmap and grad. Has first derivatives in reverse mode only (no jvp, no
    hessian).
    """
    params = jax.tree.map(lambda x: x.astype(inputs_BNF.dtype), params)
    inputs_NBF = inputs_BNF.swapaxes(0, 1)
    states_DNBH = [
        recur(
            inputs_NBF @ params["input"][direction] + params["bias"][direction],
            params["recurrent"][direction],
            bool(direction),
        )
        for direction in range(2)
    ]
    return jnp.concatenate(states_DNBH, axis=-1).swapaxes(0, 1)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def recur(projected_NBG: Array, kernel_HG: Array, reverse: bool) -> Array:
    """Runs the loop of one direction: projected inputs x W + b to states_NBH."""
    return _scan(projected_NBG, kernel_HG, reverse)[0]


def _scan(
    projected_NBG: Array, kernel_HG: Array, reverse: bool
) -> tuple[Array, Array, tuple[Array, ...]]:
    """Returns states_NBH and, for the gradient, cells_NBH and the four gates."""
    _, batch, width = projected_NBG.shape
    dtype = projected_NBG.dtype
    zeros_BH = jnp.zeros((batch, width // 4), dtype)
    # sigmoid(x) = (1 + tanh(x / 2)) / 2: one tanh computes all four gates.
    scale_G = jnp.repeat(jnp.array([0.5, 0.5, 0.5, 1.0], dtype), width // 4)

    def step(
        carry: tuple[Array, Array], projected_BG: Array
    ) -> tuple[tuple[Array, Array], tuple[Array, Array, tuple[Array, ...]]]:
        state_BH, cell_BH = carry
        gates_BG = projected_BG + state_BH @ kernel_HG
        gates_BG = scale_G * jnp.tanh(scale_G * gates_BG) + (1 - scale_G)
        i, f, o, g = gates = tuple(jnp.split(gates_BG, 4, axis=-1))
        cell_BH = f * cell_BH + i * g
        state_BH = (o * jnp.tanh(cell_BH)).astype(dtype)
        return (state_BH, cell_BH), (state_BH, cell_BH, gates)

    start = zeros_BH, zeros_BH.astype(jnp.promote_types(dtype, jnp.float32))
    return lax.scan(step, start, projected_NBG, reverse=reverse)[1]


Residuals = tuple[Array, Array, tuple[Array, ...], Array]


def _recur_fwd(
    projected_NBG: Array, kernel_HG: Array, reverse: bool
) -> tuple[Array, Residuals]:
    states_NBH, cells_NBH, gates = _scan(projected_NBG, kernel_HG, reverse)
    return states_NBH, (states_NBH, cells_NBH, gates, kernel_HG)


def _recur_bwd(reverse: bool, residuals: Residuals, grad_NBH: Array) -> tuple[Array, Array]:
    """Scans back through time for the gates' gradient; the kernel's is a product of it."""
    states_NBH, cells_NBH, gates, kernel_HG = residuals
    kernel_GH = kernel_HG.T
    start_1BH = jnp.zeros_like(cells_NBH[:1])
    if reverse:
        previous_NBH = jnp.concatenate([cells_NBH[1:], start_1BH])
    else:
        previous_NBH = jnp.concatenate([start_1BH, cells_NBH[:-1]])

    def step(carry: tuple[Array, Array], saved: Any) -> tuple[tuple[Array, Array], Array]:
        grad_state_BH, grad_cell_BH = carry
        grad_BH, (i, f, o, g), cell_BH, previous_BH = saved
        tanh_BH = jnp.tanh(cell_BH)
        grad_state_BH = grad_state_BH + grad_BH
        grad_cell_BH = grad_cell_BH + grad_state_BH * o * (1 - tanh_BH**2)
        grad_gates = (
            grad_cell_BH * g * i * (1 - i),
            grad_cell_BH * previous_BH * f * (1 - f),
            grad_state_BH * tanh_BH * o * (1 - o),
            grad_cell_BH * i * (1 - g**2),
        )
        grad_BG = jnp.concatenate(grad_gates, axis=-1).astype(grad_NBH.dtype)
        return (grad_BG @ kernel_GH, grad_cell_BH * f), grad_BG

    _, grad_NBG = lax.scan(
        step,
        (jnp.zeros_like(grad_NBH[0]), start_1BH[0]),
        (grad_NBH, gates, cells_NBH, previous_NBH),
        reverse=not reverse,
    )
    # Each frame's gates depend on the state of the previous frame.
    before, after = slice(None, -1), slice(1, None)
    if reverse:
        before, after = after, before
    return grad_NBG, jnp.einsum("nbh,nbg->hg", states_NBH[before], grad_NBG[after])


recur.defvjp(_recur_fwd, _recur_bwd)
