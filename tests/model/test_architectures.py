"""Architectures against loops in NumPy and plain autodiff, and their sizes."""

import importlib.util
from functools import partial
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from builders import small_model
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from sep.config import get_config, settings_of
from sep.errors import UserError
from sep.model.architectures import ARCHITECTURES
from sep.model.architectures.attention import Attention, distances, initial_slopes
from sep.model.architectures.bandsplit import ALONG_TIME, band_groups
from sep.model.architectures.cells import CELLS, bidirectional, init_cell
from sep.model.architectures.cnn import patches, unpatched
from sep.model.architectures.dilated import dilated
from sep.model.architectures.harmonic import (
    INTERVALS,
    PARTIALS,
    PARTS,
    Block,
    gathering,
    interpolated,
    place_of_bins,
)
from sep.model.architectures.linear_recurrence import linear_recurrence
from sep.model.architectures.memory import rematerialised
from sep.model.architectures.tcn import depthwise
from sep.model.presets import MILLIONS, sized
from sep.model.separator import build
from sep.training.validate_config import check

TWO = {"num_sources": 2, "num_outputs": 1}


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def network(name, **changes):
    model = small_model(architecture=name, **{f"{name}.{k}": v for k, v in changes.items()})
    return build(model).architecture


def initial(module, features_BNFK):
    init = jax.jit(partial(module.init, **TWO))
    return init(jax.random.key(0), features_BNFK)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@settings(max_examples=8)
@given(st.integers(1, 40))
def test_a_linear_recurrence_is_its_loop_and_so_is_its_gradient(frames):
    decay_BNH = sigmoid(random(2, frames, 3))
    input_BNH, weight_BNH = random(2, frames, 3, seed=1), random(2, frames, 3, seed=2)

    def looped(decay_BNH, input_BNH):
        def step(state_BH, frame):
            state_BH = frame[0] * state_BH + frame[1]
            return state_BH, state_BH

        pairs = (decay_BNH.swapaxes(0, 1), input_BNH.swapaxes(0, 1))
        return lax.scan(step, jnp.zeros((2, 3)), pairs)[1].swapaxes(0, 1)

    def both(function):
        def loss(*arrays):
            states_BNH = function(*arrays)
            return (weight_BNH * states_BNH).sum(), states_BNH

        step = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))
        return step(decay_BNH, input_BNH)

    jax.tree.map(
        partial(np.testing.assert_allclose, atol=1e-5),
        both(linear_recurrence),
        both(looped),
    )


def numpy_states(kind, params, inputs_BNF):
    """One frame after the other, in float64."""
    hidden = params["recurrent"].shape[1]
    found = []
    for direction, order in enumerate((slice(None), slice(None, None, -1))):
        w, u, b = (
            np.asarray(params[name][direction], np.float64)
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


@pytest.mark.parametrize("kind", CELLS)
def test_cells_are_their_loop(kind):
    params = init_cell(jax.random.key(0), CELLS[kind], 5, 4)
    params["bias"] = random(*params["bias"].shape)
    inputs_BNF = random(3, 7, 5)
    states_BNK = jax.jit(partial(bidirectional, CELLS[kind]))(params, inputs_BNF)
    np.testing.assert_allclose(
        states_BNK, numpy_states(kind, params, inputs_BNF), atol=1e-5
    )


def test_a_gru_is_flaxs():
    params = init_cell(jax.random.key(0), CELLS["gru"], 5, 4)
    inputs_BNF = random(3, 7, 5)
    cell = {"hn": {"bias": np.zeros(4, np.float32)}}
    for q, gate in enumerate("rzn"):
        part = slice(4 * q, 4 * q + 4)
        cell[f"i{gate}"] = {
            "kernel": params["input"][0, :, part], "bias": params["bias"][0, part]
        }  # fmt: skip
        cell.setdefault(f"h{gate}", {})["kernel"] = params["recurrent"][0, :, part]
    theirs = jax.jit(nn.RNN(nn.GRUCell(4)).apply)({"params": {"cell": cell}}, inputs_BNF)
    ours = jax.jit(partial(bidirectional, CELLS["gru"]))(params, inputs_BNF)
    np.testing.assert_allclose(ours[..., :4], theirs, atol=1e-5)


@pytest.mark.parametrize("kind", CELLS)
def test_gradients_of_cells_are_autodiffs(kind):
    cell = CELLS[kind]
    params = init_cell(jax.random.key(0), cell, 5, 4)
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

    def gradients(function):
        def loss(params, inputs_BNF):
            return (weight_BNK * function(params, inputs_BNF)).sum()

        return jax.jit(jax.grad(loss, (0, 1)))(params, inputs_BNF)

    jax.tree.map(
        partial(np.testing.assert_allclose, atol=1e-5),
        gradients(partial(bidirectional, cell)),
        gradients(plain),
    )


@pytest.mark.parametrize("dilation", [1, 4])
def test_depthwise_is_the_convolution(dilation):
    heard_BNK, kernel_LK = random(2, 9, 3), random(3, 3, seed=1)
    expected = lax.conv_general_dilated(
        *(heard_BNK, kernel_LK[:, None], (1,), [(dilation, dilation)]),
        rhs_dilation=(dilation,),
        dimension_numbers=("NWC", "WIO", "NWC"),
        feature_group_count=3,
    )
    np.testing.assert_allclose(
        depthwise(heard_BNK, kernel_LK, dilation), expected, atol=1e-5
    )


def test_patches_come_apart_again():
    heard_BNPD = random(2, 4, 6, 3)
    joined = patches(heard_BNPD, 2, 3)
    assert joined.shape == (2, 2, 2, 18)
    np.testing.assert_array_equal(
        joined[1, 1, 0], heard_BNPD[1, 2:4, :3].reshape(-1)
    )  # frames before cells
    np.testing.assert_array_equal(unpatched(joined, 2, 3), heard_BNPD)


@given(st.integers(1, 3000), st.integers(1, 20), st.integers(1, 30))
def test_bands_cover_all_bins_and_are_finest_at_the_bottom(bins, finest, fine):
    groups = band_groups(bins, finest, fine)
    covered = sum(count * size for count, size in groups)
    assert bins <= covered < bins + groups[-1][1]
    assert [size for _, size in groups] == [finest * 2**i for i in range(len(groups))]
    assert all(count == fine for count, _ in groups[:-1]) and 1 <= groups[-1][0] <= fine


def test_attention_is_its_definition():
    heard_XLD, attention = random(2, 5, 4), Attention(heads=2, fading=True)
    variables = attention.init(jax.random.key(0), heard_XLD)
    params = jax.tree.map(lambda x: np.asarray(x, np.float64), variables["params"])
    mean = heard_XLD.mean(-1, keepdims=True)
    normal = (heard_XLD - mean) / np.sqrt(heard_XLD.var(-1, keepdims=True) + 1e-6)
    asked = normal @ params["Dense_0"]["kernel"]
    slopes_2H = np.log1p(np.exp(params["slopes"]))
    expected = np.array(heard_XLD, np.float64)
    mixed = np.zeros((2, 5, 4))
    for x, head, i in np.ndindex(2, 2, 5):
        part = slice(2 * head, 2 * head + 2)
        query, key, value = (asked[x, :, 4 * j : 4 * j + 4][:, part] for j in range(3))
        score = key @ query[i] / np.sqrt(2)
        for j in range(5):
            score[j] -= slopes_2H[int(j < i), head] * abs(j - i)
        weight = np.exp(score - score.max())
        mixed[x, i, part] = weight / weight.sum() @ value
    expected += mixed @ params["Dense_1"]["kernel"]
    found = jax.jit(attention.apply)(variables, heard_XLD)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_far_elements_are_heard_less():
    slopes_2H = jax.nn.softplus(initial_slopes(None, 3))
    np.testing.assert_allclose(slopes_2H, [[1, 0.1, 0.01]] * 2, rtol=1e-4)
    penalty_HLL = distances(4, slopes_2H.at[1].set(0))
    np.testing.assert_allclose(penalty_HLL[0, 1], [0, 0, 1, 2])  # only what is ahead


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 5, 7, 2), (1, 16, 64, 1)])
def test_any_number_of_frames_and_bins_works(name, shape):
    features_BNFK = random(*shape)
    module = network(name)

    def call(features_BNFK):
        return module.init_with_output(jax.random.key(0), features_BNFK, **TWO)[0]

    estimates = jax.eval_shape(call, features_BNFK)
    assert estimates.shape == (*shape[:3], 2, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rnn", "tcn", "cnn", "bandsplit"])
def test_rematerialised_and_in_bfloat16_they_say_nearly_the_same(name):
    features_BNFK = random(2, 12, 32, 1)
    module = network(name)
    params = initial(module, features_BNFK)

    def loss(apply, params, features_BNFK):
        return (apply(params, features_BNFK).astype(jnp.float32) ** 2).mean()

    apply = partial(module.apply, **TWO)
    whole, again = (
        jax.jit(jax.value_and_grad(partial(loss, one)))(params, features_BNFK)
        for one in (apply, rematerialised(apply))
    )
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-4), whole, again)
    half = jax.tree.map(lambda x: jnp.asarray(x, jnp.bfloat16), (params, features_BNFK))
    estimates = jax.jit(apply)(*half)
    assert estimates.dtype == jnp.bfloat16
    assert loss(apply, params, features_BNFK) == pytest.approx(
        float((estimates.astype(jnp.float32) ** 2).mean()), rel=0.1
    )


@pytest.mark.parametrize("setting", [("rnn", "kind"), ("bandsplit", "along_time")])
def test_unknown_kinds_are_listed(setting):
    name, key = setting
    with pytest.raises(UserError, match=rf"unknown {name}\.{key} 'x'; known: .*(lstm|gru)"):
        network(name, **{key: "x"}).init(jax.random.key(0), random(1, 2, 3, 1), **TWO)


@pytest.mark.parametrize("along_time", ALONG_TIME)
def test_bands_hear_the_past_and_the_future(along_time):
    module = network("bandsplit", along_time=along_time)
    features_BNFK = random(1, 9, 8, 1)
    params = initial(module, features_BNFK)

    def middle(features_BNFK):
        return module.apply(params, features_BNFK, **TWO)[0, 4, 0, 0, 0]

    gradient_NF = jax.jit(jax.grad(middle))(features_BNFK)[0, ..., 0]
    assert (np.abs(gradient_NF).max(1) > 0).all()  # all frames,
    assert (np.abs(gradient_NF).max(0) > 0).all()  # all bins


def test_partials_of_all_tones_lie_at_the_same_intervals():
    place_F = place_of_bins(2000)
    for number, semitones in enumerate(PARTIALS, 2):
        for fundamental in (50, 100, 200):
            above = place_F[number * fundamental] - place_F[fundamental]
            assert above / PARTS == pytest.approx(semitones, abs=0.5)


def test_values_at_semitones_are_means_of_bins_and_interpolate_back():
    place_F = place_of_bins(1025)
    parts = (int(place_F[-1]) // PARTS + 1) * PARTS
    weights_FR = gathering(place_F, parts)
    np.testing.assert_allclose(weights_FR.sum(0), 1, rtol=1e-6)
    # A straight line along the axis comes back as it was, all in one octave or another.
    line_R = np.arange(parts, dtype=np.float32)
    back_F = interpolated(line_R[None, None, None], place_F)[0, 0, 0]
    np.testing.assert_allclose(back_F, place_F, atol=1e-3)
    # A partial lies in the part of its frequency.
    for peak in (100, 333, 900):
        frame_F = np.zeros(1025, np.float32)
        frame_F[peak] = 1
        assert (frame_F @ weights_FR).argmax() == pytest.approx(place_F[peak], abs=1)


def test_a_block_does_the_same_an_octave_higher():
    block, heard_BNPD = Block(2, 0.0), np.zeros((1, 9, 84, 4), np.float32)
    heard_BNPD[0, 4, 24:36] = random(12, 4)
    params = jax.jit(block.init)(jax.random.key(0), heard_BNPD)
    low_NPD, high_NPD = (
        block.apply(params, np.roll(heard_BNPD, shift, 2))[0] for shift in (0, 12)
    )
    np.testing.assert_allclose(low_NPD[:, :72], high_NPD[:, 12:], atol=1e-6)


@pytest.mark.parametrize(
    "taps, reach", [((2, 1), (8, 1)), ((1, 2), (1, 7)), ((3, 2), (2, 3))]
)
def test_a_dilated_convolution_has_the_gradients_of_xlas(taps, reach):
    heard_BNPD, kernel_HWDE = random(2, 9, 20, 3), random(*taps, 3, 4, seed=1)
    padding = [(n * (t - 1) // 2,) * 2 for n, t in zip(reach, taps, strict=True)]

    def loss(convolution, *operands):
        said_BNPE = convolution(
            *(*operands, (1, 1), padding),
            lhs_dilation=(1, 1),
            rhs_dilation=reach,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return jnp.sin(said_BNPE).sum(), said_BNPE

    ours, xlas = (
        jax.jit(jax.value_and_grad(partial(loss, convolution), (0, 1), has_aux=True))(
            heard_BNPD, kernel_HWDE
        )
        for convolution in (dilated, lax.conv_general_dilated)
    )
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4), ours, xlas)


def test_a_block_hears_both_ends_of_intervals_and_of_its_reach():
    block, heard_BNPD = Block(3, 0.0), random(1, 9, 50, 4)
    params = jax.jit(block.init)(jax.random.key(0), heard_BNPD)
    gradient_NPD = jax.jit(jax.grad(lambda x: block.apply(params, x)[0, 4, 24].sum()))(
        heard_BNPD
    )[0]
    places = set(zip(*np.nonzero(np.abs(gradient_NPD).max(-1)), strict=True))
    intervals = {sign * interval for interval in INTERVALS for sign in (-1, 1)}
    assert places == {(4, 24 + i) for i in intervals | {0}} | {(1, 24), (7, 24)}
    # All are as strong, at first, as in one product with everything side by side.
    kernels = [leaf for leaf in jax.tree.leaves(params) if leaf.ndim == 4]
    np.testing.assert_allclose([k.std() for k in kernels], 1 / np.sqrt(11 * 4), rtol=0.4)


def test_in_training_an_example_hears_a_block_whole_or_not_at_all():
    block, heard_BNPD = Block(1, 0.25), random(1, 3, 30, 4).repeat(32, 0)
    params = jax.jit(block.init)(jax.random.key(0), heard_BNPD)
    added, training = (
        jax.jit(block.apply)(params, heard_BNPD, rngs=keys) - heard_BNPD
        for keys in ({}, {"dropout": jax.random.key(0)})
    )
    kept_B = np.abs(training).max((1, 2, 3)) > 0
    assert 16 < kept_B.sum() < 32
    wanted = added / 0.75 * kept_B[:, None, None, None]
    np.testing.assert_allclose(training, wanted, atol=1e-5)


def test_the_harmonic_network_hears_partials_and_the_frames_around():
    module = network("harmonic", depth=2)
    features_BNFK = random(1, 15, 400, 1)
    params = initial(module, features_BNFK)
    bin_F = jnp.array([80])

    def middle(features_BNFK):
        return module.apply(params, features_BNFK, **TWO)[0, 7, bin_F].sum()

    gradient_NF = np.abs(jax.jit(jax.grad(middle))(features_BNFK)[0, ..., 0])
    assert (gradient_NF[7, [20, 40, 80, 160, 240, 320]] > 0).all()
    assert (gradient_NF[2:13].max(1) > 0).all()  # 2 frames, then 1 and 2 more
    assert not gradient_NF[[0, 1, 13, 14]].any()


@pytest.mark.parametrize("size", MILLIONS)
@pytest.mark.parametrize("name", sorted(set(ARCHITECTURES) - {"harmonic"}))
def test_presets_have_the_size_they_say(size, name):
    config = sized(get_config(), size)
    config.model.architecture = name
    mixture_BCT = jax.ShapeDtypeStruct((1, 1, 44100), np.float32)
    separator = build(settings_of(config).model)
    shapes = jax.eval_shape(separator.init, jax.random.key(0), mixture_BCT)["params"]
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes["architecture"]))
    assert count == pytest.approx(1e6 * MILLIONS[size], rel=0.12)


def test_unknown_sizes_are_listed():
    with pytest.raises(UserError, match="known: small, medium, large"):
        sized(get_config(), "huge")


CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.py"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configs_work_and_say_what_they_are(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    check(settings_of(module.get_config()))
    assert f"configs/{path.name}" in module.__doc__
