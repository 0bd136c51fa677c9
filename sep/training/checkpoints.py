"""Checkpoints of a training run: states to resume from, and its best model so far.

The only file that imports orbax.
"""

import contextlib
import logging
import math
import re
import shutil
import sys
from pathlib import Path

import jax

from sep.errors import UserError
from sep.model.release import Model, load_model, save_model
from sep.model.settings import ModelSettings, SeparationSettings
from sep.training import devices

CHECKPOINTS = "checkpoints"  # in a training workdir


class BestModel:
    """The release file of a run: the model with the highest validation score so far."""

    def __init__(
        self,
        path: Path,
        model: ModelSettings,
        separation: SeparationSettings,
        metadata: dict[str, str],
    ):
        self.path, self._metadata = path, metadata
        self._model, self._separation = model, separation
        self._score = -math.inf
        if path.exists():
            best = load_model(str(path))
            self._score = float(best.metadata["si_sdr"])
            if best.separation != separation:  # a resumed run may change it
                save_model(path, best._replace(separation=separation))

    def offer(self, step: int, score: float, params: dict) -> None:
        """Takes the place of the best one if it is better."""
        if score > self._score:
            self._score = score
            facts = {"step": str(step), "si_sdr": str(score), **self._metadata}
            save_model(self.path, Model(self._model, self._separation, params, facts))


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
