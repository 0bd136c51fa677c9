"""The training loop: takes batches; writes a log, checkpoints and the best model."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from sep.data import mixing, pipeline
from sep.data.material import Material
from sep.data.stems import Stems
from sep.errors import Diverged
from sep.model.release import RELEASE, load_model, warm_start
from sep.model.separator import Separator, build
from sep.training import devices, flops
from sep.training.checkpoints import BestModel, Checkpoints
from sep.training.log import BOARD, Progress
from sep.training.settings import RunSettings
from sep.training.step import (
    Params,
    State,
    TrainStep,
    init_state,
    make_eval_step,
    make_optimiser,
    make_train_step,
    mix_of,
    validate,
)
from sep.training.tensorboard import Board

PROFILE = "profile"  # folder in a workdir
_TRACED = range(3, 8)  # batches of this process whose steps are traced, after compilation


class Prepared(NamedTuple):
    """Everything that a run needs for its next step.

    Attributes:
      state: state before that step.
      rooms_RL: impulse responses, on all devices.
      train_step: see `make_train_step`.
      score: parameters -> validation scores by name.
      example: state -> mixture and estimates (C, T) of a validation crop by name.
      join: rows of this process -> batch on all devices.
    """

    state: State
    rooms_RL: jax.Array
    train_step: TrainStep
    score: Callable[[Params], dict[str, float]]
    example: Callable[[State], dict[str, np.ndarray]]
    join: Callable[[np.ndarray], jax.Array]


@devices.within_memory()
def fit(
    run: RunSettings,
    material: Material,
    workdir: Path,
    *,
    metadata: dict[str, str],
    stopped: Callable[[], bool] = lambda: False,
    tensorboard: bool = False,
    profile: bool = False,
) -> Path:
    """Trains until `train.steps`, from the beginning or from where WORKDIR stopped.

    All devices of all processes share the work; every process calls this function.

    Args:
      run: the settings.
      material: stems for training and validation, and impulse responses, if any.
      workdir: folder for the log, checkpoints and the best model; see `train.py`.
      metadata: is added to the metadata of the release file.
      stopped: is called at every step; if it returns True, the run is saved and ends.
      tensorboard: whether to write event files to WORKDIR/tensorboard.
      profile: whether to write a trace of some steps to WORKDIR/profile.

    Returns:
      The path of the best model's release file, which the first validation writes.

    Raises:
      Diverged: too many consecutive steps had no finite gradient.
      UserError: there is not enough memory, or the stems cannot be used.
    """
    is_leader = devices.is_leader()
    checkpoints = Checkpoints(workdir)
    prepared = prepare(run, material, checkpoints)
    first_step = int(prepared.state.step)
    batches = _batches(run, material.train, first_step)
    if profile and is_leader:
        batches = traced(batches, workdir / PROFILE)
    board = Board(workdir / BOARD, first_step) if tensorboard and is_leader else None
    progress = Progress(
        workdir, first_step, run.train.steps, enabled=is_leader, board=board
    )
    best = None
    if is_leader:
        best = BestModel(workdir / RELEASE, run.model, run.separation, metadata)
    # `connected` is innermost. It ends a failed process at once; closing the checkpoints
    # would wait for the other processes.
    with (
        closing(checkpoints),
        closing(progress),
        devices.connected(),
        devices.within_memory(),
    ):
        _train(run, prepared, batches, checkpoints, progress, best, board, stopped)
    return workdir / RELEASE


def _batches(run: RunSettings, stems: Stems, first_step: int) -> Iterator[np.ndarray]:
    """Returns this process's rows of all batches from the one after `first_step` on."""
    return pipeline.batches(
        stems,
        run.model.outputs,
        run.data,
        crop=run.crop_length,
        seed=run.seed + 1,
        first_step=first_step,
        process=jax.process_index(),
        processes=jax.process_count(),
    )


def prepare(run: RunSettings, material: Material, checkpoints: Checkpoints) -> Prepared:
    """Builds the functions, and restores the newest state or makes the first one."""
    mesh, names = devices.data_mesh(), run.model.outputs
    crops_BSCT = validation_crops(run, material.valid)
    separator, optimiser = build(run.model), make_optimiser(run.train)
    # A resumed run does not need the other model, which may have been deleted.
    init_from = "" if checkpoints.has_state else run.train.init_from
    state = first_state(
        run, material.train, material.rooms_RL, separator, optimiser, init_from
    )
    state, rooms_RL = devices.replicate(mesh, (state, material.rooms_RL))
    score = partial(
        validate,
        make_eval_step(separator, mesh),
        crops_BSCT=crops_BSCT,
        batch=run.data.batch_size,
        names=names,
        put=partial(devices.split_rows, mesh),
    )
    return Prepared(
        checkpoints.restore(state),
        rooms_RL,
        make_train_step(separator, optimiser, run.train, mix_of(run), mesh),
        score,
        partial(example_waves, jax.jit(separator.apply), crops_BSCT, names),
        partial(devices.join_rows, mesh),
    )


def _train(
    run: RunSettings,
    prepared: Prepared,
    batches: Iterator[np.ndarray],
    checkpoints: Checkpoints,
    progress: Progress,
    best: BestModel | None,
    board: Board | None,
    stopped: Callable[[], bool],
) -> None:
    """Takes the steps of a run. Raises Diverged as `fit` does."""
    train, state, rooms_RL = run.train, prepared.state, prepared.rooms_RL
    first_step, saved_at = int(state.step), time.monotonic()
    batch_seconds = run.data.batch_size * run.data.crop_seconds
    for step, rows_BSCT in enumerate(batches, first_step + 1):
        overdue = time.monotonic() - saved_at > train.checkpoint_seconds
        ending = stopped() or progress.has_stalled(train.patience)
        stop, save = devices.any_process([ending, overdue])
        if stop or step > train.steps:
            break
        stems_BSCT = prepared.join(rows_BSCT)
        if step == first_step + 1:
            arrays = state, stems_BSCT, rooms_RL
            progress.print(flops.summary(prepared.train_step, *arrays, batch_seconds))
        state, metrics = advance(prepared.train_step, state, stems_BSCT, rooms_RL)
        line: dict[str, Any] = {"step": step, **metrics}
        scores = None
        if line["skipped"]:  # the keys of examples are folded from their numbers
            line["first_example"] = (step - 1) * run.data.batch_size
        if step % train.eval_every == 0 or step == train.steps:
            scores = prepared.score(state.ema)
            line |= {f"valid_{name}": value for name, value in scores.items()}
            if best:
                best.save_if_better(step, scores["si_sdr"], state.ema)
            if board:
                board.sounds(step, prepared.example(state), run.model.sample_rate)
        # The log is written before the checkpoint. A resumed run removes lines after its
        # checkpoint, but could not restore missing ones.
        progress.step(line, batch_seconds)
        if save or scores:
            checkpoints.save(step, state, scores)
            saved_at = time.monotonic()
        if line["skipped"] >= train.max_skipped:
            raise Diverged(
                f"no finite gradient in {train.max_skipped} steps in a row, up to step "
                f"{step}; lower --config.train.learning_rate and train in a new workdir"
            )
    if int(state.step):  # before the first step there is nothing to save
        checkpoints.save(int(state.step), state)


def traced(batches: Iterator[np.ndarray], folder: Path) -> Iterator[np.ndarray]:
    """Yields the batches, and writes a trace of the work after some of them to a folder."""
    on = False
    try:
        for number, rows_BSCT in enumerate(batches):
            if on != (number in _TRACED):
                on = not on
                jax.profiler.start_trace(folder) if on else jax.profiler.stop_trace()
            yield rows_BSCT
    finally:
        if on:  # the run ended during the trace
            jax.profiler.stop_trace()


def example_waves(
    apply: Callable, crops_BSCT: np.ndarray, names: Sequence[str], state: State
) -> dict[str, np.ndarray]:
    """Returns the mixture and the estimates (C, T) of the first validation crop by name."""
    mixture_BCT = mixing.to_reference_level(jnp.asarray(crops_BSCT[:1])).sum(1)
    params = jax.device_get(state.ema)  # since only this process computes
    estimates_BSCT = apply({"params": params}, mixture_BCT)
    waves = {"mixture": np.asarray(mixture_BCT[0])}
    return waves | dict(zip(names, np.asarray(estimates_BSCT[0]), strict=True))


def validation_crops(run: RunSettings, stems: Stems) -> np.ndarray:
    """Returns the crops (B, S, C, T) of every validation, the same for all seeds.

    Raises:
      UserError: all recordings of a source are silent.
    """
    return pipeline.fixed_crops(
        stems,
        run.model.outputs,
        run.data,
        count=run.train.eval_crops,
        crop=run.eval_length,
        seed=0,
    )


def first_state(
    run: RunSettings,
    stems: Stems,
    rooms_RL: np.ndarray,
    separator: Separator,
    optimiser: optax.GradientTransformation,
    init_from: str,
) -> State:
    """Returns the state before the first step.

    Args:
      run: the settings.
      stems: of the training split.
      rooms_RL: impulse responses.
      separator: the network.
      optimiser: the optimiser.
      init_from: name of a model to take parameters from; empty: none.
    """
    example_key, state_key = jax.random.split(jax.random.key(run.seed))
    size = run.data.batch_size
    example_BSCT = pipeline.fixed_crops(
        stems,
        run.model.outputs,
        run.data,
        count=size,
        crop=run.crop_length,
        seed=run.seed,
    )
    mix = jax.jit(mix_of(run))
    example_BCT, _ = mix(example_key, jnp.arange(size), example_BSCT, rooms_RL)
    state = init_state(state_key, separator, example_BCT, optimiser)
    if not init_from:
        return state
    params = warm_start(state.params, run.model, load_model(init_from))
    return state._replace(params=params, ema=jax.tree.map(jnp.copy, params))


def advance(
    train_step: TrainStep, state: State, stems_BSCT: jax.Array, rooms_RL: jax.Array
) -> tuple[State, dict[str, float]]:
    """Takes one step and waits for it; returns the state, and the metrics as numbers."""
    began = time.monotonic()
    state, metrics = train_step(state, stems_BSCT, rooms_RL)
    numbers = {name: float(value) for name, value in metrics.items()}
    return state, numbers | {"seconds": round(time.monotonic() - began, 4)}
