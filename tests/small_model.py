"""A real network, small and untrained, for 16 kHz: quick to compile and to run."""

import functools

import jax
import numpy as np

from sep.config import get_config
from sep.model.release import Model, save_model
from sep.model.separator import build


@functools.cache
def small_model(
    architecture="lstm", context=0, chunk_seconds=0.25, wiener_seconds=0.0
) -> Model:
    """Of one architecture; `context` is that of `fnn`."""
    config = get_config().to_dict()
    config["model"] |= {
        "architecture": architecture,
        "sample_rate": 16000,
        "lstm": {"width": 16, "depth": 1, "dropout": 0.0},
        "fnn": {"width": 8, "depth": 2, "context": context},
    }
    config["model"]["magnitude"] |= {"n_fft": 256, "hop_length": 64}
    config["separation"] = {
        "chunk_seconds": chunk_seconds,
        "overlap": 0.1,
        "batch_size": 4,
        "wiener_seconds": wiener_seconds,
        "wiener_exponent": 1.25,
    }
    init = jax.jit(build(config["model"]).init)
    noise = 0.1 * np.random.default_rng(0).standard_normal((1, 1, 4000), np.float32)
    return Model(config, init(jax.random.key(0), noise)["params"], {})


def save_small_model(path):
    """Writes it as a release file; returns its path."""
    save_model(path, small_model())
    return path
