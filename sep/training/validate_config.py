"""Checks of a run's settings before anything is read or computed."""

import dataclasses

import jax
import jax.numpy as jnp

from sep.data.settings import OTHER
from sep.errors import UserError
from sep.model.registry import lookup
from sep.model.separator import build
from sep.runtime.settings import check as check_ranges
from sep.training.losses import LOSSES
from sep.training.settings import RunSettings
from sep.training.step import make_optimiser


def check(run: RunSettings) -> None:
    """Checks ranges, names and whether the settings fit together; computes nothing.

    Raises:
      UserError: a setting is out of range, a name in it is unknown, or some do not fit.
    """
    lookup(LOSSES, "loss", run.train.loss)
    model = run.model.in_use()
    model.outputs  # noqa: B018 - raises if they are no file names
    check_ranges(dataclasses.replace(run, model=model))
    check_data(run)
    separator = build(model)
    mixture_BCT = jax.ShapeDtypeStruct((1, 1, run.crop_length), jnp.float32)
    try:
        jax.eval_shape(separator.init, jax.random.key(0), mixture_BCT)
        make_optimiser(run.train)
    except (ValueError, TypeError, AttributeError, ZeroDivisionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"this config does not work: {reason}") from None
    parts, devices = run.train.accumulate, jax.device_count()
    if rest := run.data.batch_size % (parts * devices):
        raise UserError(
            f"data.batch_size must be a multiple of train.accumulate ({parts}) times the "
            f"devices that share it ({devices}); {rest} are left over"
        )


def check_data(run: RunSettings) -> None:
    """The part of `check` about crops, channels and shares of examples."""
    for name, length in (
        ("data.crop_seconds", run.crop_length),
        ("train.eval_seconds", run.eval_length),
    ):
        if length < 2:
            raise UserError(f"{name} must be longer: crops have 2 samples or more")
    if run.model.stereo and run.data.channels == 1:
        raise UserError("model.stereo is learned from stereo: --config.data.channels=2")
    if run.data.aligned + run.data.solos > 1:
        raise UserError("data.aligned and data.solos are shares of one: lower either")
    names = run.model.outputs
    if missing := [name for name in names if not {name, OTHER} & run.data.timbre.keys()]:
        raise UserError(f"data.timbre has no entry for {missing[0]} and none for {OTHER}")
