"""Costs counted in jaxprs, against what is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from builders import small_model
from jax.sharding import AbstractMesh, AxisType, PartitionSpec

from sep.model.architectures.linear_recurrence import linear_recurrence
from sep.model.separator import build
from sep.model.settings import SeparationSettings
from sep.runtime.settings import changed
from sep.training.flops import flops, of_second, of_step
from sep.training.settings import RunSettings
from sep.training.step import init_state, make_optimiser, make_train_step, mix_of


def ones(*shape):
    return jnp.ones(shape)


def test_products_count_twice_their_size():
    assert flops(jnp.dot, ones(3, 5), ones(5, 7)) == 2 * 3 * 5 * 7
    batched = flops(lambda a, b: a @ b, ones(4, 3, 5), ones(4, 5, 7))
    assert batched == 4 * 2 * 3 * 5 * 7


def test_loops_count_as_often_as_they_run():
    def looped(x):
        return jax.lax.scan(lambda carry, _: (carry @ carry, None), x, length=10)[0]

    assert flops(looped, ones(6, 6)) == 10 * 2 * 6**3
    assert flops(jax.jit(looped), ones(6, 6)) == 10 * 2 * 6**3


def test_a_gradient_of_a_product_costs_two_more():
    def loss(w, x):
        return (x @ w).sum()

    forward = flops(loss, ones(8, 9), ones(10, 8))
    both = flops(jax.grad(loss, argnums=(0, 1)), ones(8, 9), ones(10, 8))
    assert both == pytest.approx(3 * forward, rel=0.1)


def test_convolutions_and_transforms():
    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(x, kernel, (1,), "SAME")

    assert flops(convolve, ones(2, 3, 50), ones(4, 3, 5)) == 2 * (2 * 4 * 50) * (3 * 5)
    length = 1024
    assert flops(jnp.fft.rfft, ones(7, length)) == 7 * 2.5 * length * np.log2(length)


def test_moving_data_is_free():
    assert flops(lambda x: x.reshape(-1)[None].T, ones(5, 6)) == 0
    assert flops(lambda x: jnp.exp(x) + 1, ones(5, 6)) == 60


def test_what_devices_share_counts_as_if_one_did_it():
    def multiply(left, right):
        return left @ right

    mesh = AbstractMesh((4,), ("data",), axis_types=(AxisType.Auto,))
    rows = PartitionSpec("data")
    shared = jax.shard_map(
        multiply, mesh=mesh, in_specs=(rows, PartitionSpec()), out_specs=rows
    )
    matrices = jnp.ones((8, 16)), jnp.ones((16, 32))
    assert flops(shared, *matrices) == flops(multiply, *matrices) > 0


def test_convolutions_cost_three_times_as_much_with_their_gradients():
    def convolve(x, kernel):
        dimensions = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            *(x, kernel, (1, 1), "SAME"), dimension_numbers=dimensions
        ).sum()

    arrays = ones(2, 16, 16, 4), ones(3, 3, 4, 5)
    forward = flops(convolve, *arrays)
    assert forward == pytest.approx(2 * 2 * 256 * 5 * 36, rel=0.01)
    assert flops(jax.grad(convolve, (0, 1)), *arrays) == pytest.approx(3 * forward, rel=0.2)


def test_a_linear_recurrence_costs_a_few_times_its_loop():
    """The loop is 2 operations a state; the tree of pairs has twice 3, and joins."""
    arrays = ones(2, 64, 8), ones(2, 64, 8)
    states = 2 * 64 * 8
    assert 4 * states < flops(linear_recurrence, *arrays) < 12 * states

    def loss(*arrays):
        return linear_recurrence(*arrays).sum()

    assert 8 * states < flops(jax.grad(loss, (0, 1)), *arrays) < 24 * states


def test_what_a_config_costs_is_what_its_programs_cost():
    changes = {"data.batch_size": 2, "data.crop_seconds": 0.2}
    config = changed(RunSettings(), {"model": small_model("mel", "rnn"), **changes})
    separation = SeparationSettings(chunk_seconds=2.0)
    stems_BSCT, rooms_RL = ones(2, 2, 1, 8820), ones(0, 10)
    separator, optimiser = build(config.model), make_optimiser(config.train)
    state = init_state(jax.random.key(0), separator, stems_BSCT.sum(1), optimiser)
    step = make_train_step(separator, optimiser, config.train, mix_of(config))
    assert of_step(config, rooms_RL) == flops(step, state, stems_BSCT, rooms_RL)
    whole = flops(separator.apply, {"params": state.params}, ones(1, 1, 88200))
    assert of_second(config.model, separation) == whole / 2
