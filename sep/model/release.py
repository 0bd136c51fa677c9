"""Release files: trained models to use.

A release file is safetensors: named arrays, and in its metadata the config, scores,
licence and commit. Nothing is ever unpickled.
"""

import json
import os
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from sep.errors import UserError
from sep.model.names import output_names
from sep.model.separator import in_use
from sep.runtime.files import replacing

FORMAT = "sep-release-2"
FIRST_FORMAT = "sep-release-1"
RELEASE = "model.safetensors"  # in a training workdir: the best model so far
PRETRAINED = Path(__file__).parent.parent / "pretrained"
# Settings younger than the first release files, and what files without them mean.
UNSAID = {
    "model": {
        "level_free": False,
        "stereo": False,
        "magnitude": {"dft": "fft", "onset_n_fft": 0},
        "log_magnitude": {"onset_n_fft": 0},
        "complex": {"dft": "fft", "onset_n_fft": 0, "with_magnitude": False},
        "mel": {"onset_n_fft": 0},
        "fnn": {"depth": 2},
        "harmonic": {"peaks": 3, "dropout": 0.0},
    },
    "data": {"diffuse": 0.0, "mono": 0.0},
    "train": {"weight_decay": 0.0},
    "separation": {"wiener_seconds": 0.19, "wiener_exponent": 1.25},
}
# Settings of architectures that had other names there: the new one, and its value.
RENAMED = {
    "fnn": {"hidden": ("width", lambda hidden: hidden)},
    "lstm": {
        "hidden": ("width", lambda hidden: 2 * hidden),
        "layers": ("depth", lambda layers: layers),
    },
}


class Model(NamedTuple):
    """A trained separator: everything that separation and evaluation need."""

    config: dict  # its parts `model` and `separation`
    params: dict
    metadata: dict[str, str]  # training commit, step, scores, licence


def save_model(path: Path, model: Model, dtype=np.float32) -> None:
    """Writes a release file, whole or not at all."""
    flat = flatten_dict(jax.device_get(model.params), sep="/")
    arrays = {name: np.asarray(array, dtype, order="C") for name, array in flat.items()}
    described = {"format": FORMAT, "config": json.dumps(model.config), **model.metadata}
    with replacing(path) as part:
        part.write_bytes(save(arrays, metadata=described))


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
    written = metadata.pop("format", None)
    if written not in (FORMAT, FIRST_FORMAT):
        raise UserError(f"{path}: is not a release file that this version of Sep reads")
    try:
        config = json.loads(metadata.pop("config"))
    except (KeyError, json.JSONDecodeError):
        raise UserError(f"{path}: is a release file without a readable config") from None
    config = completed(config)
    if written == FIRST_FORMAT:
        config = of_first_format(config)
    try:
        output_names(config["model"])
    except (KeyError, TypeError):
        raise UserError(f"{path}: its config names no sources") from None
    return Model(config, params, metadata)


def completed(config):
    """A config in the words of today, with the settings that it is too old to name."""
    return _renamed(_with_unsaid(config, UNSAID))


def changes(kept: dict, settings: dict) -> dict[str, str]:
    """Settings in use that differ, and how: "name was this and is that", by name.

    `kept` may be the config of an earlier version, which named fewer.
    """
    before, now = (
        flatten_dict(in_use(config), sep=".") for config in (completed(kept), settings)
    )
    return {
        name: f"{name} was {before.get(name)} and is {now.get(name)}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    }


def of_first_format(config):
    """A config of a file in which Open-Unmix's network bore the name `lstm`."""
    model = config.get("model") if isinstance(config, dict) else None
    if not isinstance(model, dict) or model.get("architecture") != "lstm":
        return config
    moved = {"architecture": "openunmix", "openunmix": model.get("lstm")}
    return config | {"model": model | moved}


def _with_unsaid(config, unsaid):
    if not (isinstance(config, dict) and isinstance(unsaid, dict)):
        return config  # no part with settings, or, in a stranger's file, no config
    missing = {
        key: _with_unsaid(config.get(key, value), value)
        for key, value in unsaid.items()
        if key in config or not isinstance(value, dict)  # no half of a part
    }
    return config | missing


def _renamed(config):
    if not (isinstance(config, dict) and isinstance(config.get("model"), dict)):
        return config
    model = dict(config["model"])
    for part, names in RENAMED.items():
        if isinstance(model.get(part), dict):
            settings = dict(model[part])
            for old, (new, value) in names.items():
                if isinstance(settings.get(old), int):
                    settings[new] = value(settings.pop(old))
            model[part] = settings
    return config | {"model": model}


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


def warm_start(params: dict, config: dict, model: Model) -> dict:
    """New parameters, with those of a trained model wherever shapes agree.

    Another number of sources makes the last layer a new one; all before it is kept.

    Raises:
      UserError: the model has another representation or architecture, or is told the
        level of frames where this one is not.
    """
    for part in ("representation", "architecture", "level_free"):
        ours, theirs = config["model"][part], model.config["model"].get(part)
        if ours != theirs:
            raise UserError(f"train.init_from: that model's {part} is {theirs}, not {ours}")
    new, old = flatten_dict(params), flatten_dict(model.params)
    taken = {k: v for k, v in old.items() if k in new and new[k].shape == v.shape}
    if not taken:
        raise UserError(
            "train.init_from: no layer of that model has the size of this one's"
        )
    return unflatten_dict(new | {k: jnp.asarray(v) for k, v in taken.items()})
