"""Checkpoints of a training run: states to resume from, and the best model so far.

The only file that imports Orbax.
"""

import contextlib
import logging
import math
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import jax

from sep.errors import UserError
from sep.model.release import Model, load_model, save_model
from sep.model.settings import ModelSettings, SeparationSettings
from sep.training import devices

CHECKPOINTS = "checkpoints"  # folder in a training workdir
_FREE_SHARE = 1.5  # free space required, as a multiple of the size of a checkpoint
_CURE = "free some space or check its permissions"

StateT = TypeVar("StateT")  # a pytree of arrays


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

    def save_if_better(self, step: int, score: float, params: dict[str, Any]) -> None:
        """Writes a model whose score is higher than that of the present one."""
        if score > self._score:
            self._score = score
            facts = {"step": str(step), "si_sdr": str(score), **self._metadata}
            save_model(self.path, Model(self._model, self._separation, params, facts))


class Checkpoints:
    """Training states in WORKDIR/checkpoints: the newest one and the best one.

    A checkpoint appears complete or not at all.
    """

    def __init__(self, workdir: Path):
        import orbax.checkpoint as ocp  # slow to import, and separation does not need it

        _silence_failed_writes()
        self._ocp = ocp
        policies = ocp.checkpoint_managers
        # Not max_to_keep: with best_fn, it deletes the newest unless that is the best.
        best = policies.BestN(
            get_metric_fn=_score, n=1, keep_checkpoints_without_metrics=False
        )
        keep = policies.AnyPreservationPolicy([policies.LatestN(1), best])
        self._manager = ocp.CheckpointManager(
            (workdir / CHECKPOINTS).resolve(),
            options=ocp.CheckpointManagerOptions(best_fn=_score, preservation_policy=keep),
        )

    def save(self, step: int, state: Any, scores: dict[str, float] | None = None) -> None:
        """Starts to write a state; returns before it is on disk.

        Args:
          step: number of the training step.
          state: a pytree of arrays.
          scores: of the validation after this step, if there was one. They decide which
            checkpoint is the best.

        Raises:
          UserError: this checkpoint or the one before cannot be written.
        """
        if self._manager.latest_step() == step:
            return
        folder = self._manager.directory
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        if (free := shutil.disk_usage(folder).free) < _FREE_SHARE * needed:
            raise UserError(
                f"{folder}: cannot be written ({free / 1e6:.1f} MB are free, a checkpoint "
                f"needs {needed / 1e6:.1f} MB); free some space and repeat the command to "
                "resume"
            )
        args = self._ocp.args.Composite(state=self._ocp.args.StandardSave(state))
        with self._one_line_errors("written", _CURE):
            self._manager.save(step, args=args, metrics=scores)

    @property
    def has_state(self) -> bool:
        """Whether there is a state to resume from."""
        return self._manager.latest_step() is not None

    def restore(self, state: StateT) -> StateT:
        """Returns the newest state on disk, or the given one if there is none.

        Args:
          state: has the structure, shapes, types and sharding of the state on disk.

        Raises:
          UserError: the checkpoint is corrupt or of another version.
        """
        if (step := self._manager.latest_step()) is None:
            return state
        abstract = jax.tree.map(self._ocp.utils.to_shape_dtype_struct, state)
        args = self._ocp.args.Composite(state=self._ocp.args.StandardRestore(abstract))
        cure = "it is corrupt or of another version of Sep; use another --workdir"
        with self._one_line_errors("restored", cure):
            return self._manager.restore(step, args=args).state

    def close(self) -> None:
        """Waits until everything is on disk.

        Raises:
          UserError: the last checkpoint cannot be written.
        """
        with self._one_line_errors("written", _CURE):
            self._manager.wait_until_finished()
            self._manager.close()

    @contextlib.contextmanager
    def _one_line_errors(self, action: str, cure: str) -> Iterator[None]:
        """Converts errors of Orbax and its threads to a UserError of one line."""
        try:
            yield
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            if jax.process_count() > 1 and isinstance(error, devices.LOST_ERRORS):
                raise UserError(devices.LOST_MESSAGE) from None  # Orbax waits for all
            raise UserError(
                f"{self._manager.directory}: cannot be {action} ({_reason(error)}); {cure}"
            ) from None


def _score(scores: dict[str, float]) -> float:
    return scores["si_sdr"]


def _reason(error: Exception) -> str:
    """The reason of an error in a few words."""
    text = str(error) or type(error).__name__
    # TensorStore: "WHERE: ...: WHERE: REASON [os_error_code='28'] [NAME='VALUE']", in any
    # order of the brackets.
    of_system = re.search(r"([^:]+?) \[[\w ]+='", text)
    if of_system and "[os_error_code=" in text:
        return of_system[1].strip()
    return text.strip().splitlines()[0][:200]


def _silence_failed_writes() -> None:
    """Suppresses everything that Orbax and its threads print about a failed write.

    `Checkpoints` raises a UserError with the reason instead. When the write of one array
    fails, Orbax closes its event loop although other arrays are still being written.
    Nothing outside Orbax can wait for those. Without this function each of them is
    reported, some as late as the exit of the interpreter:

    - by Orbax (absl's logger) and by asyncio's logger;
    - by TensorStore's threads, which cannot return to the closed loop;
    - by the interpreter, which warns of coroutines that the loop had not started.
    """
    logging.getLogger("absl").addFilter(_is_not_from_orbax)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
    if getattr(sys.unraisablehook, "func", None) is not _report_unless_loop_is_closed:
        sys.unraisablehook = partial(_report_unless_loop_is_closed, sys.unraisablehook)


def _is_not_from_orbax(record: logging.LogRecord) -> bool:
    return "orbax" not in Path(record.pathname).parts


def _report_unless_loop_is_closed(
    report: Callable[[Any], Any], unraisable: "sys.UnraisableHookArgs"
) -> None:
    """Calls the hook that was there before, except for errors of a closed loop."""
    if str(unraisable.exc_value) != "Event loop is closed":
        report(unraisable)
