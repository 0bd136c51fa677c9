"""Training as pure functions: one explicit state, one jitted step.

Shapes: B batch, S source, C channel, T sample, R room, L sample of a room.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.sharding import Mesh, PartitionSpec

from sep.data import mixing
from sep.evaluation.metrics import si_sdr
from sep.model.architectures.memory import rematerialised
from sep.model.registry import lookup
from sep.model.separator import Separator
from sep.training import devices
from sep.training.losses import LOSSES
from sep.training.settings import RunSettings, TrainSettings

# mix(key, index_B, stems_BSCT, rooms_RL) -> mixture_BCT, sources_BSCT
Mix = Callable[[Array, Array, Array, Array], tuple[Array, Array]]


class State(NamedTuple):
    """All that changes from step to step, or must not when a run goes on; one pytree.

    The place in the data is the step, for batch n depends on the seed and n alone.
    """

    step: Array
    key: Array  # data of the run's random key; folded by the example's number in the run
    skipped: Array  # steps in a row, up to this one, that had no finite gradient
    params: dict
    opt_state: optax.OptState
    ema: dict  # moving average of params: what is validated and released


# train_step(state, stems_BSCT, rooms_RL) -> state, metrics
TrainStep = Callable[[State, Array, Array], tuple[State, dict[str, Array]]]


def make_optimiser(train: TrainSettings) -> optax.GradientTransformation:
    """Adam with clipped gradients, a linear warm-up and a cosine to zero.

    Weights decay as Loshchilov and Hutter (2019) have it, "Decoupled Weight Decay
    Regularization": not biases, scales or statistics.
    """
    warmup = min(train.warmup_steps, train.steps // 2)
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, train.learning_rate, warmup, max(train.steps, warmup + 1)
    )
    adam = optax.adam(schedule)
    if decay := train.weight_decay:
        adam = optax.adamw(schedule, weight_decay=decay, mask=_kernels)
    return optax.chain(optax.clip_by_global_norm(train.clip_norm), adam)


def _kernels(params: dict) -> dict:
    """Which parameters are weights of what a layer hears, by the name Flax gives them."""
    return jax.tree.map_with_path(lambda path, _: path[-1].key == "kernel", params)


def mix_of(run: RunSettings) -> Mix:
    """`mixing.mix` with the settings of a run."""
    return partial(
        mixing.mix,
        data=run.data,
        names=run.model.outputs,
        sample_rate=run.model.sample_rate,
    )


def init_state(key: Array, separator, mixture_BCT: Array, optimiser) -> State:
    """A new state; real mixtures, since they set how features are standardised."""
    init_key, run_key = jax.random.split(key)
    params = jax.jit(separator.init)(init_key, mixture_BCT)["params"]
    zero, ema = jnp.zeros((), jnp.int32), jax.tree.map(jnp.copy, params)
    key_data = jax.random.key_data(run_key)
    return State(zero, key_data, zero.copy(), params, optimiser.init(params), ema)


def make_train_step(
    separator: Separator,
    optimiser: optax.GradientTransformation,
    train: TrainSettings,
    mix: Mix,
    mesh: Mesh | None = None,
) -> TrainStep:
    """train_step(state, stems_BSCT, rooms_RL) -> state, metrics; the old one is donated.

    The batch is computed in `train.accumulate` parts, whose gradients are averaged: less
    memory, the same step. A step without a finite gradient changes only the counts. `mix`
    makes mixtures of stems. With a mesh each device has some rows of the batch.
    """
    loss_of, parts = lookup(LOSSES, "loss", train.loss), train.accumulate
    apply = separator.clone(dtype=train.compute_dtype).apply
    if train.rematerialise:
        apply = rematerialised(apply)

    def loss(params, stems_BSCT, index_B, rooms_RL, key_data):
        mix_key, dropout_key = jax.random.split(jax.random.wrap_key_data(key_data))
        mixture_BCT, sources_BSCT = mix(mix_key, index_B, stems_BSCT, rooms_RL)
        rngs = {"dropout": jax.random.fold_in(dropout_key, index_B[0])}
        estimates_BSCT = apply({"params": params}, mixture_BCT, rngs=rngs)
        return loss_of(sources_BSCT, estimates_BSCT)

    def gradient_of(params, stems_BSCT, index_B, rooms_RL, key_data):
        """Mean loss of a batch, or of a device's rows, and its gradient."""

        def of_part(total, part):
            found = jax.value_and_grad(loss)(params, *part, rooms_RL, key_data)
            return jax.tree.map(jnp.add, total, found), None

        divided = [
            array.reshape(parts, -1, *array.shape[1:]) for array in (stems_BSCT, index_B)
        ]
        nothing = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, params))
        if parts == 1:
            total, _ = of_part(nothing, [array[0] for array in divided])
        else:
            total, _ = jax.lax.scan(of_part, nothing, divided)
        return jax.tree.map(lambda x: x / parts, total)

    if mesh:
        gradient_of = _averaged(gradient_of, mesh)

    def train_step(state: State, stems_BSCT: Array, rooms_RL: Array) -> tuple[State, dict]:
        batch = len(stems_BSCT)
        index_B = state.step * batch + jnp.arange(batch)  # of an example, in all the run
        value, gradient = gradient_of(
            state.params, stems_BSCT, index_B, rooms_RL, state.key
        )
        norm = optax.tree.norm(gradient)
        updates, opt_state = optimiser.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        # The average forgets its random start: short memory first, long later.
        decay = jnp.minimum(train.ema_decay, (1 + state.step) / (10 + state.step))
        ema = optax.incremental_update(params, state.ema, 1 - decay)
        finite = jnp.isfinite(value) & jnp.isfinite(norm)
        learned = (params, opt_state, ema)
        kept = (state.params, state.opt_state, state.ema)
        learned = jax.tree.map(lambda new, old: jnp.where(finite, new, old), learned, kept)
        skipped = jnp.where(finite, 0, state.skipped + 1)
        metrics = {"loss": value, "gradient_norm": norm, "skipped": skipped}
        return State(state.step + 1, state.key, skipped, *learned), metrics

    return jax.jit(
        train_step, donate_argnums=0, out_shardings=mesh and devices.everywhere(mesh)
    )


def _averaged(gradient_of: Callable, mesh: Mesh) -> Callable:
    """The mean over devices, of which each runs the whole program on its own rows.

    Left to XLA's partitioner, a program with FFTs would first gather all rows on each.
    """
    rows, everywhere = PartitionSpec("data"), PartitionSpec()
    return jax.shard_map(
        lambda *arrays: jax.lax.pmean(gradient_of(*arrays), "data"),
        mesh=mesh,
        in_specs=(everywhere, rows, rows, everywhere, everywhere),
        out_specs=everywhere,
        check_vma=False,  # or gradients would be summed over devices once more
    )


def make_eval_step(separator, mesh: Mesh | None = None) -> Callable:
    """eval_step(params, stems_BSCT) -> SI-SDR (B, S) of estimates and of the mixture.

    The stems are mixed equally loud, without augmentation, so that scores of different
    configs compare. With a mesh each device has a run of the batch's rows.
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

    if mesh:
        rows = PartitionSpec("data")
        specs = {"in_specs": (PartitionSpec(), rows), "out_specs": rows}
        eval_step = jax.shard_map(eval_step, mesh=mesh, **specs, check_vma=False)
    return jax.jit(eval_step, out_shardings=mesh and devices.everywhere(mesh))


def validate(
    eval_step, params, crops_BSCT: np.ndarray, batch: int, names, put=jnp.asarray
) -> dict:
    """Mean SI-SDR, in dB, of each source and of all, and the gain over the mixture.

    The last batch is filled up with silence, which has no score: one program serves all.
    `put` brings a batch to the devices.
    """
    rest = -len(crops_BSCT) % batch
    crops_BSCT = np.pad(crops_BSCT, [(0, rest), (0, 0), (0, 0), (0, 0)])
    scores = [
        eval_step(params, put(crops_BSCT[i : i + batch]))
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
