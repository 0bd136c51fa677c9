"""Architectures against loops in NumPy and plain autodiff, and their sizes."""

import dataclasses
import importlib.util
from functools import partial
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from builders import small_model
from hypothesis import given
from hypothesis import strategies as st
from jax import lax

from sep.config import get_config, settings_of
from sep.errors import UserError
from sep.model.architectures import ARCHITECTURES
from sep.model.architectures.attention import Attention, initial_slopes, penalties
from sep.model.architectures.bandsplit import ALONG_TIME, band_groups
from sep.model.architectures.cells import CELLS, bidirectional, init_cell
from sep.model.architectures.cnn import from_patches, to_patches
from sep.model.architectures.dilated import dilated
from sep.model.architectures.harmonic import (
    INTERVALS,
    PARTIALS,
    PARTS,
    Block,
    place_of_bins,
    to_bins,
    weights_of_parts,
)
from sep.model.architectures.linear_recurrence import linear_recurrence
from sep.model.architectures.memory import rematerialised
from sep.model.architectures.tcn import depthwise
from sep.model.presets import MILLIONS, sized
from sep.model.separator import build
from sep.runtime.settings import check as check_ranges
from sep.training.validate_config import check, check_data

TWO = {"num_sources": 2, "num_outputs": 1}
KEY = jax.random.key(0)

states_of_cell = jax.jit(bidirectional, static_argnums=0)


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def network(name, **changes):
    model = small_model(architecture=name, **{f"{name}.{k}": v for k, v in changes.items()})
    return build(model).architecture


def random_params(module, inputs, **arguments):
    """Parameters of a module, all of them normal: initialisers compile slowly."""
    shapes = jax.eval_shape(partial(module.init, **arguments), KEY, inputs)
    leaves, treedef = jax.tree.flatten(shapes)
    values = [0.5 * random(*leaf.shape, seed=seed) for seed, leaf in enumerate(leaves)]
    return jax.tree.unflatten(treedef, values)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


assert_all_close = partial(jax.tree.map, partial(np.testing.assert_allclose, atol=1e-5))


@pytest.mark.parametrize("frames", [1, 2, 13])
def test_a_linear_recurrence_and_its_gradient_equal_a_loops(frames):
    decay_BNH = sigmoid(random(2, frames, 3))
    input_BNH, weight_BNH = random(2, frames, 3, seed=1), random(2, frames, 3, seed=2)

    def looped(decay_BNH, input_BNH):
        def step(state_BH, frame):
            state_BH = frame[0] * state_BH + frame[1]
            return state_BH, state_BH

        pairs = (decay_BNH.swapaxes(0, 1), input_BNH.swapaxes(0, 1))
        return lax.scan(step, jnp.zeros((2, 3)), pairs)[1].swapaxes(0, 1)

    def both(*arrays):
        def loss(function, *arrays):
            states_BNH = function(*arrays)
            return (weight_BNH * states_BNH).sum(), states_BNH

        return [
            jax.value_and_grad(partial(loss, function), (0, 1), has_aux=True)(*arrays)
            for function in (linear_recurrence, looped)
        ]

    assert_all_close(*jax.jit(both)(decay_BNH, input_BNH))


def numpy_states(kind, params, inputs_BNF):
    """One frame after the other, in float64."""
    hidden = params["recurrent"].shape[1]
    found = []
    for direction, order in enumerate((slice(None), slice(None, None, -1))):
        w, u, b = (
            np.asarray(params[name], np.float64)[direction]
            for name in ("input", "recurrent", "bias")
        )
        state, states = np.zeros((len(inputs_BNF), hidden)), []
        for frame in range(inputs_BNF.shape[1])[order]:
            x, r = inputs_BNF[:, frame] @ w + b, state @ u
            if kind == "simple":
                state = np.tanh(x + r)
            else:
                (xr, xz, xn), (hr, hz, hn) = (np.split(v, 3, 1) for v in (x, r))
                z = sigmoid(xz + hz)
                state = z * state + (1 - z) * np.tanh(xn + sigmoid(xr + hr) * hn)
            states.append(state)
        found.append(np.stack(states[order], 1))
    return np.concatenate(found, -1)


def params_of_cell(kind):
    init = partial(init_cell, cell=CELLS[kind], num_features=5, hidden=4)
    return jax.tree.map(lambda x: 0.5 * random(*x.shape), jax.eval_shape(init, KEY))


@pytest.mark.parametrize("kind", CELLS)
def test_cells_equal_their_loop(kind):
    params, inputs_BNF = params_of_cell(kind), random(3, 7, 5)
    states_BNK = states_of_cell(CELLS[kind], params, inputs_BNF)
    np.testing.assert_allclose(
        states_BNK, numpy_states(kind, params, inputs_BNF), atol=1e-5
    )


def test_a_gru_equals_flaxs():
    params, inputs_BNF = params_of_cell("gru"), random(3, 7, 5)
    cell = {"hn": {"bias": np.zeros(4, np.float32)}}
    for q, gate in enumerate("rzn"):
        part = slice(4 * q, 4 * q + 4)
        cell[f"i{gate}"] = {
            "kernel": params["input"][0, :, part], "bias": params["bias"][0, part]
        }  # fmt: skip
        cell.setdefault(f"h{gate}", {})["kernel"] = params["recurrent"][0, :, part]
    theirs = jax.jit(nn.RNN(nn.GRUCell(4)).apply)({"params": {"cell": cell}}, inputs_BNF)
    ours = np.asarray(states_of_cell(CELLS["gru"], params, inputs_BNF))
    np.testing.assert_allclose(ours[..., :4], theirs, atol=1e-5)


@pytest.mark.parametrize("kind", CELLS)
def test_gradients_of_cells_equal_autodiff(kind):
    cell = CELLS[kind]
    params = params_of_cell(kind)
    inputs_BNF, weight_BNK = random(3, 7, 5), random(3, 7, 8, seed=1)

    def plain(params, inputs_BNF):
        def direction(d):
            def step(state_BH, x_BF):
                x_BG = x_BF @ params["input"][d] + params["bias"][d]
                state_BH = cell.step(x_BG, state_BH @ params["recurrent"][d], state_BH)
                return state_BH, state_BH

            frames = inputs_BNF.swapaxes(0, 1)
            return lax.scan(step, jnp.zeros((3, 4)), frames, reverse=bool(d))[1]

        return jnp.concatenate([direction(0), direction(1)], -1).swapaxes(0, 1)

    def both(*arrays):
        def loss(function, params, inputs_BNF):
            return (weight_BNK * function(params, inputs_BNF)).sum()

        return [
            jax.grad(partial(loss, function), (0, 1))(*arrays)
            for function in (partial(bidirectional, cell), plain)
        ]

    assert_all_close(*jax.jit(both)(params, inputs_BNF))


@pytest.mark.parametrize("dilation", [1, 4])
def test_depthwise_equals_xlas_convolution(dilation):
    inputs_BNK, kernel_LK = random(2, 9, 3), random(3, 3, seed=1)

    def both(inputs_BNK, kernel_LK):
        expected_BNK = lax.conv_general_dilated(
            *(inputs_BNK, kernel_LK[:, None], (1,), [(dilation, dilation)]),
            rhs_dilation=(dilation,),
            dimension_numbers=("NWC", "WIO", "NWC"),
            feature_group_count=3,
        )
        return depthwise(inputs_BNK, kernel_LK, dilation), expected_BNK

    assert_all_close(*jax.jit(both)(inputs_BNK, kernel_LK))


def test_patches_are_inverted():
    hidden_BNPD = random(2, 4, 6, 3)
    patches = to_patches(hidden_BNPD, 2, 3)
    assert patches.shape == (2, 2, 2, 18)
    np.testing.assert_array_equal(
        patches[1, 1, 0], hidden_BNPD[1, 2:4, :3].reshape(-1)
    )  # frames before cells
    np.testing.assert_array_equal(from_patches(patches, 2, 3), hidden_BNPD)


@given(st.integers(1, 3000), st.integers(1, 20), st.integers(1, 30))
def test_bands_cover_all_bins_and_are_finest_at_the_bottom(bins, finest, fine):
    groups = band_groups(bins, finest, fine)
    covered = sum(count * size for count, size in groups)
    assert bins <= covered < bins + groups[-1][1]
    assert [size for _, size in groups] == [finest * 2**i for i in range(len(groups))]
    assert all(count == fine for count, _ in groups[:-1]) and 1 <= groups[-1][0] <= fine


def test_attention_equals_its_definition():
    hidden_XLD = random(2, 5, 4)
    attention = Attention(heads=2, distance_penalty=True)
    output_XLD, variables = jax.jit(attention.init_with_output)(KEY, hidden_XLD)
    params = jax.tree.map(lambda x: np.asarray(x, np.float64), variables["params"])
    mean = hidden_XLD.mean(-1, keepdims=True)
    normal = (hidden_XLD - mean) / np.sqrt(hidden_XLD.var(-1, keepdims=True) + 1e-6)
    qkv = normal @ params["Dense_0"]["kernel"]
    slopes_2H = np.log1p(np.exp(params["slopes"]))
    expected = np.array(hidden_XLD, np.float64)
    attended = np.zeros((2, 5, 4))
    for x, head, i in np.ndindex(2, 2, 5):
        part = slice(2 * head, 2 * head + 2)
        query, key, value = (qkv[x, :, 4 * j : 4 * j + 4][:, part] for j in range(3))
        score = key @ query[i] / np.sqrt(2)
        for j in range(5):
            score[j] -= slopes_2H[int(j < i), head] * abs(j - i)
        weight = np.exp(score - score.max())
        attended[x, i, part] = weight / weight.sum() @ value
    expected += attended @ params["Dense_1"]["kernel"]
    np.testing.assert_allclose(output_XLD, expected, atol=1e-5)


def test_scores_fall_with_distance():
    def slopes_and_penalties():
        slopes_2H = jax.nn.softplus(initial_slopes(None, 3))
        return slopes_2H, penalties(4, slopes_2H.at[1].set(0))

    slopes_2H, penalty_HLL = map(np.asarray, jax.jit(slopes_and_penalties)())
    np.testing.assert_allclose(slopes_2H, [[1, 0.1, 0.01]] * 2, rtol=1e-4)
    np.testing.assert_allclose(penalty_HLL[0, 1], [0, 0, 1, 2])  # only what is ahead


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 5, 7, 2)])
def test_any_number_of_frames_and_bins_works(name, shape):
    features_BNFK = random(*shape)
    module = network(name, depth=2)

    def call(features_BNFK):
        return module.init_with_output(KEY, features_BNFK, **TWO)[0]

    estimates = jax.eval_shape(call, features_BNFK)
    assert estimates.shape == (*shape[:3], 2, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_rematerialised_and_in_bfloat16_outputs_are_nearly_the_same(name):
    features_BNFK = random(2, 12, 32, 1)
    module = network(name)
    apply = partial(module.apply, **TWO)

    def loss(apply, params, features_BNFK):
        return (apply(params, features_BNFK).astype(jnp.float32) ** 2).mean()

    params = random_params(module, features_BNFK, **TWO)

    @jax.jit
    def all_three(params, features_BNFK):
        whole, again = (
            jax.value_and_grad(partial(loss, one))(params, features_BNFK)
            for one in (apply, rematerialised(apply))
        )
        half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), (params, features_BNFK))
        return whole, again, apply(*half)

    whole, again, half = all_three(params, features_BNFK)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4), whole, again)
    assert half.dtype == jnp.bfloat16
    half_loss = (np.asarray(half, np.float32) ** 2).mean()
    assert float(whole[0]) == pytest.approx(float(half_loss), rel=0.1)


@pytest.mark.parametrize("setting", [("rnn", "kind"), ("bandsplit", "along_time")])
def test_unknown_kinds_are_listed(setting):
    name, key = setting
    module = network(name, **{key: "x"})
    with pytest.raises(UserError, match=rf"unknown {name}\.{key} 'x'; known: .*(lstm|gru)"):
        jax.eval_shape(partial(module.init, **TWO), KEY, random(1, 2, 3, 1))


def changed_by_each(module, index, features_BNFK, perturbed, **arguments):
    """Which perturbations of an input change an output, as booleans.

    Args:
      module: a Linen module, which treats examples independently.
      index: of the output, without the batch.
      features_BNFK: one example.
      perturbed: indices of the inputs to perturb, each apart, without the batch.
      **arguments: of the module.
    """
    batch = np.concatenate([features_BNFK] * (1 + len(perturbed)))
    for row, place in zip(batch[1:], perturbed, strict=True):
        row[place] += 2 + random(*row[place].shape)
    params = random_params(module, features_BNFK, **arguments)
    apply = jax.jit(partial(module.apply, **arguments))
    outputs = np.asarray(apply(params, batch))[(slice(None), *index)]
    outputs = outputs.reshape(len(batch), -1)
    return np.abs(outputs[1:] - outputs[0]).max(1) > 1e-6


@pytest.mark.parametrize("along_time", ALONG_TIME)
def test_bands_depend_on_all_bins_and_on_past_and_future_frames(along_time):
    module = network("bandsplit", along_time=along_time)
    frames, bins = [np.s_[n] for n in range(9)], [np.s_[:, f] for f in range(8)]
    features_BNFK = random(1, 9, 8, 1)
    assert changed_by_each(module, (4, 0), features_BNFK, frames + bins, **TWO).all()


def test_partials_of_all_tones_lie_at_the_same_intervals():
    place_F = place_of_bins(2000)
    for number, semitones in enumerate(PARTIALS, 2):
        for fundamental in (50, 100, 200):
            above = place_F[number * fundamental] - place_F[fundamental]
            assert above / PARTS == pytest.approx(semitones, abs=0.5)


def test_values_at_semitones_are_means_of_bins_and_interpolate_back():
    place_F = place_of_bins(1025)
    parts = (int(place_F[-1]) // PARTS + 1) * PARTS
    weights_FR = weights_of_parts(place_F, parts)
    np.testing.assert_allclose(weights_FR.sum(0), 1, rtol=1e-6)
    # A straight line along the axis is interpolated exactly in every octave.
    line_R = np.arange(parts, dtype=np.float32)
    back_F = jax.jit(partial(to_bins, place_F=place_F))(line_R[None, None, None])
    np.testing.assert_allclose(np.ravel(back_F), place_F, atol=1e-3)
    # A partial lies in the part of its frequency.
    for peak in (100, 333, 900):
        frame_F = np.zeros(1025, np.float32)
        frame_F[peak] = 1
        assert (frame_F @ weights_FR).argmax() == pytest.approx(place_F[peak], abs=1)


def test_a_block_does_the_same_an_octave_higher():
    low_BNPD = np.zeros((1, 9, 84, 4), np.float32)
    low_BNPD[0, 4, 24:36] = random(12, 4)
    both_BNPD = np.concatenate([low_BNPD, np.roll(low_BNPD, 12, 2)])
    block = Block(2, 0.0)
    params = random_params(block, both_BNPD)
    low_NPD, high_NPD = np.asarray(jax.jit(block.apply)(params, both_BNPD))
    inside = slice(max(INTERVALS), 72 - max(INTERVALS))  # where no edge is within reach
    np.testing.assert_allclose(
        low_NPD[:, :72][:, inside], high_NPD[:, 12:][:, inside], atol=1e-5
    )


@pytest.mark.parametrize(
    "taps, reach", [((2, 1), (8, 1)), ((1, 2), (1, 7)), ((3, 2), (2, 3))]
)
def test_a_dilated_convolution_has_the_gradients_of_xlas(taps, reach):
    inputs_BNPD, kernel_HWDE = random(2, 9, 20, 3), random(*taps, 3, 4, seed=1)
    padding = [(n * (t - 1) // 2,) * 2 for n, t in zip(reach, taps, strict=True)]

    def loss(convolution, *operands):
        output_BNPE = convolution(
            *(*operands, (1, 1), padding),
            lhs_dilation=(1, 1),
            rhs_dilation=reach,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return jnp.sin(output_BNPE).sum(), output_BNPE

    def both(*operands):
        return [
            jax.value_and_grad(partial(loss, convolution), (0, 1), has_aux=True)(*operands)
            for convolution in (dilated, lax.conv_general_dilated)
        ]

    ours, xlas = jax.jit(both)(inputs_BNPD, kernel_HWDE)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4), ours, xlas)


def test_a_block_depends_on_both_ends_of_intervals_and_of_its_reach():
    places = list(np.ndindex(9, 50))
    changed = changed_by_each(Block(3, 0.0), (4, 24), random(1, 9, 50, 4), places)
    intervals = {sign * interval for interval in INTERVALS for sign in (-1, 1)}
    expected = {(4, 24 + i) for i in intervals | {0}} | {(1, 24), (7, 24)}
    assert {places[number] for number in np.flatnonzero(changed)} == expected


def test_layers_of_a_block_start_with_the_scale_of_one_product_of_all():
    params = jax.jit(Block(3, 0.0).init)(KEY, random(1, 9, 50, 4))
    kernels = [leaf for leaf in jax.tree.leaves(params) if leaf.ndim == 4]
    assert len(kernels) == len(INTERVALS) + 1
    stds = [np.std(np.asarray(kernel)) for kernel in kernels]
    np.testing.assert_allclose(stds, 1 / np.sqrt(11 * 4), rtol=0.4)


def test_in_training_an_example_has_a_block_whole_or_not_at_all():
    block, hidden_BNPD = Block(1, 0.25), random(1, 3, 30, 4).repeat(32, 0)
    params = random_params(block, hidden_BNPD)

    @jax.jit
    def added(hidden_BNPD):
        outputs = [block.apply(params, hidden_BNPD, rngs=r) for r in ({}, {"dropout": KEY})]
        return [output_BNPD - hidden_BNPD for output_BNPD in outputs]

    whole, training = jax.device_get(added(hidden_BNPD))
    kept_B = np.abs(training).max((1, 2, 3)) > 0
    assert 16 < kept_B.sum() < 32
    expected = whole / 0.75 * kept_B[:, None, None, None]
    np.testing.assert_allclose(training, expected, atol=1e-5)


def test_the_harmonic_network_depends_on_partials_and_neighbouring_frames():
    module = network("harmonic", depth=2)
    bins = [np.s_[7, f] for f in (20, 40, 80, 160, 240, 320)]
    frames = [np.s_[n] for n in range(15)]
    features_BNFK = random(1, 15, 400, 1)
    changed = changed_by_each(module, (7, 80), features_BNFK, bins + frames, **TWO)
    assert changed[: len(bins)].all()
    # The input reaches 2 frames, the blocks 1 and 2 more.
    assert np.flatnonzero(changed[len(bins) :]).tolist() == list(range(2, 13))


# Sizes of `harmonic` are chosen by computational work, not by parameters.
@pytest.mark.parametrize(
    "size",
    [
        pytest.param(size, marks=[pytest.mark.slow] if number else [])
        for number, size in enumerate(MILLIONS)
    ],
)
@pytest.mark.parametrize("name", sorted(set(ARCHITECTURES) - {"harmonic"}))
def test_presets_have_the_documented_number_of_parameters(size, name):
    config = sized(get_config(), size)
    config.model.architecture = name
    separator = build(settings_of(config).model)
    features_BNFK = jax.ShapeDtypeStruct(
        (1, 4, separator.representation.num_bins, 1), np.float32
    )
    shapes = jax.eval_shape(partial(separator.architecture.init, **TWO), KEY, features_BNFK)
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    assert count == pytest.approx(1e6 * MILLIONS[size], rel=0.12)


def test_unknown_sizes_are_listed():
    with pytest.raises(UserError, match="known: small, medium, large"):
        sized(get_config(), "huge")


CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.py"))
each_config = pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)


def module_of(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@each_config
def test_configs_have_valid_settings_and_their_command_in_the_docstring(path):
    module = module_of(path)
    settings = settings_of(module.get_config())
    check_ranges(dataclasses.replace(settings, model=settings.model.in_use()))
    check_data(settings)
    build(settings.model)
    assert f"configs/{path.name}" in module.__doc__


@pytest.mark.slow
@each_config
def test_configs_pass_all_checks_of_training(path):
    check(settings_of(module_of(path).get_config()))
