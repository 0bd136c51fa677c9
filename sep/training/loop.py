"""The training loop: from batches to a log, checkpoints and the best model."""

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
_TRACED = range(3, 8)  # steps of this process in a trace: compiled and warm


class _Ready(NamedTuple):
    """A run made ready for its first or next step."""

    state: State
    rooms_RL: jax.Array
    train_step: TrainStep
    score: Callable[[dict[str, Any]], dict[str, float]]  # of parameters, by name
    example: Callable[[State], dict[str, np.ndarray]]  # waves (C, T), by name
    join: Callable[[np.ndarray], jax.Array]  # rows of this process -> a batch


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
    """Trains until `train.steps`, from the start or from where WORKDIR stopped.

    All devices of all processes share the work; every process calls this.

    Args:
      run: the settings.
      material: stems to train and to validate on, and rooms, maybe none.
      workdir: folder for the log, checkpoints and the best model; see `train.py`.
      metadata: is added to that of the release file.
      stopped: is called at every step; if true, the run is saved and ended.
      tensorboard: whether to write event files to WORKDIR/tensorboard.
      profile: whether to write a trace of some steps to WORKDIR/profile.

    Returns:
      The release file of the best model; without a validation there is none yet.

    Raises:
      Diverged: too many steps in a row had no finite gradient.
      UserError: the memory does not suffice, or the stems cannot be used.
    """
    leads = devices.leads()
    checkpoints = Checkpoints(workdir)
    ready = _prepare(run, material, checkpoints)
    first_step = int(ready.state.step)
    batches = pipeline.batches(
        material.train,
        run.model.outputs,
        run.data,
        crop=run.crop_length,
        seed=run.seed + 1,
        first_step=first_step,
        process=jax.process_index(),
        processes=jax.process_count(),
    )
    if profile and leads:
        batches = traced(batches, workdir / PROFILE)
    board = Board(workdir / BOARD, first_step) if tensorboard and leads else None
    progress = Progress(workdir, first_step, run.train.steps, mute=not leads, board=board)
    best = None
    if leads:
        best = BestModel(workdir / RELEASE, run.model, run.separation, metadata)
    # `connected` is innermost: it ends a process of many at once, since closing the
    # checkpoints would wait for the others.
    with (
        closing(checkpoints),
        closing(progress),
        devices.connected(),
        devices.within_memory(),
    ):
        _train(run, ready, batches, checkpoints, progress, best, board, stopped)
    return workdir / RELEASE


def _prepare(run: RunSettings, material: Material, checkpoints: Checkpoints) -> _Ready:
    """Builds the functions and the state: the newest checkpoint's, or a first one."""
    mesh, names = devices.data_mesh(), run.model.outputs
    crops_BSCT = validation_crops(run, material.valid)
    separator, optimiser = build(run.model), make_optimiser(run.train)
    init_from = "" if checkpoints.found else run.train.init_from  # may be deleted by now
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
    return _Ready(
        checkpoints.restore(state),
        rooms_RL,
        make_train_step(separator, optimiser, run.train, mix_of(run), mesh),
        score,
        partial(example_waves, jax.jit(separator.apply), crops_BSCT, names),
        partial(devices.join_rows, mesh),
    )


def _train(
    run: RunSettings,
    ready: _Ready,
    batches: Iterator[np.ndarray],
    checkpoints: Checkpoints,
    progress: Progress,
    best: BestModel | None,
    board: Board | None,
    stopped: Callable[[], bool],
) -> None:
    """Takes the steps of a run. Raises Diverged as `fit` does."""
    train, state = run.train, ready.state
    first_step, saved_at = int(state.step), time.monotonic()
    batch_seconds = run.data.batch_size * run.data.crop_seconds
    for step, rows_BSCT in enumerate(batches, first_step + 1):
        overdue = time.monotonic() - saved_at > train.checkpoint_seconds
        stop, save = devices.agreed([stopped() or progress.stale(train.patience), overdue])
        if stop or step > train.steps:
            break
        stems_BSCT = ready.join(rows_BSCT)
        if step == first_step + 1:
            arrays = state, stems_BSCT, ready.rooms_RL
            progress.say(flops.summary(ready.train_step, *arrays, batch_seconds))
        state, metrics = advance(ready.train_step, state, stems_BSCT, ready.rooms_RL)
        line, scores = {"step": step, **metrics}, None
        if line["skipped"]:  # the examples' keys are folded from this
            line["first_example"] = (step - 1) * run.data.batch_size
        if step % train.eval_every == 0 or step == train.steps:
            scores = ready.score(state.ema)
            line |= {f"valid_{name}": value for name, value in scores.items()}
            if best:
                best.offer(step, scores["si_sdr"], state.ema)
            if board:
                board.sounds(step, ready.example(state), run.model.sample_rate)
        # The log before the checkpoint: a resumed run cuts lines after its checkpoint, but
        # could not restore missing ones.
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
    """Yields the batches; the work between some of them is traced into a folder."""
    on = False
    try:
        for number, rows_BSCT in enumerate(batches):
            if on != (number in _TRACED):
                on = not on
                jax.profiler.start_trace(folder) if on else jax.profiler.stop_trace()
            yield rows_BSCT
    finally:
        if on:  # the run ended while tracing
            jax.profiler.stop_trace()


def example_waves(
    apply: Callable, crops_BSCT: np.ndarray, names: Sequence[str], state: State
) -> dict[str, np.ndarray]:
    """Mixture and estimates (C, T) of the first validation crop, by name."""
    mixture_BCT = mixing.to_reference_level(crops_BSCT[:1]).sum(1)
    params = jax.device_get(state.ema)  # only this process computes, on its own device
    estimates_BSCT = apply({"params": params}, mixture_BCT)
    waves = {"mixture": np.asarray(mixture_BCT[0])}
    return waves | dict(zip(names, np.asarray(estimates_BSCT[0]), strict=True))


def validation_crops(run: RunSettings, stems: Stems) -> np.ndarray:
    """The crops (B, S, C, T) of every validation; they do not depend on the run's seed.

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
    """The state before the first step: new, or with the parameters of model `init_from`."""
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
    """Takes one step and waits for it; returns the state, and metrics as numbers."""
    began = time.monotonic()
    state, metrics = train_step(state, stems_BSCT, rooms_RL)
    numbers = {name: float(value) for name, value in metrics.items()}
    return state, numbers | {"seconds": round(time.monotonic() - began, 4)}
