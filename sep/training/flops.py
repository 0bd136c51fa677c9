"""What a computation costs: multiplications and additions, counted in its jaxpr.

XLA's own analysis counts the body of a loop once; here a scan counts as often as it runs.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from sep.model.separator import build
from sep.model.settings import ModelSettings, SeparationSettings
from sep.training.settings import RunSettings
from sep.training.step import (
    init_state,
    make_optimiser,
    make_train_step,
    mix_of,
)


def flops(function: Callable, *arguments) -> float:
    """Floating-point operations of a call; what moves data only costs nothing.

    A product of matrices counts 2 for each multiplication and addition, a transform of N
    samples 5 N log2 N (half for a real one), all else one for each number that it makes.
    """
    return _count(jax.make_jaxpr(function)(*arguments).jaxpr)


def summary(train_step: Callable, state, stems_BSCT, rooms_RL, batch_seconds: float) -> str:
    """One line: parameters, and what a step costs."""
    size = sum(x.size for x in jax.tree.leaves(state.params))
    work = flops(train_step, state, stems_BSCT, rooms_RL)
    return (
        f"{size / 1e6:.2f} M parameters; a step is {work / 1e9:.1f} GFLOP "
        f"for {batch_seconds:.0f} s of sound"
    )


def of_step(run: RunSettings, rooms_RL: np.ndarray) -> float:
    """Floating-point operations of a training step; nothing is computed."""
    separator, optimiser = build(run.model), make_optimiser(run.train)
    batch, channels, crop = run.data.batch_size, run.data.channels, run.crop_length
    stems_BSCT = _shape(batch, len(run.model.outputs), channels, crop)

    def first_state(mixture_BCT):
        return init_state(jax.random.key(0), separator, mixture_BCT, optimiser)

    state = jax.eval_shape(first_state, _shape(batch, channels, crop))
    step = make_train_step(separator, optimiser, run.train, mix_of(run))
    return flops(step, state, stems_BSCT, rooms_RL)


def of_second(model: ModelSettings, separation: SeparationSettings) -> float:
    """Floating-point operations that separate a second of one channel, in whole chunks."""
    seconds = separation.chunk_seconds
    line_B1T = _shape(1, 1, round(seconds * model.sample_rate))
    separator = build(model)
    variables = jax.eval_shape(separator.init, jax.random.key(0), line_B1T)
    return flops(separator.apply, variables, line_B1T, line_B1T) / seconds


def _shape(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def _count(jaxpr: core.Jaxpr) -> float:
    return sum(_cost(equation) for equation in jaxpr.eqns)


def _cost(equation: core.JaxprEqn) -> float:
    name, params = equation.primitive.name, equation.params
    if inner := [_count(part) for part in _parts(params)]:
        if name == "cond":
            return max(inner)
        if name == "shard_map":  # says what one device does
            return sum(inner) * params["mesh"].size
        return sum(inner) * (params["length"] if name == "scan" else 1)
    out = equation.outvars[0].aval
    size = math.prod(getattr(out, "shape", ()))
    if name == "dot_general":
        left = equation.invars[0].aval.shape
        (contracted, _), _ = params["dimension_numbers"]
        return 2.0 * size * math.prod(left[axis] for axis in contracted)
    if name == "conv_general_dilated":
        kernel = equation.invars[1].aval.shape
        features = params["dimension_numbers"].rhs_spec[0]
        return 2.0 * size * math.prod(kernel) / kernel[features]
    if name == "fft":
        length = math.prod(params["fft_lengths"])
        real = params["fft_type"] in (jax.lax.FftType.RFFT, jax.lax.FftType.IRFFT)
        batch = math.prod(equation.invars[0].aval.shape[: -len(params["fft_lengths"])])
        return batch * length * 5 * math.log2(max(length, 2)) / (2 if real else 1)
    return 0.0 if name in _MOVES else float(size)


def _parts(params: dict) -> list[core.Jaxpr]:
    """The jaxprs within an equation: of loops, branches and calls."""
    found = []
    for value in params.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            if isinstance(part, core.ClosedJaxpr):
                found.append(part.jaxpr)
            elif isinstance(part, core.Jaxpr):
                found.append(part)
    return found


_MOVES = frozenset(
    ("broadcast_in_dim", "reshape", "transpose", "slice", "dynamic_slice", "pad", "copy")
    + (
        "concatenate",
        "gather",
        "squeeze",
        "rev",
        "convert_element_type",
        "iota",
        "select_n",
    )
    + ("dynamic_update_slice", "bitcast_convert_type", "stop_gradient", "copy_p", "pvary")
)
