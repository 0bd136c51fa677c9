"""A real network, small and untrained, for 16 kHz: quick to compile and to run."""

import functools

import jax
import numpy as np

from sep.checkpoints import Model, save_model
from sep.config import get_config
from sep.separator import build


@functools.cache
def small_model(**settings) -> Model:
    """Settings are those of the `model` part of a config."""
    config = get_config().to_dict()
    config["model"] |= {
        "sample_rate": 16000,
        "lstm": {"width": 16, "depth": 1, "dropout": 0.0},
        **settings,
    }
    config["model"]["magnitude"] |= {"n_fft": 256, "hop_length": 64}
    config["separation"] = {"chunk_seconds": 0.25, "overlap": 0.1, "batch_size": 4}
    init = jax.jit(build(config["model"]).init)
    noise = 0.1 * np.random.default_rng(0).standard_normal((1, 1, 4000), np.float32)
    return Model(config, init(jax.random.key(0), noise)["params"], {})


def save_small_model(path, **settings):
    """Writes it as a release file; returns its path."""
    save_model(path, small_model(**settings))
    return path
