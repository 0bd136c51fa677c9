"""Costs counted in jaxprs, against what is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from builders import small_run
from jax.sharding import AbstractMesh, AxisType, PartitionSpec

from sep.model.architectures.linear_recurrence import linear_recurrence
from sep.model.separator import build
from sep.model.settings import SeparationSettings
from sep.training.flops import flops, separation_flops, step_flops
from sep.training.step import init_state, make_optimiser, make_train_step, mix_of


def array(*shape):
    """An array that is never made: nothing here is computed."""
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def test_products_count_twice_their_size():
    assert flops(jnp.dot, array(3, 5), array(5, 7)) == 2 * 3 * 5 * 7
    batched = flops(lambda a, b: a @ b, array(4, 3, 5), array(4, 5, 7))
    assert batched == 4 * 2 * 3 * 5 * 7


def test_loops_count_as_often_as_they_run():
    def looped(x):
        return jax.lax.scan(lambda carry, _: (carry @ carry, None), x, length=10)[0]

    assert flops(looped, array(6, 6)) == 10 * 2 * 6**3
    assert flops(jax.jit(looped), array(6, 6)) == 10 * 2 * 6**3


def test_a_gradient_of_a_product_costs_two_more():
    def loss(w, x):
        return (x @ w).sum()

    forward = flops(loss, array(8, 9), array(10, 8))
    both = flops(jax.grad(loss, argnums=(0, 1)), array(8, 9), array(10, 8))
    assert both == pytest.approx(3 * forward, rel=0.1)


def test_convolutions_and_transforms():
    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(x, kernel, (1,), "SAME")

    assert flops(convolve, array(2, 3, 50), array(4, 3, 5)) == 2 * (2 * 4 * 50) * (3 * 5)
    length = 1024
    assert flops(jnp.fft.rfft, array(7, length)) == 7 * 2.5 * length * np.log2(length)


def test_moving_data_costs_nothing():
    assert flops(lambda x: x.reshape(-1)[None].T, array(5, 6)) == 0
    assert flops(lambda x: jnp.exp(x) + 1, array(5, 6)) == 60


def test_work_of_several_devices_counts_as_the_work_of_one():
    def multiply(left, right):
        return left @ right

    mesh = AbstractMesh((4,), ("data",), axis_types=(AxisType.Auto,))
    rows = PartitionSpec("data")
    shared = jax.shard_map(
        multiply, mesh=mesh, in_specs=(rows, PartitionSpec()), out_specs=rows
    )
    matrices = array(8, 16), array(16, 32)
    assert flops(shared, *matrices) == flops(multiply, *matrices) > 0


def test_convolutions_cost_three_times_as_much_with_their_gradients():
    def convolve(x, kernel):
        dimensions = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            *(x, kernel, (1, 1), "SAME"), dimension_numbers=dimensions
        ).sum()

    arrays = array(2, 16, 16, 4), array(3, 3, 4, 5)
    forward = flops(convolve, *arrays)
    assert forward == pytest.approx(2 * 2 * 256 * 5 * 36, rel=0.01)
    assert flops(jax.grad(convolve, (0, 1)), *arrays) == pytest.approx(3 * forward, rel=0.2)


def test_a_linear_recurrence_costs_a_few_times_its_loop():
    """The loop has 2 operations a state; the tree of pairs has twice 3, and joins."""
    arrays = array(2, 64, 8), array(2, 64, 8)
    states = 2 * 64 * 8
    assert 4 * states < flops(linear_recurrence, *arrays) < 12 * states

    def loss(*arrays):
        return linear_recurrence(*arrays).sum()

    assert 8 * states < flops(jax.grad(loss, (0, 1)), *arrays) < 24 * states


def test_the_cost_of_a_config_is_the_cost_of_its_programs():
    config = small_run(1, "waveform", "fnn")
    separation = SeparationSettings(chunk_seconds=2.0)
    stems_BSCT, rooms_RL = array(2, 2, 1, 8820), array(0, 10)
    separator, optimiser = build(config.model), make_optimiser(config.train)
    state = jax.eval_shape(
        lambda mixture_BCT: init_state(
            jax.random.key(0), separator, mixture_BCT, optimiser
        ),
        array(2, 1, 8820),
    )
    step = make_train_step(separator, optimiser, config.train, mix_of(config))
    assert step_flops(config, rooms_RL) == flops(step, state, stems_BSCT, rooms_RL)
    whole = flops(separator.apply, {"params": state.params}, array(1, 1, 88200))
    assert separation_flops(config.model, separation) == whole / 2
