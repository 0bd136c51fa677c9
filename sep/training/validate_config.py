"""Checks the settings of a run before anything is read or computed."""

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
    """Checks ranges and names, and that the settings fit together; computes nothing.

    Raises:
      UserError: a setting is out of range, a name is unknown, or settings do not fit
        together.
    """
    lookup(LOSSES, "loss", run.train.loss)
    model = run.model.in_use()
    model.outputs  # noqa: B018 - raises if one is no file name
    check_ranges(dataclasses.replace(run, model=model))
    check_data(run)
    separator = build(model)
    mixture_BCT = jax.ShapeDtypeStruct((1, 1, run.crop_length), jnp.float32)
    try:
        jax.eval_shape(separator.init, jax.random.key(0), mixture_BCT)
        make_optimiser(run.train)
    except (ValueError, TypeError, AttributeError, ZeroDivisionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"no separator can be built from this config ({reason}); change the settings "
            "of its representation or architecture"
        ) from None
    parts, devices = run.train.accumulate, jax.device_count()
    if run.data.batch_size % (parts * devices):
        raise UserError(
            f"data.batch_size must be a multiple of {parts * devices}, which is "
            f"train.accumulate ({parts}) times the number of devices ({devices}); it is "
            f"{run.data.batch_size}"
        )


def check_data(run: RunSettings) -> None:
    """Checks crops, channels, shares of examples and timbre, as part of `check`.

    Raises:
      UserError: settings do not fit together.
    """
    for name, length in (
        ("data.crop_seconds", run.crop_length),
        ("train.eval_seconds", run.eval_length),
    ):
        if length < 2:
            raise UserError(f"{name} is too short; crops need 2 samples or more")
    if run.model.stereo and run.data.channels == 1:
        raise UserError("model.stereo needs stereo crops; set --config.data.channels=2")
    if run.data.aligned + run.data.solos > 1:
        raise UserError("data.aligned and data.solos add up to more than 1; lower one")
    names = run.model.outputs
    if missing := [name for name in names if not {name, OTHER} & run.data.timbre.keys()]:
        raise UserError(
            f"data.timbre has no entry for {missing[0]} and none for {OTHER}; add one"
        )
