"""A config tried before anything is read or computed."""

import math

import jax
import jax.numpy as jnp

from sep.errors import UserError
from sep.model import wiener
from sep.model.names import lookup, output_names
from sep.model.separator import build
from sep.separation.chunks import Plan
from sep.training.losses import LOSSES
from sep.training.step import make_optimiser

# Settings of `data` that are shares of one, and those that must not be negative.
_SHARES = (
    *("aligned", "solos", "polarity", "absent", "band_limit", "room", "shared"),
    *("swap", "pan", "width", "diffuse", "mono", "noise", "clip"),
)
DTYPES = ("float32", "bfloat16")  # that a network may compute in
_STRENGTHS = (
    *("workers", "room_seconds", "gain_db", "level_db", "equaliser_db"),
    *("band_limit_hz", "clip_db"),
)


def check(config: dict) -> None:
    """Tries a config without computing anything.

    Raises:
      UserError: a name in it is unknown, or its numbers do not fit together.
    """
    if config["seed"] < 0:
        raise UserError("--config.seed must be at least 0")
    lookup(LOSSES, "loss", config["train"]["loss"])
    output_names(config["model"])
    check_data(config)
    check_train(config["train"])
    Plan.from_config(config)
    wiener.from_config(config)
    separator = build(config["model"])
    check_dropout(config["model"])
    crop = round(config["data"]["crop_seconds"] * config["model"]["sample_rate"])
    mixture_BCT = jax.ShapeDtypeStruct((1, 1, crop), jnp.float32)
    try:
        jax.eval_shape(separator.init, jax.random.key(0), mixture_BCT)
        if separator.representation.hop_length < 1:  # which separation needs
            raise ValueError("hop_length must be at least 1")
        make_optimiser(config["train"])
    except (ValueError, TypeError, AttributeError, ZeroDivisionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"this config does not work: {reason}") from None
    if (dtype := config["train"]["compute_dtype"]) not in DTYPES:
        raise UserError(f"train.compute_dtype is {dtype!r}; known: {', '.join(DTYPES)}")
    parts, devices = config["train"]["accumulate"], jax.device_count()
    if rest := config["data"]["batch_size"] % (parts * devices):
        raise UserError(
            f"data.batch_size must be a multiple of train.accumulate ({parts}) times the "
            f"devices that share it ({devices}); {rest} are left over"
        )


def check_dropout(model: dict) -> None:
    """The part of `check` that a network traced without its random key does not try."""
    name = model["architecture"]
    if not 0 <= model[name].get("dropout", 0) < 1:
        raise UserError(f"--config.model.{name}.dropout must be from 0 to less than 1")


def check_train(train: dict) -> None:
    """The part of `check` about steps and the optimiser."""
    for name in ("steps", "accumulate", "max_skipped", "eval_every", "eval_crops"):
        if train[name] < 1:
            raise UserError(f"--config.train.{name} must be at least 1")
    for name in ("warmup_steps", "patience", "learning_rate", "weight_decay"):
        if not 0 <= train[name] < math.inf:
            raise UserError(f"--config.train.{name} must be at least 0")
    if not train["clip_norm"] > 0:
        raise UserError("--config.train.clip_norm must be more than 0; inf clips nothing")
    if not 0 <= train["ema_decay"] < 1:
        raise UserError("--config.train.ema_decay must be from 0 to less than 1")


def check_data(config: dict) -> None:
    """The part of `check` about crops and augmentation."""
    data, rate = config["data"], config["model"]["sample_rate"]
    if data["batch_size"] < 1:
        raise UserError("--config.data.batch_size must be at least 1")
    for name, seconds in (
        ("data.crop_seconds", data["crop_seconds"]),
        ("train.eval_seconds", config["train"]["eval_seconds"]),
    ):
        if not 2 <= seconds * rate < math.inf:
            raise UserError(f"{name} must be longer: crops have 2 samples or more")
    if data["channels"] not in (1, 2):
        raise UserError("data.channels must be 1 or 2")
    if config["model"]["stereo"] and data["channels"] == 1:
        raise UserError("model.stereo is learned from stereo: --config.data.channels=2")
    for name in _SHARES:
        if not 0 <= data[name] <= 1:
            raise UserError(f"data.{name} is a chance or share, from 0 to 1")
    if data["aligned"] + data["solos"] > 1:
        raise UserError("data.aligned and data.solos are shares of one: lower either")
    strengths = {f"data.{name}": data[name] for name in _STRENGTHS}
    for source, timbre in data["timbre"].items():
        if missing := data["timbre"].get("other", {}).keys() - timbre.keys():
            raise UserError(f"data.timbre.{source} lacks {', '.join(sorted(missing))}")
        strengths |= {f"data.timbre.{source}.{k}": value for k, value in timbre.items()}
    for name, value in strengths.items():
        if not 0 <= value < math.inf:
            raise UserError(f"{name} must be 0 (off) or more")
