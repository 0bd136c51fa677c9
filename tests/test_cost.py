"""Costs counted in jaxprs, against what is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType, PartitionSpec

from sep.cost import flops


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
