"""Every representation with every architecture: builds, is consistent, and learns."""

import itertools

import jax
import numpy as np
import optax
import pytest
from builders import NAMES, RATE, noise, small_model

from sep.model.architectures import ARCHITECTURES
from sep.model.representations import REPRESENTATIONS
from sep.model.separator import build
from sep.training.losses import LOSSES
from sep.training.settings import TrainSettings

STEPS = 20
LENGTH = 400
BATCH, CHANNELS = 2, 2
# The fast tests have every representation and every architecture at least once.
SHORTER, LONGER = sorted((REPRESENTATIONS, ARCHITECTURES), key=len)
DIAGONAL = zip(itertools.cycle(SHORTER), LONGER, strict=False)
FAST = {pair if SHORTER is REPRESENTATIONS else pair[::-1] for pair in DIAGONAL}
PAIRS = [
    pytest.param(*pair, marks=[] if pair in FAST else pytest.mark.slow)
    for pair in itertools.product(REPRESENTATIONS, ARCHITECTURES)
]


def make_step(separator, optimiser):
    """step(params, state, stems_BSCT) -> params, state, loss, gradients, sources_BSCT."""
    loss_of = LOSSES[TrainSettings().loss]

    def loss(params, stems_BSCT):
        rngs = {"dropout": jax.random.key(1)}
        sources_BSCT = separator.apply({"params": params}, stems_BSCT.sum(1), rngs=rngs)
        return loss_of(stems_BSCT, sources_BSCT), sources_BSCT

    def step(params, state, stems_BSCT):
        (value, sources_BSCT), gradients = jax.value_and_grad(loss, has_aux=True)(
            params, stems_BSCT
        )
        updates, state = optimiser.update(gradients, state)
        return optax.apply_updates(params, updates), state, value, gradients, sources_BSCT

    return jax.jit(step)


def initial(separator, optimiser, mixture_BCT):
    """Parameters and the optimiser's state."""

    def init(key, mixture_BCT):
        params = separator.init(key, mixture_BCT)["params"]
        return params, optimiser.init(params)

    return jax.jit(init)(jax.random.key(0), mixture_BCT)


@pytest.mark.parametrize(("representation", "architecture"), PAIRS)
def test_a_pair_learns_and_is_consistent(representation, architecture, duet):
    start = 5 * RATE
    one_SCT = np.stack([duet[name][:1, start : start + LENGTH] for name in NAMES])
    stems_BSCT = np.tile(one_SCT, (BATCH, 1, CHANNELS, 1))
    mixture_BCT = stems_BSCT.sum(1)
    separator = build(small_model(representation, architecture))
    optimiser = optax.adam(1e-2)
    params, state = initial(separator, optimiser, mixture_BCT)
    before = params
    step = make_step(separator, optimiser)  # one program for all that follows
    losses = []
    for _ in range(STEPS):
        params, state, loss, _, _ = step(params, state, stems_BSCT)
        losses.append(float(loss))
    assert np.isfinite(losses).all()
    # It overfits one example,
    assert losses[-1] < losses[0] - 3
    # and every parameter learns: Adam changes all that ever had a gradient.
    unchanged = jax.tree_util.tree_map_with_path(
        lambda path, old, new: np.array_equal(old, new) and jax.tree_util.keystr(path),
        *jax.device_get((before, params)),
    )
    assert not [path for path in jax.tree.leaves(unchanged) if path]
    # Sources sum to the mixture.
    sources_BSCT = np.asarray(step(params, state, stems_BSCT)[-1])
    assert sources_BSCT.shape == stems_BSCT.shape
    error = np.abs(sources_BSCT.sum(1) - mixture_BCT).max()
    assert error < 1e-5 * np.abs(mixture_BCT).max()
    # Examples and channels are independent: one stays the same when all others change.
    others_BSCT = noise(*stems_BSCT.shape)
    others_BSCT[1, :, 1] = stems_BSCT[1, :, 1]
    mixed_BSCT = np.asarray(step(params, state, others_BSCT)[-1])
    np.testing.assert_allclose(mixed_BSCT[1, :, 1], sources_BSCT[1, :, 1], atol=1e-5)
    # Gradients are finite on digital silence.
    _, _, loss, gradients, _ = step(params, state, np.zeros_like(stems_BSCT))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((loss, gradients)))
