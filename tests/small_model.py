"""A small untrained model for 16 kHz, which compiles and runs fast."""

import functools

import jax
import numpy as np

from sep.model.release import Model, save_model
from sep.model.separator import build
from sep.model.settings import ModelSettings, SeparationSettings
from sep.runtime.settings import changed


@functools.cache
def small_model(
    architecture="lstm", context=0, chunk_seconds=0.25, wiener_seconds=0.0
) -> Model:
    """A model of one architecture, lstm or fnn; `context` is a setting of `fnn`."""
    settings = changed(
        ModelSettings(),
        {
            "architecture": architecture,
            "sample_rate": 16000,
            "lstm.width": 16,
            "lstm.depth": 1,
            "fnn.width": 8,
            "fnn.context": context,
            "magnitude.n_fft": 256,
            "magnitude.hop_length": 64,
        },
    ).in_use()
    separation = SeparationSettings(
        chunk_seconds=chunk_seconds, wiener_seconds=wiener_seconds
    )
    init = jax.jit(build(settings).init)
    noise = 0.1 * np.random.default_rng(0).standard_normal((1, 1, 4000), np.float32)
    params = init(jax.random.key(0), noise)["params"]
    return Model(settings, separation, params, {})


def save_small_model(path):
    """Writes the model to a release file; returns its path."""
    save_model(path, small_model())
    return path
