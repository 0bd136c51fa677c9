"""The bidirectional LSTM against a NumPy loop, Flax's cell and plain autodiff."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from sep.model.architectures.recurrence import bilstm, init_bilstm

FEATURES, HIDDEN = 7, 5

run = jax.jit(bilstm)


def layer(seed=0, batch=3, num_frames=6):
    """Parameters, inputs and a weight for every output, all random."""
    rng = np.random.default_rng(seed)
    params = {
        "input": 0.4 * rng.standard_normal((2, FEATURES, 4 * HIDDEN), np.float32),
        "recurrent": 0.4 * rng.standard_normal((2, HIDDEN, 4 * HIDDEN), np.float32),
        "bias": 0.3 * rng.standard_normal((2, 4 * HIDDEN), np.float32),
    }
    inputs_BNF = rng.standard_normal((batch, num_frames, FEATURES), np.float32)
    weights_BNK = rng.standard_normal((batch, num_frames, 2 * HIDDEN), np.float32)
    return params, inputs_BNF, weights_BNK


def energy(params, inputs_BNF):
    return jnp.sum(bilstm(params, inputs_BNF) ** 2)


energy_gradients = jax.jit(jax.grad(energy, argnums=(0, 1)))


def stacked(*arrays):
    return np.stack(arrays)


def numpy_bilstm(params, inputs_BNF):
    """One frame, one gate at a time, in float64."""
    params = {name: np.asarray(x, np.float64) for name, x in params.items()}
    x_BNF = np.asarray(inputs_BNF, np.float64)
    outputs_BNK = np.zeros((*x_BNF.shape[:2], 2 * HIDDEN))
    for d, order in enumerate([range(x_BNF.shape[1]), range(x_BNF.shape[1])[::-1]]):
        h = c = np.zeros((len(x_BNF), HIDDEN))
        for n in order:
            gates = x_BNF[:, n] @ params["input"][d] + params["bias"][d]
            i, f, o, g = np.split(gates + h @ params["recurrent"][d], 4, axis=-1)
            i, f, o = (1 / (1 + np.exp(-x)) for x in (i, f, o))
            c = f * c + i * np.tanh(g)
            h = o * np.tanh(c)
            outputs_BNK[:, n, d * HIDDEN : (d + 1) * HIDDEN] = h
    return outputs_BNK


def plain_bilstm(params, inputs_BNF):
    """A scan that JAX differentiates by itself."""

    def direction(d):
        def step(carry, x_BF):
            h, c = carry
            gates = x_BF @ params["input"][d] + h @ params["recurrent"][d]
            i, f, o, g = jnp.split(gates + params["bias"][d], 4, axis=-1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        zeros = jnp.zeros((len(inputs_BNF), HIDDEN))
        inputs_NBF = inputs_BNF.swapaxes(0, 1)
        return lax.scan(step, (zeros, zeros), inputs_NBF, reverse=bool(d))[1]

    return jnp.concatenate([direction(0), direction(1)], axis=-1).swapaxes(0, 1)


def flax_params(params, d):
    """Our weights of direction d under the names of OptimizedLSTMCell."""
    cell = {}
    for q, gate in enumerate("ifog"):
        part = slice(q * HIDDEN, (q + 1) * HIDDEN)
        cell[f"i{gate}"] = {"kernel": params["input"][d, :, part]}
        cell[f"h{gate}"] = {
            "kernel": params["recurrent"][d, :, part],
            "bias": params["bias"][d, part],
        }
    return cell


@pytest.mark.parametrize("num_frames", [1, 6])
def test_equals_a_numpy_loop(num_frames):
    params, inputs_BNF, _ = layer(num_frames=num_frames)
    outputs_BNK = run(params, inputs_BNF)
    assert outputs_BNK.dtype == jnp.float32
    np.testing.assert_allclose(
        outputs_BNK, numpy_bilstm(params, inputs_BNF), rtol=0, atol=1e-5
    )


def test_equals_flax():
    params, inputs_BNF, _ = layer()
    model = nn.Bidirectional(
        nn.RNN(nn.OptimizedLSTMCell(HIDDEN)), nn.RNN(nn.OptimizedLSTMCell(HIDDEN))
    )
    variables = {
        "params": {
            "forward_rnn": {"cell": flax_params(params, 0)},
            "backward_rnn": {"cell": flax_params(params, 1)},
        }
    }
    theirs_BNK = jax.jit(model.apply)(variables, inputs_BNF)
    np.testing.assert_allclose(run(params, inputs_BNF), theirs_BNK, rtol=0, atol=1e-5)


@pytest.mark.parametrize("num_frames", [1, 6])
def test_gradients_equal_autodiff(num_frames):
    params, inputs_BNF, weights_BNK = layer(num_frames=num_frames)

    @jax.jit
    def gradients(params, inputs_BNF):
        def loss(function, params, inputs_BNF):
            return jnp.sum(weights_BNK * function(params, inputs_BNF))

        return [
            jax.grad(partial(loss, function), argnums=(0, 1))(params, inputs_BNF)
            for function in (bilstm, plain_bilstm)
        ]

    ours, plain = jax.device_get(gradients(params, inputs_BNF))
    assert jax.tree.structure(ours) == jax.tree.structure(plain)
    for our, one in zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(our, one, rtol=0, atol=1e-4 * np.max(np.abs(one)))


def test_reversal_swaps_the_directions():
    params, inputs_BNF, _ = layer()
    swapped = jax.tree.map(lambda x: x[::-1], params)
    forward, backward = np.split(np.asarray(run(params, inputs_BNF)), 2, axis=-1)
    mirrored_BNK = run(swapped, inputs_BNF[:, ::-1])[:, ::-1]
    np.testing.assert_allclose(
        mirrored_BNK, np.concatenate([backward, forward], axis=-1), atol=1e-6
    )


def test_vmap_equals_a_loop():
    layers = [layer(seed)[:2] for seed in range(3)]
    ours = jax.jit(jax.vmap(energy_gradients))(*jax.tree.map(stacked, *layers))
    expected = jax.tree.map(stacked, *(energy_gradients(*one) for one in layers))
    for our, one in zip(jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(our, one, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scale", [0.0, 1e4])
def test_gradients_are_finite(scale):
    """At zero, and where every gate is saturated."""
    params, inputs_BNF, _ = layer()
    scaled = jax.tree.map(lambda x: np.float32(scale) * x, (params, inputs_BNF))
    gradients = jax.device_get(energy_gradients(*scaled))
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(gradients))


def test_bfloat16():
    params, inputs_BNF, weights_BNK = layer()

    def loss(params, inputs_BNF):
        outputs_BNK = bilstm(params, inputs_BNF)
        return jnp.sum(weights_BNK * outputs_BNK), outputs_BNK

    step = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))
    full, full_BNK = jax.device_get(step(params, inputs_BNF))
    half, half_BNK = jax.device_get(step(params, inputs_BNF.astype(jnp.bfloat16)))
    assert half_BNK.dtype == half[1].dtype == jnp.bfloat16
    np.testing.assert_allclose(half_BNK.astype(np.float32), full_BNK, atol=0.05)
    for name, gradient in half[0].items():
        assert gradient.dtype == jnp.float32  # the parameters' own
        error = np.linalg.norm(gradient - full[0][name])
        assert error < 0.05 * np.linalg.norm(full[0][name])


def test_initial_parameters():
    init = jax.jit(init_bilstm, static_argnums=(1, 2))
    params = jax.device_get(init(jax.random.key(0), 400, HIDDEN))
    shapes = {name: x.shape for name, x in params.items()}
    assert shapes == {
        "input": (2, 400, 4 * HIDDEN),
        "recurrent": (2, HIDDEN, 4 * HIDDEN),
        "bias": (2, 4 * HIDDEN),
    }
    assert np.std(params["input"]) == pytest.approx(400**-0.5, rel=0.1)
    assert np.std(params["recurrent"]) == pytest.approx(HIDDEN**-0.5, rel=0.2)
    bias_q = params["bias"].reshape(2, 4, HIDDEN)
    assert np.all(bias_q == np.array([0, 1, 0, 0])[:, None])
