"""Release files: trained models to use.

A release file is safetensors: named arrays, and in its metadata the config, scores,
licence and commit. Nothing is ever unpickled.
"""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from numpy.typing import DTypeLike
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from sep.errors import UserError
from sep.model.settings import ModelSettings, SeparationSettings
from sep.runtime.files import replacing
from sep.runtime.settings import as_dict, check, from_dict

FORMAT = "sep-release-2"
RELEASE = "model.safetensors"  # in a training workdir: the best model so far
PRETRAINED = Path(__file__).parent.parent / "pretrained"


class Model(NamedTuple):
    """A trained separator: everything that separation and evaluation need."""

    settings: ModelSettings  # of what is in use
    separation: SeparationSettings
    params: dict[str, Any]
    metadata: dict[str, str]  # training commit, step, scores, licence


def save_model(path: Path, model: Model, dtype: DTypeLike = np.float32) -> None:
    """Writes a release file; it appears whole or not at all."""
    flat = flatten_dict(jax.device_get(model.params), sep="/")
    arrays = {name: np.asarray(array, dtype, order="C") for name, array in flat.items()}
    config = {
        "model": as_dict(model.settings.in_use()),
        "separation": as_dict(model.separation),
    }
    metadata = {"format": FORMAT, "config": json.dumps(config), **model.metadata}
    with replacing(path) as part:
        part.write_bytes(save(arrays, metadata=metadata))


def load_model(name: str) -> Model:
    """A bundled model by its name, or one from a release file or training workdir.

    Raises:
      UserError: there is none, or it is not a model that this version can read.
    """
    path = locate_model(name)
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        params = unflatten_dict(
            {name: array.astype(np.float32) for name, array in arrays.items()}, sep="/"
        )
    except (SafetensorError, OSError, AttributeError, ValueError, LookupError) as error:
        raise UserError(f"{path}: is not a release file of Sep ({error})") from None
    if metadata.pop("format", None) != FORMAT:
        raise UserError(f"{path}: is not a release file that this version of Sep reads")
    try:
        config = json.loads(metadata.pop("config"))
        model, separation = config["model"], config["separation"]
    except (KeyError, TypeError, json.JSONDecodeError):
        raise UserError(f"{path}: is a release file without a readable config") from None
    try:
        settings = from_dict(ModelSettings, _in_use(model), "model").in_use()
        separation = from_dict(SeparationSettings, separation, "separation")
        check(settings, "model")
        check(separation, "separation")
        settings.outputs  # noqa: B018 - raises if they are no file names
    except UserError as error:
        raise UserError(
            f"{path}: its config is of another version of Sep, or damaged ({error})"
        ) from None
    return Model(settings, separation, params, metadata)


def _in_use(model: Any) -> Any:
    """The plain settings of a model without the blocks of what is not chosen.

    Files have those of all architectures and representations of their time.
    """
    if not isinstance(model, dict):
        return model
    chosen = {model.get("representation"), model.get("architecture")}
    if missing := [name for name in chosen if name not in model]:
        raise UserError(f"setting model.{missing[0]} is missing")
    return {
        name: value
        for name, value in model.items()
        if not isinstance(value, dict) or name in chosen
    }


def bundled_models() -> list[str]:
    """Names of the models that come with Sep."""
    return sorted(path.stem for path in PRETRAINED.glob("*.safetensors"))


def locate_model(name: str) -> Path:
    """The release file that a name or path stands for; UserError if there is none."""
    if name in bundled_models():
        return PRETRAINED / f"{name}.safetensors"
    path = Path(name)
    if os.path.isdir(path):  # the method raises where it may not look
        path = path / RELEASE
        if not os.path.exists(path):
            raise UserError(
                f"{name}: holds no {RELEASE}; train there until the first validation, "
                "or name another workdir"
            )
    if not os.path.isfile(path):
        raise UserError(
            f"{name}: no such model; give a release file, a training workdir or one of "
            f"the bundled models: {', '.join(bundled_models()) or 'none'}"
        )
    return path


def warm_start(
    params: dict[str, Any], settings: ModelSettings, model: Model
) -> dict[str, Any]:
    """New parameters, replaced by those of a trained model wherever shapes agree.

    With another number of sources the last layer stays new; all layers before it are
    replaced.

    Raises:
      UserError: the model has another representation, architecture or `level_free`.
    """
    for name in ("representation", "architecture", "level_free"):
        ours, theirs = getattr(settings, name), getattr(model.settings, name)
        if ours != theirs:
            raise UserError(f"train.init_from: that model's {name} is {theirs}, not {ours}")
    new, old = flatten_dict(params), flatten_dict(model.params)
    taken = {k: v for k, v in old.items() if k in new and new[k].shape == v.shape}
    if not taken:
        raise UserError(
            "train.init_from: no layer of that model has the size of this one's"
        )
    return unflatten_dict(new | {k: jnp.asarray(v) for k, v in taken.items()})
