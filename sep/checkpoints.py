"""What training leaves on disk: checkpoints to resume from, release files to use.

The only file that imports orbax. A release file is safetensors: named arrays, and in
its metadata the config, scores, licence and commit. Nothing is ever unpickled.
"""

import contextlib
import json
import logging
import math
import os
import re
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from sep import devices
from sep.errors import UserError
from sep.files import replacing
from sep.separator import in_use, output_names

FORMAT = "sep-release-2"
FIRST_FORMAT = "sep-release-1"
CHECKPOINTS = "checkpoints"  # in a training workdir
RELEASE = "model.safetensors"  # in a training workdir: the best model so far
PRETRAINED = Path(__file__).parent / "pretrained"
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


class BestModel:
    """The release file of a run: the model with the highest validation score so far."""

    def __init__(self, path: Path, config: dict, metadata: dict[str, str]):
        self.path, self._metadata = path, metadata
        self._config = {part: config[part] for part in ("model", "separation")}
        self._score = -math.inf
        if path.exists():
            best = load_model(str(path))
            self._score = float(best.metadata["si_sdr"])
            if best.config != self._config:  # how to separate may be changed afterwards
                save_model(path, best._replace(config=self._config))

    def offer(self, step: int, score: float, params: dict) -> None:
        """Takes the place of the best one if it is better."""
        if score > self._score:
            self._score = score
            facts = {"step": str(step), "si_sdr": str(score), **self._metadata}
            save_model(self.path, Model(self._config, params, facts))


def _score(scores: dict) -> float:
    return scores["si_sdr"]


def _tell_once() -> None:
    """Leaves what a failed write raises to `Checkpoints._errors`, which says it in a line.

    Else Orbax logs it, asyncio logs it for every array, and TensorStore's threads, whose
    writes end after the event loop that waited for them is gone, print a traceback each.
    """
    logging.getLogger("absl").addFilter(
        lambda record: "orbax" not in Path(record.pathname).parts
    )
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    sys.unraisablehook = _tell_unless_loop_is_closed


def _tell_unless_loop_is_closed(unraisable) -> None:
    if str(unraisable.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(unraisable)


class Checkpoints:
    """Training states in WORKDIR/checkpoints, whole or not there: the newest, the best."""

    def __init__(self, workdir: Path):
        import orbax.checkpoint as ocp  # slow to import: not for separation

        _tell_once()
        self._ocp = ocp
        policies = ocp.checkpoint_managers
        # Not max_to_keep, which with best_fn deletes the newest unless it is the best.
        best = policies.BestN(
            get_metric_fn=_score, n=1, keep_checkpoints_without_metrics=False
        )
        keep = policies.AnyPreservationPolicy([policies.LatestN(1), best])
        self._manager = ocp.CheckpointManager(
            (workdir / CHECKPOINTS).resolve(),
            options=ocp.CheckpointManagerOptions(best_fn=_score, preservation_policy=keep),
        )

    def save(self, step: int, state, scores: dict | None = None) -> None:
        """Starts to write the state; returns before it is on disk.

        `scores` of its validation, if there was one, say whether it is the best so far.

        Raises:
          UserError: this one or the one before cannot be written.
        """
        if self._manager.latest_step() == step:
            return
        place, needed = (
            self._manager.directory,
            sum(x.nbytes for x in jax.tree.leaves(state)),
        )
        if (free := shutil.disk_usage(place).free) < 1.5 * needed:
            raise UserError(
                f"{place}: cannot be written; {free / 1e6:.1f} MB are free, a checkpoint "
                f"needs {needed / 1e6:.1f}; make room, and the same command goes on"
            )
        args = self._ocp.args.Composite(state=self._ocp.args.StandardSave(state))
        with self._errors("written; make room or see to its permissions"):
            self._manager.save(step, args=args, metrics=scores)

    @property
    def found(self) -> bool:
        """Whether there is a state to go on from."""
        return self._manager.latest_step() is not None

    def restore(self, state):
        """The newest state on disk, or the given one if there is none.

        Raises:
          UserError: it is of another version, or spoilt.
        """
        if (step := self._manager.latest_step()) is None:
            return state
        abstract = jax.tree.map(self._ocp.utils.to_shape_dtype_struct, state)
        args = self._ocp.args.Composite(state=self._ocp.args.StandardRestore(abstract))
        with self._errors("restored: another version of Sep wrote it, or it is spoilt"):
            return self._manager.restore(step, args=args).state

    def close(self) -> None:
        """Waits until everything is on disk."""
        with self._errors("written; make room or see to its permissions"):
            self._manager.wait_until_finished()
            self._manager.close()

    @contextlib.contextmanager
    def _errors(self, trouble: str):
        """What Orbax and its threads raise, in one line; what was saved stays intact."""
        try:
            yield
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            if jax.process_count() > 1 and isinstance(error, devices.LOST):
                raise UserError(devices.LOST_ONE) from None  # Orbax waits for all
            place, text = self._manager.directory, str(error) or type(error).__name__
            of_system = re.search(r"([^:]+) \[os_error_code", text)  # after much of where
            reason = of_system[1] if of_system else text.strip().splitlines()[0][:200]
            raise UserError(f"{place}: cannot be {trouble} ({reason.strip()})") from None
