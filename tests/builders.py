"""Small settings, networks and signals that many tests share."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from sep.model.architectures import ARCHITECTURES
from sep.model.registry import settings_classes
from sep.model.representations import REPRESENTATIONS
from sep.model.separator import build
from sep.model.settings import ModelSettings
from sep.runtime.settings import changed
from sep.training.settings import RunSettings

RATE = 44100
NAMES = ("piano", "violin")
ROOMS = np.zeros((0, 100), np.float32)
SWITCHES = {
    "gain_db": 6.0,
    "level_db": 12.0,
    "polarity": 0.5,
    "absent": 0.5,
    "equaliser_db": 6.0,
    "band_limit": 1.0,
    "room": 1.0,
    "swap": 0.5,
    "pan": 0.5,
    "width": 0.5,
    "diffuse": 0.5,
    "mono": 0.5,
    "noise": 1.0,
    "clip": 1.0,
}
TIMBRES = {"formant_semitones": 4.0, "body_db": 6.0, "tilt_db": 2.0, "detune_cents": 9.0}

# Small values of settings, for all representations and architectures that have them.
SIZES = {
    "n_fft": 256,
    "frame_length": 128,
    "hop_length": 64,
    "bands": 12,
    "filters": 128,
    "width": 8,
    "depth": 1,
    "dropout": 0.0,
}
SMALL = {
    f"{name}.{field.name}": SIZES[field.name]
    for registry in (REPRESENTATIONS, ARCHITECTURES)
    for name, kind in settings_classes(registry).items()
    for field in dataclasses.fields(kind)
    if field.name in SIZES
} | {"fnn.context": 1, "cnn.width": 4, "bandsplit.fine": 8}


def with_setting(registry, setting):
    """Names of the entries of a registry that have a setting."""
    return [
        name
        for name, kind in settings_classes(registry).items()
        if setting in {field.name for field in dataclasses.fields(kind)}
    ]


def small_model(representation="magnitude", architecture="lstm", **changes):
    """Settings of a small model."""
    names = {"representation": representation, "architecture": architecture}
    return changed(ModelSettings(), SMALL | names | changes)


class Pointwise(nn.Module):
    """A network that compiles fast: constant weights for the features of a bin."""

    @nn.compact
    def __call__(self, features_BNFK, *, num_sources, num_outputs):
        shape = features_BNFK.shape[-1], num_sources * num_outputs
        values = np.sin(1 + np.arange(np.prod(shape), dtype=np.float32)).reshape(shape)
        weights = self.param("weights", lambda _: jnp.asarray(values))
        estimates = features_BNFK @ weights
        return estimates.reshape(*features_BNFK.shape[:3], num_sources, num_outputs)


def build_pointwise(representation="magnitude", **changes):
    """A separator with this representation and a network that compiles fast."""
    return build(small_model(representation, **changes)).clone(architecture=Pointwise())


def init(separator, mixture_BCT):
    return jax.jit(separator.init)(jax.random.key(0), mixture_BCT)


def noise(*shape, seed=0, rms=2.0**-4):
    return rms * np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def small_run(steps, representation="magnitude", architecture="fnn"):
    """Settings of a short run, with only some augmentation: all compiles slowly."""
    off = dict.fromkeys(SWITCHES, 0.0) | {"gain_db": 6.0, "polarity": 0.5}
    timbre = dict.fromkeys(TIMBRES, 0.0) | {"pitch_semitones": 1.0}
    data = {"crop_seconds": 0.2, "batch_size": 2, **off, "timbre": {"other": timbre}}
    train = {"steps": steps, "warmup_steps": 5, "eval_every": 2, "eval_crops": 2}
    train["eval_seconds"] = 0.2
    return changed(
        RunSettings(),
        {"model": small_model(representation, architecture)}
        | {f"data.{name}": value for name, value in data.items()}
        | {f"train.{name}": value for name, value in train.items()},
    )
