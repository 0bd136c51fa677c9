"""Training: one explicit state, one pure jitted step, and the only loop.

Shapes: B batch, S source, C channel, T sample.
"""

import json
import math
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from tqdm import tqdm

from sep.checkpoints import RELEASE, Checkpoints, Model, load_model, save_model
from sep.data import mixing, pipeline
from sep.data.stems import Stems
from sep.errors import UserError
from sep.files import replacing
from sep.losses import LOSSES
from sep.metrics import si_sdr
from sep.separator import build, lookup, output_names

METRICS = "metrics.jsonl"  # in a workdir: one line of JSON a step


class State(NamedTuple):
    """All that changes from step to step; one pytree."""

    step: Array
    params: dict
    opt_state: optax.OptState
    ema: dict  # moving average of params: what is validated and released


def make_optimiser(train) -> optax.GradientTransformation:
    """Adam with clipped gradients, a linear warm-up and a cosine to zero."""
    warmup = min(train["warmup_steps"], train["steps"] // 2)
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, train["learning_rate"], warmup, max(train["steps"], warmup + 1)
    )
    return optax.chain(optax.clip_by_global_norm(train["clip_norm"]), optax.adam(schedule))


def init_state(key: Array, separator, mixture_BCT: Array, optimiser) -> State:
    """A new state; real mixtures, since they set how features are standardised."""
    params = jax.jit(separator.init)(key, mixture_BCT)["params"]
    ema = jax.tree.map(jnp.copy, params)
    return State(jnp.zeros((), jnp.int32), params, optimiser.init(params), ema)


def make_train_step(separator, optimiser, config) -> Callable:
    """train_step(state, stems_BSCT, rooms_RL, key) -> state, metrics.

    The old state is donated. Shapes of `mixing.mix`.
    """
    loss_of = lookup(LOSSES, "loss", config["train"]["loss"])
    decay_limit = config["train"]["ema_decay"]

    def train_step(
        state: State, stems_BSCT: Array, rooms_RL: Array, key: Array
    ) -> tuple[State, dict]:
        mix_key, dropout_key = jax.random.split(key)
        dropout_key = jax.random.fold_in(dropout_key, state.step)
        batch = len(stems_BSCT)
        index_B = state.step * batch + jnp.arange(batch)  # of an example, in all the run
        mixture_BCT, sources_BSCT = mixing.mix(
            mix_key, index_B, stems_BSCT, rooms_RL, config
        )

        def loss(params):
            estimates_BSCT = separator.apply(
                {"params": params}, mixture_BCT, rngs={"dropout": dropout_key}
            )
            return loss_of(sources_BSCT, estimates_BSCT)

        value, gradient = jax.value_and_grad(loss)(state.params)
        updates, opt_state = optimiser.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        # The average forgets its random start: short memory first, long later.
        decay = jnp.minimum(decay_limit, (1 + state.step) / (10 + state.step))
        ema = optax.incremental_update(params, state.ema, 1 - decay)
        metrics = {"loss": value, "gradient_norm": optax.tree.norm(gradient)}
        return State(state.step + 1, params, opt_state, ema), metrics

    return jax.jit(train_step, donate_argnums=0)


def make_eval_step(separator) -> Callable:
    """eval_step(params, stems_BSCT) -> SI-SDR (B, S) of estimates and of the mixture.

    The stems are mixed equally loud, without augmentation, so that scores of different
    configs compare.
    """

    def eval_step(params: dict, stems_BSCT: Array) -> tuple[Array, Array]:
        sources_BSCT = mixing.to_reference_level(stems_BSCT)
        mixture_BCT = sources_BSCT.sum(1)
        estimates_BSCT = separator.apply({"params": params}, mixture_BCT)
        joined = (*sources_BSCT.shape[:2], -1)  # the channels of each source
        references = sources_BSCT.reshape(joined)
        mixtures = jnp.broadcast_to(mixture_BCT[:, None], sources_BSCT.shape)
        return (
            si_sdr(references, estimates_BSCT.reshape(joined)),
            si_sdr(references, mixtures.reshape(joined)),
        )

    return jax.jit(eval_step)


def validate(eval_step, params, crops_BSCT: np.ndarray, batch: int, names) -> dict:
    """Mean SI-SDR, in dB, of each source and of all, and the gain over the mixture."""
    scores = [
        eval_step(params, crops_BSCT[i : i + batch])
        for i in range(0, len(crops_BSCT), batch)
    ]
    after_BS, before_BS = (
        np.concatenate([np.asarray(part) for part in parts])
        for parts in zip(*scores, strict=True)
    )
    heard = ~np.isnan(before_BS)  # a crop whose reference is silent has no score
    mean_S = np.mean(after_BS, 0, where=heard)
    gain_S = np.mean(after_BS - before_BS, 0, where=heard)
    per_source = {f"si_sdr_{n}": float(v) for n, v in zip(names, mean_S, strict=True)}
    return {
        "si_sdr": float(mean_S.mean()),
        "si_sdri": float(gain_S.mean()),
        **per_source,
    }


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
      UserError: the loss is no longer a finite number, or the stems cannot be used.
    """
    train, rate = config["train"], config["model"]["sample_rate"]
    names = output_names(config["model"])
    separator = build(config["model"])
    optimiser = make_optimiser(train)
    crop = round(config["data"]["crop_seconds"] * rate)
    seed, key = config["seed"], jax.random.key(config["seed"])
    crops_BSCT = pipeline.fixed_crops(
        valid_stems,
        names,
        config["data"],
        count=train["eval_crops"],
        crop=round(train["eval_seconds"] * rate),
        seed=seed,
    )
    size = config["data"]["batch_size"]
    example_BSCT = pipeline.fixed_crops(
        train_stems, names, config["data"], count=size, crop=crop, seed=seed
    )
    rooms_RL = jnp.asarray(rooms_RL)
    mix = jax.jit(lambda *arrays: mixing.mix(*arrays, config))
    example_BCT, _ = mix(key, jnp.arange(size), example_BSCT, rooms_RL)
    state = init_state(key, separator, example_BCT, optimiser)
    checkpoints = Checkpoints(workdir)
    state = checkpoints.restore(state)
    first_step = int(state.step)
    truncate(workdir / METRICS, first_step)
    release = workdir / RELEASE
    best = best_score(release)
    train_step = make_train_step(separator, optimiser, config)
    eval_step = make_eval_step(separator)
    saved_at = time.monotonic()
    progress = tqdm(
        total=train["steps"], initial=first_step, unit="step", dynamic_ncols=True
    )
    batches = pipeline.batches(
        train_stems,
        names,
        config["data"],
        crop=crop,
        seed=seed + 1,
        first_step=first_step,
    )
    with closing(checkpoints), progress, (workdir / METRICS).open("a") as log:
        for step, stems_BSCT in enumerate(batches, first_step + 1):
            if step > train["steps"] or stopped():
                break
            began = time.monotonic()
            state, metrics = train_step(state, stems_BSCT, rooms_RL, key)
            line = {"step": step} | {k: float(v) for k, v in metrics.items()}
            line["seconds"] = round(time.monotonic() - began, 4)
            if not math.isfinite(line["loss"] + line["gradient_norm"]):
                raise UserError(
                    f"loss or gradient is no finite number at step {step}; lower "
                    "--config.train.learning_rate and train in a new workdir"
                )
            due = step % train["eval_every"] == 0 or step == train["steps"]
            if due:
                scores = validate(eval_step, state.ema, crops_BSCT, size, names)
                line |= {f"valid_{name}": score for name, score in scores.items()}
                progress.set_postfix_str(_summary(scores))
                if scores["si_sdr"] > best:
                    best = scores["si_sdr"]
                    kept = {part: config[part] for part in ("model", "separation")}
                    facts = {"step": str(step), "si_sdr": str(best), **metadata}
                    save_model(release, Model(kept, state.ema, facts))
            # The log first: after a crash, lines too many are cut, but none are made up.
            print(json.dumps(line), file=log, flush=True)
            if due or time.monotonic() - saved_at > train["checkpoint_seconds"]:
                checkpoints.save(step, state)
                saved_at = time.monotonic()
            progress.set_description(f"loss {line['loss']:7.3f}", refresh=False)
            progress.update()
        checkpoints.save(int(state.step), state)
    return release


def best_score(release: Path) -> float:
    """The validation score of the best model so far."""
    if not release.exists():
        return -math.inf
    return float(load_model(str(release)).metadata["si_sdr"])


def _summary(scores: dict) -> str:
    return f"validation SI-SDR {scores['si_sdr']:.2f} dB ({scores['si_sdri']:+.2f})"


def truncate(path: Path, step: int) -> None:
    """Drops the lines after `step`, which a resumed run writes again."""
    if path.exists():
        lines = path.read_text().splitlines()
        kept = [line for line in lines if _step_of(line) <= step]
        with replacing(path) as part:
            part.write_text("".join(f"{line}\n" for line in kept))


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except json.JSONDecodeError:  # half a line, written as the power went
        return math.inf
