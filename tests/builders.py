"""Small settings, networks and signals that many tests share."""

import jax
import numpy as np

from sep.config import get_config

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


def small_model(representation="magnitude", architecture="lstm", **changes):
    model = get_config().model.to_dict()
    model |= {"representation": representation, "architecture": architecture}
    for name in ("magnitude", "log_magnitude", "complex", "mel"):
        model[name] |= {"n_fft": 256, "hop_length": 64, "max_frequency": 12000.0}
    model["mel"]["bands"] = 12
    model["waveform"] = {"frame_length": 128, "hop_length": 64}
    model["mdct"]["frame_length"] = 256
    model["learned"] |= {"frame_length": 128, "hop_length": 64, "filters": 64}
    model["fnn"] |= {"width": 16, "context": 1}
    model["cnn"] |= {"width": 4, "depth": 1}
    model["rnn"] |= {"width": 16, "depth": 1}
    model["lstm"] |= {"width": 16}
    model["openunmix"] |= {"width": 16, "depth": 1, "dropout": 0.0}
    model["tcn"] |= {"width": 16, "depth": 2}
    model["bandsplit"] |= {"width": 8, "depth": 1, "fine": 4}
    model["harmonic"] |= {"width": 8, "depth": 1}
    return model | changes


def init(separator, mixture_BCT):
    return jax.jit(separator.init)(jax.random.key(0), mixture_BCT)


def noise(*shape, seed=0, rms=2.0**-4):
    return rms * np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def small_config(steps, representation="magnitude", architecture="fnn"):
    config = get_config().to_dict()
    config["model"] = small_model(representation, architecture)
    config["data"] |= {"crop_seconds": 0.2, "batch_size": 2}
    # Some augmentation: test_mixing has all of it, which takes seconds to compile.
    config["data"] |= dict.fromkeys(SWITCHES, 0.0) | {"gain_db": 6.0, "polarity": 0.5}
    plain = dict.fromkeys(TIMBRES, 0.0) | {"pitch_semitones": 1.0}
    config["data"]["timbre"] = {"other": plain}
    config["train"] |= {"steps": steps, "warmup_steps": 5, "eval_every": 2, "eval_crops": 2}
    config["train"]["eval_seconds"] = 0.2
    return config
