"""The only training loop: batches in; a log, checkpoints and the best model out."""

import math
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from sep import cost
from sep.checkpoints import RELEASE, Checkpoints, Model, load_model, save_model, warm_start
from sep.data import mixing, pipeline
from sep.data.stems import Stems
from sep.errors import UserError
from sep.logs import Log
from sep.separator import build, output_names
from sep.training import (
    State,
    init_state,
    make_eval_step,
    make_optimiser,
    make_train_step,
    validate,
)

METRICS = "metrics.jsonl"  # in a workdir: one line of JSON a step


def fit(
    config: dict,
    train_stems: Stems,
    valid_stems: Stems,
    rooms_RL: np.ndarray,
    workdir: Path,
    *,
    metadata: dict[str, str],
    stopped: Callable[[], bool] = lambda: False,
) -> Path:
    """Trains until config.train.steps, or goes on where WORKDIR stopped; see `train.py`.

    Returns the release file of the best model. `metadata` goes into it; `stopped` is
    asked at every step whether to save and leave. `rooms_RL` are impulse responses (R, L),
    maybe none.

    Raises:
      UserError: too many steps in a row had no finite gradient, the memory does not
        suffice, or the stems cannot be used.
    """
    train, names = config["train"], output_names(config["model"])
    rate = config["model"]["sample_rate"]
    rooms_RL, size = jnp.asarray(rooms_RL), config["data"]["batch_size"]
    crops_BSCT = validation_crops(config, valid_stems, names)
    separator, optimiser = build(config["model"]), make_optimiser(train)
    state = first_state(config, train_stems, names, rooms_RL, separator, optimiser)
    checkpoints = Checkpoints(workdir)
    state = checkpoints.restore(state)
    first_step = int(state.step)
    batches = pipeline.batches(
        train_stems,
        names,
        config["data"],
        crop=samples(config, config["data"]["crop_seconds"]),
        seed=config["seed"] + 1,
        first_step=first_step,
    )
    train_step = make_train_step(separator, optimiser, config)
    eval_step = make_eval_step(separator)
    release, saved_at = workdir / RELEASE, time.monotonic()
    log = Log(workdir / METRICS, first_step)
    best, since_best = best_score(release), log.since_best("valid_si_sdr")
    progress = tqdm(
        total=train["steps"], initial=first_step, unit="step", dynamic_ncols=True
    )
    with closing(checkpoints), closing(log), progress:
        for step, stems_BSCT in enumerate(batches, first_step + 1):
            if step > train["steps"] or stopped() or done(since_best, train):
                break
            if step == first_step + 1:
                progress.write(cost.summary(train_step, state, stems_BSCT, rooms_RL, rate))
            began = time.monotonic()
            state, metrics = advance(train_step, state, stems_BSCT, rooms_RL)
            line = {"step": step} | {name: float(value) for name, value in metrics.items()}
            line["seconds"] = round(time.monotonic() - began, 4)
            if line["skipped"]:
                line["first_example"] = (step - 1) * size  # its key is folded from this
                progress.write(f"step {step} skipped: no finite gradient")
            due = step % train["eval_every"] == 0 or step == train["steps"]
            if due:
                scores = validate(eval_step, state.ema, crops_BSCT, size, names)
                line |= {f"valid_{name}": score for name, score in scores.items()}
                progress.set_postfix_str(_summary(scores))
                since_best += 1
                if scores["si_sdr"] > best:
                    best, since_best = scores["si_sdr"], 0
                    kept = {part: config[part] for part in ("model", "separation")}
                    facts = {"step": str(step), "si_sdr": str(best), **metadata}
                    save_model(release, Model(kept, state.ema, facts))
            # The log first: after a crash, lines too many are cut, but none are made up.
            log.write(line)
            if due or time.monotonic() - saved_at > train["checkpoint_seconds"]:
                checkpoints.save(step, state)
                saved_at = time.monotonic()
            if line["skipped"] >= train["max_skipped"]:
                raise UserError(
                    f"no finite gradient in {train['max_skipped']} steps in a row, up to "
                    f"step {step}; lower --config.train.learning_rate and train in a new "
                    "workdir"
                )
            progress.set_description(f"loss {line['loss']:7.3f}", refresh=False)
            progress.update()
        checkpoints.save(int(state.step), state)
    return release


def samples(config: dict, seconds: float) -> int:
    """Of a crop so long."""
    return round(seconds * config["model"]["sample_rate"])


def validation_crops(config: dict, stems: Stems, names) -> np.ndarray:
    """The crops (B, S, C, T) that every validation is about.

    Raises:
      UserError: a source is silent in them.
    """
    train = config["train"]
    return pipeline.fixed_crops(
        stems,
        names,
        config["data"],
        count=train["eval_crops"],
        crop=samples(config, train["eval_seconds"]),
        seed=config["seed"],
    )


def first_state(config, stems: Stems, names, rooms_RL, separator, optimiser) -> State:
    """A state before its first step, from scratch or from the model `train.init_from`."""
    key, size = jax.random.key(config["seed"]), config["data"]["batch_size"]
    example_BSCT = pipeline.fixed_crops(
        stems,
        names,
        config["data"],
        count=size,
        crop=samples(config, config["data"]["crop_seconds"]),
        seed=config["seed"],
    )
    mix = jax.jit(lambda *arrays: mixing.mix(*arrays, config))
    example_BCT, _ = mix(key, jnp.arange(size), example_BSCT, rooms_RL)
    state = init_state(key, separator, example_BCT, optimiser)
    if not config["train"]["init_from"]:
        return state
    params = warm_start(state.params, config, load_model(config["train"]["init_from"]))
    return state._replace(params=params, ema=jax.tree.map(jnp.copy, params))


def advance(train_step, state: State, stems_BSCT, rooms_RL):
    """One step, waited for.

    Raises:
      UserError: there is not enough memory for it.
    """
    try:
        state, metrics = train_step(state, stems_BSCT, rooms_RL)
        return state, jax.device_get(metrics)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise UserError(
            "not enough memory for a training step; raise --config.train.accumulate, or "
            "lower --config.data.batch_size or --config.data.crop_seconds"
        ) from None


def done(since_best: int, train) -> bool:
    """Whether validations have stopped improving."""
    return 0 < train["patience"] <= since_best


def best_score(release: Path) -> float:
    """The validation score of the best model so far."""
    if not release.exists():
        return -math.inf
    return float(load_model(str(release)).metadata["si_sdr"])


def _summary(scores: dict) -> str:
    return f"validation SI-SDR {scores['si_sdr']:.2f} dB ({scores['si_sdri']:+.2f})"
