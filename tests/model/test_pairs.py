"""Every representation with every architecture: it builds, sums up, and learns."""

import itertools

import jax
import numpy as np
import pytest
from builders import NAMES, RATE, ROOMS, small_model, small_run

from sep.model.architectures import ARCHITECTURES
from sep.model.representations import REPRESENTATIONS
from sep.model.separator import build
from sep.runtime.settings import changed
from sep.training.step import init_state, make_optimiser, make_train_step, mix_of

STEPS = 60
# Every representation and every architecture once; the rest takes minutes.
QUICK = {
    *itertools.product(REPRESENTATIONS, ["fnn"]),
    *(("waveform", "cnn"), ("mel", "rnn"), ("magnitude", "lstm")),
    *(("mdct", "tcn"), ("complex", "bandsplit"), ("magnitude", "openunmix")),
    ("magnitude", "harmonic"),
}
PAIRS = [
    pytest.param(*pair, marks=[] if pair in QUICK else pytest.mark.slow)
    for pair in itertools.product(REPRESENTATIONS, ARCHITECTURES)
]


def test_there_are_56():
    assert len(PAIRS) == 56


@pytest.mark.parametrize(("representation", "architecture"), PAIRS)
def test_a_pair_builds_sums_up_and_learns(representation, architecture, duet):
    config = small_run(STEPS, representation, architecture)
    config = changed(config, {"data.gain_db": 0.0, "data.polarity": 0.0})
    config = changed(config, {"train.learning_rate": 1e-2})
    start = 5 * RATE
    stems_BSCT = np.stack([duet[name][:1, start : start + 8001] for name in NAMES])[None]
    separator, optimiser = build(config.model), make_optimiser(config.train)
    state = init_state(jax.random.key(0), separator, stems_BSCT.sum(1), optimiser)
    before = jax.device_get(state.params)
    step = make_train_step(separator, optimiser, config.train, mix_of(config))
    losses = []
    for _ in range(STEPS):
        state, metrics = step(state, stems_BSCT, ROOMS)
        losses.append(float(metrics["loss"]))
    assert np.isfinite(losses).all()
    # It learns the one example by heart,
    assert losses[-1] < losses[0] - 3
    # by every parameter: Adam leaves alone only what never had a gradient.
    still = jax.tree_util.tree_map_with_path(
        lambda path, old, new: (old == new).all() and jax.tree_util.keystr(path),
        *(before, jax.device_get(state.params)),
    )
    assert not [path for path in jax.tree.leaves(still) if path]
    # What it says has the right shape, and sums to the mixture.
    sources_BSCT = jax.jit(separator.apply)({"params": state.params}, stems_BSCT.sum(1))
    assert sources_BSCT.shape == (1, 2, 1, 8001)
    error = np.abs(sources_BSCT.sum(1) - stems_BSCT.sum(1)).max()
    assert error < 1e-5 * np.abs(stems_BSCT.sum(1)).max()
    # Digital silence has a gradient too.
    _, metrics = step(state, np.zeros_like(stems_BSCT), ROOMS)
    assert metrics["skipped"] == 0


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_channels_are_heard_one_at_a_time(representation):
    separator = build(small_model(representation, "fnn"))
    mixture_BCT = 0.1 * np.random.default_rng(0).standard_normal((2, 3, 5001), np.float32)
    variables = jax.jit(separator.init)(jax.random.key(0), mixture_BCT)
    sources_BSCT = jax.jit(separator.apply)(variables, mixture_BCT)
    assert sources_BSCT.shape == (2, 2, 3, 5001)
    alone = jax.jit(separator.apply)(variables, mixture_BCT[:, 1:2])
    np.testing.assert_allclose(sources_BSCT[:, :, 1:2], alone, atol=1e-5)
