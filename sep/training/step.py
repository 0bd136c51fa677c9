"""Training as pure functions: one explicit state and one jitted step.

Shapes: B batch, S source, C channel, T sample, R room, L sample of a room.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

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

Params = dict[str, Any]  # nested dict of arrays, as Flax has it
# mix(key, index_B, stems_BSCT, rooms_RL) -> mixture_BCT, sources_BSCT
Mix = Callable[[Array, Array, Array, Array], tuple[Array, Array]]
# loss(params, stems_BSCT, index_B, rooms_RL, key_data) -> loss
BatchLoss = Callable[[Params, Array, Array, Array, Array], Array]
# gradient(params, stems_BSCT, index_B, rooms_RL, key_data) -> loss, gradient
BatchGradient = Callable[[Params, Array, Array, Array, Array], tuple[Array, Params]]
# eval_step(params, stems_BSCT) -> SI-SDR (B, S) of the estimates and of the mixture
EvalStep = Callable[[Params, Array], tuple[Array, Array]]


class State(NamedTuple):
    """Everything that changes during training or must be the same in a resumed run.

    The position in the data follows from `step`: batch n depends only on the seed and n.

    Attributes:
      step: number of steps taken.
      key: data of the run's random key. The key of an example is folded from its number.
      skipped: consecutive steps up to this one that had no finite gradient.
      params: parameters.
      opt_state: state of the optimiser.
      ema: moving average of the parameters, which is validated and released.
    """

    step: Array
    key: Array
    skipped: Array
    params: Params
    opt_state: optax.OptState
    ema: Params


# train_step(state, stems_BSCT, rooms_RL) -> state, metrics
TrainStep = Callable[[State, Array, Array], tuple[State, dict[str, Array]]]


def make_optimiser(train: TrainSettings) -> optax.GradientTransformation:
    """Returns Adam with clipped gradients, linear warm-up and cosine decay to zero.

    Weight decay is decoupled (Loshchilov and Hutter 2019, "Decoupled Weight Decay
    Regularization") and applies to kernels only, not to biases, scales or statistics.
    """
    warmup = min(train.warmup_steps, train.steps // 2)
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, train.learning_rate, warmup, max(train.steps, warmup + 1)
    )
    adam = optax.adam(schedule)
    if decay := train.weight_decay:
        adam = optax.adamw(schedule, weight_decay=decay, mask=_kernels)
    return optax.chain(optax.clip_by_global_norm(train.clip_norm), adam)


def _kernels(params: Params) -> Params:
    """Returns a tree of bools: whether a parameter is a kernel, by its name in Flax."""
    return jax.tree.map_with_path(lambda path, _: path[-1].key == "kernel", params)


def mix_of(run: RunSettings) -> Mix:
    """Returns `mixing.mix` with the settings of a run."""
    return partial(
        mixing.mix,
        data=run.data,
        names=run.model.outputs,
        sample_rate=run.model.sample_rate,
    )


def init_state(
    key: Array,
    separator: Separator,
    mixture_BCT: Array,
    optimiser: optax.GradientTransformation,
) -> State:
    """Returns a new state.

    Args:
      key: random key of the parameters and of the run.
      separator: the network.
      mixture_BCT: real mixtures, since they determine how features are standardised.
      optimiser: the optimiser.
    """
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
    """Returns train_step(state, stems_BSCT, rooms_RL) -> state, metrics.

    The step donates the old state. If the gradient is not finite, it changes only the
    counts.

    Args:
      separator: the network.
      optimiser: the optimiser.
      train: settings; the batch is computed in `train.accumulate` parts.
      mix: makes mixtures from stems.
      mesh: devices that share the rows of the batch.
    """
    gradient_of = _make_gradient(_make_loss(separator, train, mix), train.accumulate)
    if mesh:
        gradient_of = _averaged(gradient_of, mesh)

    def train_step(
        state: State, stems_BSCT: Array, rooms_RL: Array
    ) -> tuple[State, dict[str, Array]]:
        batch = len(stems_BSCT)
        index_B = state.step * batch + jnp.arange(batch)  # of each example in the run
        value, gradient = gradient_of(
            state.params, stems_BSCT, index_B, rooms_RL, state.key
        )
        norm = optax.tree.norm(gradient)
        updates, opt_state = optimiser.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        # A shorter memory at first, so that the random initial parameters fade quickly.
        decay = jnp.minimum(train.ema_decay, (1 + state.step) / (10 + state.step))
        ema = optax.incremental_update(params, state.ema, 1 - decay)
        finite = jnp.isfinite(value) & jnp.isfinite(norm)
        new = (params, opt_state, ema)
        old = (state.params, state.opt_state, state.ema)
        chosen = jax.tree.map(lambda new, old: jnp.where(finite, new, old), new, old)
        skipped = jnp.where(finite, 0, state.skipped + 1)
        metrics = {"loss": value, "gradient_norm": norm, "skipped": skipped}
        return State(state.step + 1, state.key, skipped, *chosen), metrics

    return jax.jit(
        train_step, donate_argnums=0, out_shardings=mesh and devices.everywhere(mesh)
    )


def _make_loss(separator: Separator, train: TrainSettings, mix: Mix) -> BatchLoss:
    """Returns the loss of a batch of stems as a function of the parameters."""
    loss_of = lookup(LOSSES, "loss", train.loss)
    apply = separator.clone(dtype=train.compute_dtype).apply
    if train.rematerialise:
        apply = rematerialised(apply)

    def loss(
        params: Params, stems_BSCT: Array, index_B: Array, rooms_RL: Array, key_data: Array
    ) -> Array:
        mix_key, dropout_key = jax.random.split(jax.random.wrap_key_data(key_data))
        mixture_BCT, sources_BSCT = mix(mix_key, index_B, stems_BSCT, rooms_RL)
        rngs = {"dropout": jax.random.fold_in(dropout_key, index_B[0])}
        estimates_BSCT = apply({"params": params}, mixture_BCT, rngs=rngs)
        return loss_of(sources_BSCT, estimates_BSCT)

    return loss


def _make_gradient(loss: BatchLoss, parts: int) -> BatchGradient:
    """Returns a function for the mean loss of a batch and its gradient.

    The batch is computed in parts, one after another, whose gradients are averaged. That
    needs less memory and gives the same step.
    """

    def gradient_of(
        params: Params, stems_BSCT: Array, index_B: Array, rooms_RL: Array, key_data: Array
    ) -> tuple[Array, Params]:
        def add_part(total: Any, part: Sequence[Array]) -> tuple[Any, None]:
            found = jax.value_and_grad(loss)(params, *part, rooms_RL, key_data)
            return jax.tree.map(jnp.add, total, found), None

        divided = [
            array.reshape(parts, -1, *array.shape[1:]) for array in (stems_BSCT, index_B)
        ]
        zero = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, params))
        if parts == 1:
            total, _ = add_part(zero, [array[0] for array in divided])
        else:
            total, _ = jax.lax.scan(add_part, zero, divided)
        return jax.tree.map(lambda x: x / parts, total)

    return gradient_of


def _averaged(gradient_of: BatchGradient, mesh: Mesh) -> BatchGradient:
    """Returns the mean over devices, each of which computes its own rows of the batch.

    XLA's partitioner would first gather all rows on each device, because of the FFTs.
    """
    rows, everywhere = PartitionSpec("data"), PartitionSpec()
    return jax.shard_map(
        lambda *arrays: jax.lax.pmean(gradient_of(*arrays), "data"),
        mesh=mesh,
        in_specs=(everywhere, rows, rows, everywhere, everywhere),
        out_specs=everywhere,
        check_vma=False,  # otherwise gradients are summed over devices a second time
    )


def make_eval_step(separator: Separator, mesh: Mesh | None = None) -> EvalStep:
    """Returns eval_step(params, stems_BSCT) -> SI-SDR (B, S) of estimates and of mixture.

    All stems are mixed at the same level and without augmentation, so that the scores of
    different configs can be compared.

    Args:
      separator: the network.
      mesh: devices that share the rows of the batch.
    """
    apply: Callable[..., Any] = separator.apply

    def eval_step(params: Params, stems_BSCT: Array) -> tuple[Array, Array]:
        sources_BSCT = mixing.to_reference_level(stems_BSCT)
        mixture_BCT = sources_BSCT.sum(1)
        estimates_BSCT = apply({"params": params}, mixture_BCT)
        joined = (*sources_BSCT.shape[:2], -1)  # the channels of each source
        references = sources_BSCT.reshape(joined)
        mixtures = jnp.broadcast_to(mixture_BCT[:, None], sources_BSCT.shape)
        return (
            si_sdr(references, estimates_BSCT.reshape(joined)),
            si_sdr(references, mixtures.reshape(joined)),
        )

    if mesh:
        rows = PartitionSpec("data")
        eval_step = jax.shard_map(
            eval_step,
            mesh=mesh,
            in_specs=(PartitionSpec(), rows),
            out_specs=rows,
            check_vma=False,
        )
    return jax.jit(eval_step, out_shardings=mesh and devices.everywhere(mesh))


def validate(
    eval_step: EvalStep,
    params: Params,
    crops_BSCT: np.ndarray,
    batch: int,
    names: Sequence[str],
    put: Callable[[np.ndarray], Array] = jnp.asarray,
) -> dict[str, float]:
    """Returns mean scores of a model in dB, by name.

    Args:
      eval_step: see `make_eval_step`.
      params: parameters of the model.
      crops_BSCT: stems. The last batch is filled up with silence, which has no score, so
        that all batches have the same shape.
      batch: examples that are computed at once.
      names: of the sources.
      put: moves a batch to the devices.

    Returns:
      "si_sdr", the mean over sources; "si_sdri", its improvement over the mixture; and
      "si_sdr_NAME" for each source.
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
    has_score = ~np.isnan(before_BS)  # a crop with a silent reference has none
    mean_S = np.mean(after_BS, 0, where=has_score)
    gain_S = np.mean(after_BS - before_BS, 0, where=has_score)
    per_source = {f"si_sdr_{n}": float(v) for n, v in zip(names, mean_S, strict=True)}
    return {
        "si_sdr": float(mean_S.mean()),
        "si_sdri": float(gain_S.mean()),
        **per_source,
    }
