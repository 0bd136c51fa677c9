"""The training step: skipped steps, parts of a batch, cheaper steps, dropout, decay."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from builders import ROOMS, noise, small_run
from untrained import filled

from sep.model.architectures.framewise import Framewise
from sep.model.architectures.lstm import Lstm
from sep.model.architectures.memory import rematerialised
from sep.model.architectures.settings import LstmSettings
from sep.model.separator import build
from sep.runtime.settings import changed
from sep.training.settings import TrainSettings
from sep.training.step import (
    init_state,
    make_eval_step,
    make_optimiser,
    make_train_step,
    mix_of,
)

STEMS = noise(4, 2, 1, 3000, rms=0.1)


def settings(**train):
    # Without warm-up the very first step changes the parameters.
    changes = {"data.polarity": 0.0, "train.warmup_steps": 0}
    changes |= {f"train.{name}": value for name, value in train.items()}
    return changed(small_run(20, "waveform"), changes)


def step_of(run, separator=None):
    separator, optimiser = separator or build(run.model), make_optimiser(run.train)
    return make_train_step(separator, optimiser, run.train, mix_of(run))


def new_state(run, separator=None):
    """A state before the first step, as NumPy arrays."""
    separator, optimiser = separator or build(run.model), make_optimiser(run.train)

    def init(mixture_BCT):
        return init_state(jax.random.key(0), separator, mixture_BCT, optimiser)

    state = filled(jax.eval_shape(init, STEMS.sum(1)))
    return state._replace(opt_state=jax.tree.map(np.zeros_like, state.opt_state))


def two_losses(step, state):
    """Losses of two steps; the second one depends on the first one's gradient."""
    state = jax.tree.map(jnp.array, state)  # copies, since steps donate their state
    losses = []
    for _ in range(2):
        state, metrics = step(state, STEMS, ROOMS)
        assert all(leaf.dtype != "bfloat16" for leaf in jax.tree.leaves(state))
        losses.append(float(metrics["loss"]))
    return losses


@pytest.fixture(scope="module")
def start():
    """The common state before the first step."""
    return new_state(settings())


@pytest.fixture(scope="module")
def plain():
    """The common step."""
    return step_of(settings())


def test_a_skipped_step_changes_nothing_but_the_counts(start, plain):
    state = jax.tree.map(jnp.array, start)
    state, metrics = plain(state, np.full_like(STEMS, np.nan), ROOMS)
    assert metrics["skipped"] == 1
    assert (state.step, state.skipped) == (1, 1)
    for name in ("params", "opt_state", "ema", "key"):
        jax.tree.map(
            np.testing.assert_array_equal, getattr(state, name), getattr(start, name)
        )
    state, metrics = plain(state, STEMS, ROOMS)
    assert (metrics["skipped"], state.skipped) == (0, 0)
    moved = jax.tree.map(lambda a, b: (a != b).any(), state.params, start.params)
    assert any(jax.tree.leaves(moved))


def test_a_batch_in_parts_gives_the_same_step(start, plain):
    in_parts = step_of(settings(accumulate=2))
    (whole, one), (parts, other) = (
        step(jax.tree.map(jnp.array, start), STEMS, ROOMS) for step in (plain, in_parts)
    )
    assert float(other["loss"]) == pytest.approx(float(one["loss"]), abs=1e-5)
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-6),
        jax.device_get(parts.opt_state),
        jax.device_get(whole.opt_state),
    )


@pytest.mark.parametrize(
    ("changes", "marks", "tolerance"),
    [
        ({"rematerialise": True, "compute_dtype": "bfloat16"}, {"remat", ":bf16["}, 0.03),
        pytest.param({"rematerialise": True}, {"remat"}, 1e-5, marks=pytest.mark.slow),
    ],
)
def test_cheaper_steps_are_nearly_the_same_step(start, plain, changes, marks, tolerance):
    cheaper = step_of(settings(**changes))
    for step, expected in ((plain, set()), (cheaper, marks)):
        jaxpr = str(jax.make_jaxpr(step)(start, STEMS, ROOMS))
        assert {mark for mark in ("remat", ":bf16[") if mark in jaxpr} == expected
    expected = two_losses(plain, start)
    assert two_losses(cheaper, start) == pytest.approx(expected, rel=tolerance)


def test_rematerialised_gradients_keep_the_outputs_of_layers():
    network = Lstm(LstmSettings(width=32, depth=3, dropout=0.0))
    features_BNFK = np.ones((2, 50, 10, 1), np.float32)
    sizes = {"num_sources": 2, "num_outputs": 1}
    params = jax.eval_shape(
        partial(network.init, **sizes), jax.random.key(0), features_BNFK
    )

    def kept_bytes(apply):
        def residuals(params):
            return jax.vjp(lambda params: apply(params, features_BNFK), params)[1]

        kept = jax.eval_shape(residuals, params)
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(kept))

    apply = partial(network.apply, **sizes)
    layers = 3 * 2 * 50 * 2 * 16 * 4
    weights = 4 * sum(leaf.size for leaf in jax.tree.leaves(params))
    fixed = weights + features_BNFK.nbytes
    assert layers < kept_bytes(rematerialised(apply)) < 1.1 * (layers + fixed)
    assert kept_bytes(apply) > 3 * layers


class Dense(Framewise):
    """A network on frames that compiles quickly."""

    def layer(self, hidden_BNK, index):
        return nn.Dense(self.settings.width)(hidden_BNK)


def test_dropout_is_for_training_alone():
    run = changed(settings(), {"data.gain_db": 0.0})  # only dropout is random
    separator = build(run.model).clone(architecture=Dense(LstmSettings(8, 2, 0.4)))
    state, step = new_state(run, separator), step_of(run, separator)
    losses = [two_losses(step, state) for _ in range(2)]
    assert losses[0] == losses[1]
    assert losses[0][0] != two_losses(step, state._replace(key=state.key + 1))[0]
    for function, arrays, is_random in (
        (step, (state, STEMS, ROOMS), True),
        (make_eval_step(separator), (state.params, STEMS), False),
    ):
        jaxpr = str(jax.make_jaxpr(function)(*arrays))
        assert ("random_bits" in jaxpr) == is_random


def test_only_kernels_decay():
    train = TrainSettings(steps=10, weight_decay=0.5, warmup_steps=0)
    optimiser = make_optimiser(train)
    params = {"layer": dict.fromkeys(("kernel", "scale"), np.ones((2, 3), np.float32))}
    zero = jax.tree.map(np.zeros_like, params)
    updates, _ = jax.jit(optimiser.update)(zero, optimiser.init(params), params)
    assert np.allclose(updates["layer"]["kernel"], -0.5 * train.learning_rate, 1e-6)
    assert (updates["layer"]["scale"] == 0).all()
