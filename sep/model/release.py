"""Release files: trained models for separation.

A release file is in the safetensors format. It contains the parameters as named arrays. Its
metadata has the config, scores, licence and commit. Loading never unpickles anything.
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
RELEASE = "model.safetensors"  # file of the best model so far in a training workdir
PRETRAINED = Path(__file__).parent.parent / "pretrained"


class Model(NamedTuple):
    """A trained separator: everything that separation and evaluation need.

    Attributes:
      settings: without those of representations and architectures that are not chosen.
      separation: how recordings are separated.
      params: nested dict of arrays, as Flax has it.
      metadata: training commit, step, scores, licence.
    """

    settings: ModelSettings
    separation: SeparationSettings
    params: dict[str, Any]
    metadata: dict[str, str]


def save_model(path: Path, model: Model, dtype: DTypeLike = np.float32) -> None:
    """Writes a release file atomically, with its arrays in `dtype`."""
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
    """Loads a bundled model by its name, or one from a release file or training workdir.

    Raises:
      UserError: there is no such model, or this version of Sep cannot read it.
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
        raise UserError(
            f"{path}: is not a release file of a format that this version of Sep reads "
            f"({FORMAT})"
        )
    try:
        config = json.loads(metadata.pop("config"))
        model, separation = config["model"], config["separation"]
    except (KeyError, TypeError, json.JSONDecodeError):
        raise UserError(f"{path}: is a release file without a valid config") from None
    try:
        settings = from_dict(ModelSettings, _in_use(model), "model").in_use()
        separation = from_dict(SeparationSettings, separation, "separation")
        check(settings, "model")
        check(separation, "separation")
        settings.outputs  # noqa: B018 - raises if one is no file name
    except UserError as error:
        raise UserError(
            f"{path}: its config is corrupt, or of another version of Sep ({error})"
        ) from None
    return Model(settings, separation, params, metadata)


def _in_use(model: Any) -> Any:
    """Removes the settings of representations and architectures that are not chosen.

    Files contain those of all that existed when they were written.
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
    """Returns the names of the models that are installed with Sep."""
    return sorted(path.stem for path in PRETRAINED.glob("*.safetensors"))


def locate_model(name: str) -> Path:
    """Returns the path of a model's release file.

    Args:
      name: of a bundled model, or path of a release file or training workdir.

    Raises:
      UserError: there is no such file.
    """
    if name in bundled_models():
        return PRETRAINED / f"{name}.safetensors"
    path = Path(name)
    if os.path.isdir(path):  # Path.is_dir raises on a folder without permissions
        path = path / RELEASE
        if not os.path.exists(path):
            raise UserError(
                f"{name}: contains no {RELEASE}; train there until the first validation, "
                "or name another workdir"
            )
    if not os.path.isfile(path):
        raise UserError(
            f"{name}: no such model; name a release file, a training workdir or one of the "
            f"bundled models: {', '.join(bundled_models()) or 'none'}"
        )
    return path


def warm_start(
    params: dict[str, Any], settings: ModelSettings, model: Model
) -> dict[str, Any]:
    """Replaces new parameters by those of a trained model wherever their shapes agree.

    If the number of sources differs, the last layer keeps its new parameters.

    Args:
      params: new parameters of a model with `settings`.
      settings: of the model to be trained.
      model: the trained model.

    Raises:
      UserError: the trained model has another representation, architecture or
        `level_free`, or no parameter of the same shape.
    """
    for name in ("representation", "architecture", "level_free"):
        ours, theirs = getattr(settings, name), getattr(model.settings, name)
        if ours != theirs:
            raise UserError(f"train.init_from: that model's {name} is {theirs}, not {ours}")
    new, old = flatten_dict(params), flatten_dict(model.params)
    matching = {k: v for k, v in old.items() if k in new and new[k].shape == v.shape}
    if not matching:
        raise UserError("train.init_from: no layer of that model has this model's size")
    return unflatten_dict(new | {k: jnp.asarray(v) for k, v in matching.items()})
