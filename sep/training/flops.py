"""Counts the floating-point operations of a computation in its jaxpr.

XLA's own analysis counts the body of a loop once. Here, a scan counts as often as it runs.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from sep.model.separator import build
from sep.model.settings import ModelSettings, SeparationSettings
from sep.training.settings import RunSettings
from sep.training.step import (
    State,
    TrainStep,
    init_state,
    make_optimiser,
    make_train_step,
    mix_of,
)


def flops(function: Callable, *arguments: Any) -> float:
    """Returns the floating-point operations of a call.

    A product of matrices costs 2 for each pair of a multiplication and an addition. A
    Fourier transform of N samples costs 5 N log2 N, and half of that if it is real.
    Operations that only move data cost nothing; all others cost 1 for each element of
    their result.
    """
    return _count(jax.make_jaxpr(function)(*arguments).jaxpr)


def summary(
    train_step: TrainStep,
    state: State,
    stems_BSCT: jax.Array,
    rooms_RL: jax.Array,
    batch_seconds: float,
) -> str:
    """Returns one line with the number of parameters and the cost of a step."""
    size = sum(x.size for x in jax.tree.leaves(state.params))
    work = flops(train_step, state, stems_BSCT, rooms_RL)
    return (
        f"{size / 1e6:.2f} M parameters; a step is {work / 1e9:.1f} GFLOP "
        f"for {batch_seconds:.0f} s of sound"
    )


def step_flops(run: RunSettings, rooms_RL: np.ndarray) -> float:
    """Returns the floating-point operations of a training step; computes nothing."""
    separator, optimiser = build(run.model), make_optimiser(run.train)
    batch, channels, crop = run.data.batch_size, run.data.channels, run.crop_length
    stems_BSCT = _array(batch, len(run.model.outputs), channels, crop)

    def first_state(mixture_BCT: jax.Array) -> State:
        return init_state(jax.random.key(0), separator, mixture_BCT, optimiser)

    state = jax.eval_shape(first_state, _array(batch, channels, crop))
    step = make_train_step(separator, optimiser, run.train, mix_of(run))
    return flops(step, state, stems_BSCT, rooms_RL)


def separation_flops(model: ModelSettings, separation: SeparationSettings) -> float:
    """Returns the floating-point operations that separate one second of one channel.

    Chunks are counted as full.
    """
    seconds = separation.chunk_seconds
    mixture_B1T = _array(1, 1, round(seconds * model.sample_rate))
    separator = build(model)
    variables = jax.eval_shape(separator.init, jax.random.key(0), mixture_B1T)
    return flops(separator.apply, variables, mixture_B1T, mixture_B1T) / seconds


def _array(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def _count(jaxpr: core.Jaxpr) -> float:
    return sum(_cost(equation) for equation in jaxpr.eqns)


def _cost(equation: core.JaxprEqn) -> float:
    name, params = equation.primitive.name, equation.params
    if inner := [_count(part) for part in _parts(params)]:
        if name == "cond":
            return max(inner)
        if name == "shard_map":  # contains the work of one device
            return sum(inner) * params["mesh"].size
        return sum(inner) * (params["length"] if name == "scan" else 1)
    size = math.prod(_shape(equation.outvars[0]))
    if name == "dot_general":
        left = _shape(equation.invars[0])
        (contracted, _), _ = params["dimension_numbers"]
        return 2.0 * size * math.prod(left[axis] for axis in contracted)
    if name == "conv_general_dilated":
        kernel = _shape(equation.invars[1])
        features = params["dimension_numbers"].rhs_spec[0]
        return 2.0 * size * math.prod(kernel) / kernel[features]
    if name == "fft":
        length = math.prod(params["fft_lengths"])
        real = params["fft_type"] in (jax.lax.FftType.RFFT, jax.lax.FftType.IRFFT)
        batch = math.prod(_shape(equation.invars[0])[: -len(params["fft_lengths"])])
        return batch * length * 5 * math.log2(max(length, 2)) / (2 if real else 1)
    return 0.0 if name in _MOVES else float(size)


def _shape(variable: Any) -> tuple[int, ...]:
    """Shape of a variable of a jaxpr; () for a token."""
    return getattr(variable.aval, "shape", ())


def _parts(params: Mapping[str, Any]) -> list[core.Jaxpr]:
    """Returns the jaxprs within an equation: of loops, branches and calls."""
    found = []
    for value in params.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            if isinstance(part, core.ClosedJaxpr):
                found.append(part.jaxpr)
            elif isinstance(part, core.Jaxpr):
                found.append(part)
    return found


_MOVES = frozenset(  # operations that only move data
    ("broadcast_in_dim", "reshape", "transpose", "slice", "dynamic_slice", "pad", "copy")
    + ("concatenate", "gather", "squeeze", "rev", "convert_element_type", "iota")
    + ("select_n", "dynamic_update_slice", "bitcast_convert_type", "stop_gradient")
    + ("copy_p", "pvary")
)
