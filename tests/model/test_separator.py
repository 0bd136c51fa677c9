"""Separators: level, rest, residual, standardisation, silence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from builders import init, noise, small_model

from sep.errors import UserError
from sep.model.consistency import share_rest
from sep.model.separator import build, level_free
from sep.model.settings import ModelSettings
from sep.runtime.settings import changed
from sep.training.losses import LOSSES
from sep.training.settings import RunSettings
from sep.training.validate_config import check


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_finite_on_digital_silence(loss, told):
    separator = build(small_model(level_free=not told, stereo=not told))
    silence_BCT = jnp.zeros((1, 2, 1000))
    variables = init(separator, silence_BCT)

    def objective(variables, mixture_BCT):
        sources_BSCT = separator.apply(variables, mixture_BCT)
        return LOSSES[loss](jnp.zeros_like(sources_BSCT), sources_BSCT)

    gradients = jax.jit(jax.grad(objective, (0, 1)))(variables, silence_BCT)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


@pytest.mark.parametrize("told", [False, True])
def test_gradients_are_finite_where_sound_dies_away(told):
    separator = build(small_model(level_free=not told, stereo=not told))
    dying = noise(1, 1, 8000) * 10.0 ** -np.linspace(0, 30, 8000, dtype=np.float32)
    mixture_BCT = np.concatenate([dying, np.zeros((1, 1, 4000), np.float32)], -1)
    variables = init(separator, mixture_BCT)

    def objective(variables):
        return (separator.apply(variables, mixture_BCT) ** 2).sum()

    gradients = jax.jit(jax.grad(objective))(variables)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


@pytest.mark.parametrize("representation", ["magnitude", "log_magnitude", "mdct"])
def test_whoever_is_told_no_level_masks_alike_at_every_level(representation):
    mixture_BCT = noise(1, 1, 2000)
    differences = []
    for told in (False, True):
        separator = build(small_model(representation, "fnn", level_free=not told))
        variables, apply = init(separator, mixture_BCT), jax.jit(separator.apply)
        loud, soft = (apply(variables, gain * mixture_BCT) / gain for gain in (1, 0.1))
        differences.append(np.abs(loud - soft).max() / np.abs(loud).max())
    assert differences[0] < 1e-2 and differences[1] > 3 * differences[0]


def test_an_estimate_that_is_a_wave_is_told_the_level():
    assert not build(small_model("waveform", "fnn", level_free=True)).level_free
    assert build(small_model("learned", "fnn", level_free=True)).level_free


@pytest.mark.parametrize("representation", ["log_magnitude", "mel"])
def test_networks_see_how_channels_differ(representation):
    separator = build(small_model(representation, "fnn", stereo=True))
    mixture_BCT = noise(2, 3, 3000)
    variables = init(separator, mixture_BCT)
    apply = jax.jit(separator.apply)
    sources_BSCT = apply(variables, mixture_BCT)
    # Who has one channel, and what is beside it, hears the same.
    alone_BS1T = apply(variables, mixture_BCT[:, :1], mixture_BCT[:, 1:].mean(1)[:, None])
    np.testing.assert_allclose(alone_BS1T, sources_BSCT[:, :, :1], atol=1e-6)
    mono_BS1T = apply(variables, mixture_BCT[:, :1])
    assert np.abs(mono_BS1T - alone_BS1T).max() > 1e-4
    again_BS1T = apply(variables, *[mixture_BCT[:, :1]] * 2)
    np.testing.assert_allclose(again_BS1T, mono_BS1T, atol=1e-7)


def test_stereo_is_for_spectrograms_and_learned_from_stereo():
    with pytest.raises(UserError, match="spectrograms: complex, log_magnitude, magnitude"):
        build(small_model("mdct", stereo=True))
    with pytest.raises(UserError, match="data.channels=2"):
        check(changed(RunSettings(), {"model.stereo": True}))


def test_the_residual_is_one_more_output_and_part_of_the_sum():
    model = small_model(residual=True)
    assert model.outputs == ("piano", "violin", "residual")
    separator = build(model)
    mixture_BCT = noise(1, 1, 3000)
    variables = init(separator, mixture_BCT)
    sources_BSCT = jax.jit(separator.apply)(variables, mixture_BCT)
    assert sources_BSCT.shape == (1, 3, 1, 3000)
    np.testing.assert_allclose(sources_BSCT.sum(1), mixture_BCT, atol=1e-6)


def test_bins_start_with_zero_mean_and_like_deviation():
    separator = build(small_model())
    mixture_BCT = noise(4, 1, 20000)
    params = init(separator, mixture_BCT)["params"]
    analyse = jax.jit(lambda x: separator.representation.apply({}, x, method="analyse"))
    features, _ = analyse(mixture_BCT)
    standard = params["standardise"]
    normal = (level_free(features) - standard["mean"]) / standard["deviation"]
    np.testing.assert_allclose(normal.mean((0, 1)), 0, atol=1e-4)
    assert 0.5 < normal.std((0, 1)).min() <= normal.std((0, 1)).max() < 1.01


@pytest.mark.parametrize("arrays", [np.asarray, jnp.asarray])
def test_the_rest_goes_where_energy_is(arrays):
    loud, soft = noise(1, 1, 1, 5000), noise(1, 1, 1, 5000, seed=1, rms=2.0**-8)
    sources = np.concatenate([loud, soft, np.zeros_like(loud)], 1)
    mixture = sources.sum(1) + noise(1, 1, 5000, seed=2)
    shared = share_rest(arrays(mixture), arrays(sources))
    np.testing.assert_allclose(shared.sum(1), mixture, atol=1e-6)
    assert not np.asarray(shared[:, 2]).any()  # a silent source stays silent
    change = ((shared - sources) ** 2).sum((0, 2, 3))
    assert change[0] > 100 * change[1]


def test_where_all_are_silent_each_gets_the_same():
    mixture_BCT = noise(1, 2, 100)
    shared = share_rest(mixture_BCT, np.zeros((1, 4, 2, 100), np.float32))
    np.testing.assert_allclose(shared, np.repeat(mixture_BCT[:, None], 4, 1) / 4)


def test_unknown_names_are_listed():
    with pytest.raises(
        UserError,
        match="known: bandsplit, cnn, fnn, harmonic, lstm, openunmix, rnn, tcn",
    ):
        build(small_model(architecture="transformer"))
    with pytest.raises(
        UserError, match="known: complex, learned, log_magnitude, magnitude"
    ):
        build(small_model(representation="cepstrum"))


def test_only_settings_in_use_matter():
    used = small_model("mel", "tcn").in_use()
    assert used == small_model("mel", "tcn", **{"lstm.width": 99}).in_use()
    assert used != small_model("mel", "tcn", **{"tcn.width": 99}).in_use()
    assert build(used) == build(small_model("mel", "tcn"))
    assert {*used.representations, *used.architectures} == {"mel", "tcn"}
    assert len(ModelSettings().architectures) > 1
