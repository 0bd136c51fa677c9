"""The only training loop: batches in; a log, checkpoints and the best model out."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from sep.data import mixing, pipeline
from sep.data.stems import Stems
from sep.errors import Diverged
from sep.model.names import output_names
from sep.model.release import RELEASE, load_model, warm_start
from sep.model.separator import build
from sep.training import devices, flops
from sep.training.checkpoints import BestModel, Checkpoints
from sep.training.log import BOARD, Progress
from sep.training.step import (
    State,
    init_state,
    make_eval_step,
    make_optimiser,
    make_train_step,
    validate,
)
from sep.training.tensorboard import Board

PROFILE = "profile"  # in a workdir: the trace
_TRACED = range(3, 8)  # steps of this process that a trace shows: compiled and warm


@devices.within_memory()
def fit(
    config: dict,
    train_stems: Stems,
    valid_stems: Stems,
    rooms_RL: np.ndarray,
    workdir: Path,
    *,
    metadata: dict[str, str],
    stopped: Callable[[], bool] = lambda: False,
    tensorboard: bool = False,
    profile: bool = False,
) -> Path:
    """Trains until config.train.steps, or goes on where WORKDIR stopped; see `train.py`.

    Returns the release file of the best model. `metadata` goes into it; `stopped` is
    asked at every step whether to save and leave. `rooms_RL` are impulse responses (R, L),
    maybe none. All devices of all processes share the work, and every process calls this.

    Raises:
      Diverged: too many steps in a row had no finite gradient.
      UserError: the memory does not suffice, or the stems cannot be used.
    """
    train, data, names = config["train"], config["data"], output_names(config["model"])
    rate = config["model"]["sample_rate"]
    batch_seconds = data["batch_size"] * data["crop_seconds"]
    mesh, leads = devices.data_mesh(), devices.leads()
    crops_BSCT = validation_crops(config, valid_stems, names)
    separator, optimiser = build(config["model"]), make_optimiser(train)
    checkpoints = Checkpoints(workdir)
    init_from = "" if checkpoints.found else train["init_from"]  # it may be gone by now
    state = first_state(
        *(config, train_stems, names, rooms_RL, separator, optimiser, init_from)
    )
    state, rooms_RL = devices.replicate(mesh, (state, rooms_RL))
    state = checkpoints.restore(state)
    first_step = int(state.step)
    batches = pipeline.batches(
        train_stems,
        names,
        data,
        crop=samples(config, data["crop_seconds"]),
        seed=config["seed"] + 1,
        first_step=first_step,
        process=jax.process_index(),
        processes=jax.process_count(),
    )
    if profile and leads:
        batches = traced(batches, workdir / PROFILE)
    train_step = make_train_step(separator, optimiser, config, mesh)
    score = partial(
        validate,
        make_eval_step(separator, mesh),
        crops_BSCT=crops_BSCT,
        batch=data["batch_size"],
        names=names,
        put=partial(devices.split_rows, mesh),
    )
    board = Board(workdir / BOARD, first_step) if tensorboard and leads else None
    progress = Progress(workdir, first_step, train["steps"], mute=not leads, board=board)
    best = BestModel(workdir / RELEASE, config, metadata) if leads else None
    apply = jax.jit(separator.apply)
    saved_at = time.monotonic()
    # Innermost is what ends a process of many at once: closing would wait for the others.
    with (
        closing(checkpoints),
        closing(progress),
        devices.connected(),
        devices.within_memory(),
    ):
        for step, rows_BSCT in enumerate(batches, first_step + 1):
            overdue = time.monotonic() - saved_at > train["checkpoint_seconds"]
            stop, save = devices.agreed(
                [stopped() or progress.stale(train["patience"]), overdue]
            )
            if stop or step > train["steps"]:
                break
            stems_BSCT = devices.join_rows(mesh, rows_BSCT)
            if step == first_step + 1:
                progress.say(
                    flops.summary(train_step, state, stems_BSCT, rooms_RL, batch_seconds)
                )
            state, metrics = advance(train_step, state, stems_BSCT, rooms_RL)
            line, scores = {"step": step, **metrics}, None
            if line["skipped"]:  # the examples' keys are folded from this
                line["first_example"] = (step - 1) * data["batch_size"]
            if step % train["eval_every"] == 0 or step == train["steps"]:
                scores = score(state.ema)
                line |= {f"valid_{name}": value for name, value in scores.items()}
                if best:
                    best.offer(step, scores["si_sdr"], state.ema)
                if board:
                    board.sounds(step, heard(apply, state, crops_BSCT, names), rate)
            # The log first: after a crash, lines too many are cut, but none are made up.
            progress.step(line, batch_seconds)
            if save or scores:
                checkpoints.save(step, state, scores)
                saved_at = time.monotonic()
            if line["skipped"] >= train["max_skipped"]:
                raise Diverged(
                    f"no finite gradient in {train['max_skipped']} steps in a row, up to "
                    f"step {step}; lower --config.train.learning_rate and train in a new "
                    "workdir"
                )
        if int(state.step):  # before the first one there is nothing to lose
            checkpoints.save(int(state.step), state)
    return workdir / RELEASE


def traced(batches: Iterator[np.ndarray], folder: Path) -> Iterator[np.ndarray]:
    """The same batches; what is done with some of them is traced into a folder."""
    on = False
    try:
        for number, rows_BSCT in enumerate(batches):
            if on != (number in _TRACED):
                on = not on
                jax.profiler.start_trace(folder) if on else jax.profiler.stop_trace()
            yield rows_BSCT
    finally:
        if on:  # the run ended within
            jax.profiler.stop_trace()


def heard(apply, state: State, crops_BSCT: np.ndarray, names) -> dict[str, np.ndarray]:
    """Mixture and estimates (C, T) of the first validation crop, by name."""
    mixture_BCT = mixing.to_reference_level(crops_BSCT[:1]).sum(1)
    params = jax.device_get(state.ema)  # only this process computes, on its own device
    estimates_BSCT = apply({"params": params}, mixture_BCT)
    waves = {"mixture": np.asarray(mixture_BCT[0])}
    return waves | dict(zip(names, np.asarray(estimates_BSCT[0]), strict=True))


def samples(config: dict, seconds: float) -> int:
    """Of a crop so long."""
    return round(seconds * config["model"]["sample_rate"])


def validation_crops(config: dict, stems: Stems, names) -> np.ndarray:
    """The crops (B, S, C, T) that every validation is about, whatever the run's seed.

    Raises:
      UserError: all recordings of a source are silent.
    """
    train = config["train"]
    return pipeline.fixed_crops(
        stems,
        names,
        config["data"],
        count=train["eval_crops"],
        crop=samples(config, train["eval_seconds"]),
        seed=0,
    )


def first_state(
    config, stems: Stems, names, rooms_RL, separator, optimiser, init_from: str
) -> State:
    """A state before its first step, from scratch or from the model `init_from`."""
    example_key, state_key = jax.random.split(jax.random.key(config["seed"]))
    size = config["data"]["batch_size"]
    example_BSCT = pipeline.fixed_crops(
        stems,
        names,
        config["data"],
        count=size,
        crop=samples(config, config["data"]["crop_seconds"]),
        seed=config["seed"],
    )
    mix = jax.jit(lambda *arrays: mixing.mix(*arrays, config))
    example_BCT, _ = mix(example_key, jnp.arange(size), example_BSCT, rooms_RL)
    state = init_state(state_key, separator, example_BCT, optimiser)
    if not init_from:
        return state
    params = warm_start(state.params, config, load_model(init_from))
    return state._replace(params=params, ema=jax.tree.map(jnp.copy, params))


def advance(train_step, state: State, stems_BSCT, rooms_RL) -> tuple[State, dict]:
    """One step, waited for: the state, and metrics as numbers."""
    began = time.monotonic()
    state, metrics = train_step(state, stems_BSCT, rooms_RL)
    numbers = {name: float(value) for name, value in metrics.items()}
    return state, numbers | {"seconds": round(time.monotonic() - began, 4)}
