"""Separators: level, rest, residual, standardisation, silence."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from builders import build_pointwise, init, noise, small_model

from sep.errors import UserError
from sep.model.architectures import ARCHITECTURES
from sep.model.consistency import share_rest
from sep.model.representations import REPRESENTATIONS
from sep.model.representations.masking import Masking
from sep.model.separator import build, level_free, others
from sep.model.settings import ModelSettings
from sep.runtime.settings import changed
from sep.training.losses import LOSSES
from sep.training.settings import RunSettings
from sep.training.validate_config import check

LENGTH = 1200
MASKING = [
    name
    for name, entry in REPRESENTATIONS.items()
    if issubclass(entry.module_class(), Masking)
]


@cache
def gradients_of_losses(options):
    """Gradients of all losses and of energy by parameters and mixture, jitted."""
    separator = build_pointwise(level_free=options, stereo=options)

    @jax.jit
    def gradients(mixture_BCT):
        variables = separator.init(jax.random.key(0), mixture_BCT)
        sources_BSCT, backward = jax.vjp(separator.apply, variables, mixture_BCT)
        silent_BSCT = jnp.zeros_like(sources_BSCT)
        losses = [*LOSSES.values(), lambda _, sources_BSCT: (sources_BSCT**2).sum()]
        slopes = [jax.grad(loss, argnums=1)(silent_BSCT, sources_BSCT) for loss in losses]
        return jax.vmap(backward)(jnp.stack(slopes))

    return gradients


def assert_finite(tree):
    for path, leaf in jax.tree_util.tree_leaves_with_path(jax.device_get(tree)):
        assert np.isfinite(leaf).all(), jax.tree_util.keystr(path)


@pytest.mark.parametrize("options", [False, True])
def test_gradients_are_finite_on_digital_silence(options):
    silence_BCT = np.zeros((1, 2, LENGTH), np.float32)
    assert_finite(gradients_of_losses(options)(silence_BCT))


@pytest.mark.parametrize("options", [False, True])
def test_gradients_are_finite_where_sound_dies_away(options):
    decay_T = np.append(-np.linspace(0, 30, LENGTH - 400), np.full(400, -np.inf))
    mixture_BCT = noise(1, 2, LENGTH) * np.float32(10.0**decay_T)
    assert_finite(gradients_of_losses(options)(mixture_BCT))


@pytest.mark.parametrize("representation", MASKING)
def test_with_level_free_features_masks_are_alike_at_every_level(representation):
    mixture_BCT = noise(1, 1, LENGTH)
    both_BCT = np.concatenate([mixture_BCT, np.float32(0.1) * mixture_BCT])

    @jax.jit
    def separated(mixture_BCT, both_BCT):
        found = []
        for option in (True, False):
            separator = build_pointwise(representation, level_free=option)
            variables = separator.init(jax.random.key(0), mixture_BCT)
            found.append(separator.apply(variables, both_BCT))
        return found

    differences = []
    for sources_BSCT in separated(mixture_BCT, both_BCT):
        loud, soft = np.asarray(sources_BSCT)
        differences.append(np.abs(loud - 10 * soft).max() / np.abs(loud).max())
    assert differences[0] < 1e-2 and differences[1] > 3 * differences[0]


def test_only_masks_can_be_level_free():
    for name in REPRESENTATIONS:
        model = small_model(name, "fnn", level_free=True)
        assert build(model).level_free == (name in MASKING)
    assert set(REPRESENTATIONS) - set(MASKING)


@pytest.mark.parametrize("representation", ["log_magnitude", "mel"])
def test_stereo_features_are_differences_from_the_other_channels(representation):
    separator = build_pointwise(representation, stereo=True)
    mixture_BCT = noise(2, 3, LENGTH)
    variables = init(separator, mixture_BCT)
    apply = jax.jit(separator.apply)
    sources_BSCT = np.asarray(apply(variables, mixture_BCT))
    # One channel, together with the mean of the others, gives the same.
    one_B1T = mixture_BCT[:, :1]
    beside_B1T = mixture_BCT[:, 1:].mean(1)[:, None]
    alone_BS1T = np.asarray(apply(variables, one_B1T, beside_B1T))
    np.testing.assert_allclose(alone_BS1T, sources_BSCT[:, :, :1], atol=1e-6)
    mono_BS1T = np.asarray(apply(variables, one_B1T, one_B1T))
    assert np.abs(mono_BS1T - alone_BS1T).max() > 1e-4


def test_the_others_are_the_mean_of_all_other_channels():
    mixture_CT = noise(3, 7)
    expected_CT = [np.delete(mixture_CT, c, 0).mean(0) for c in range(3)]
    np.testing.assert_allclose(others(mixture_CT), expected_CT, atol=1e-7)
    np.testing.assert_array_equal(others(mixture_CT[:1]), mixture_CT[:1])  # mono: itself


def test_stereo_needs_a_spectrogram_and_stereo_crops():
    with pytest.raises(UserError, match="choose a representation of complex, log_magni"):
        build(small_model("mdct", stereo=True))
    with pytest.raises(UserError, match="data.channels=2"):
        check(changed(RunSettings(), {"model.stereo": True}))


def test_the_residual_is_one_more_output_and_part_of_the_sum():
    assert small_model(residual=True).outputs == ("piano", "violin", "residual")
    mixture_BCT = noise(1, 1, LENGTH)
    separate = jax.jit(build_pointwise(residual=True).init_with_output)
    sources_BSCT = np.asarray(separate(jax.random.key(0), mixture_BCT)[0])
    assert sources_BSCT.shape == (1, 3, 1, LENGTH)
    np.testing.assert_allclose(sources_BSCT.sum(1), mixture_BCT, atol=1e-6)


def test_bins_start_with_zero_mean_and_like_deviation():
    separator = build_pointwise()

    @jax.jit
    def standardised(mixture_BCT):
        params = separator.init(jax.random.key(0), mixture_BCT)["params"]["standardise"]
        features, _ = separator.representation.apply({}, mixture_BCT, method="analyse")
        return (level_free(features) - params["mean"]) / params["deviation"]

    normal = np.asarray(standardised(noise(4, 1, 5000)))
    np.testing.assert_allclose(normal.mean((0, 1)), 0, atol=1e-4)
    deviations = normal.std((0, 1))
    assert 0.5 < deviations.min() <= deviations.max() < 1.01


@pytest.mark.parametrize("share", [share_rest, jax.jit(share_rest)], ids=["numpy", "jax"])
def test_the_rest_goes_where_energy_is(share):
    loud, soft = noise(1, 1, 1, 5000), noise(1, 1, 1, 5000, seed=1, rms=2.0**-8)
    sources = np.concatenate([loud, soft, np.zeros_like(loud)], 1)
    mixture = sources.sum(1) + noise(1, 1, 5000, seed=2)
    shared = share(mixture, sources)
    assert isinstance(shared, np.ndarray if share is share_rest else jax.Array)
    shared = np.asarray(shared)
    np.testing.assert_allclose(shared.sum(1), mixture, atol=1e-6)
    assert not shared[:, 2].any()  # a silent source stays silent
    change = ((shared - sources) ** 2).sum((0, 2, 3))
    assert change[0] > 100 * change[1]


def test_where_all_are_silent_each_gets_the_same():
    mixture_BCT = noise(1, 2, 100)
    shared = share_rest(mixture_BCT, np.zeros((1, 4, 2, 100), np.float32))
    np.testing.assert_allclose(shared, np.repeat(mixture_BCT[:, None], 4, 1) / 4)


def test_unknown_names_are_listed():
    for kind, registry in (
        ("architecture", ARCHITECTURES),
        ("representation", REPRESENTATIONS),
    ):
        with pytest.raises(UserError, match=f"known: {', '.join(sorted(registry))}"):
            build(small_model(**{kind: "cepstrum"}))


def test_only_settings_in_use_matter():
    used = small_model("mel", "tcn").in_use()
    assert used == small_model("mel", "tcn", **{"lstm.width": 99}).in_use()
    assert used != small_model("mel", "tcn", **{"tcn.width": 99}).in_use()
    assert build(used) == build(small_model("mel", "tcn"))
    assert {*used.representations, *used.architectures} == {"mel", "tcn"}
    assert len(ModelSettings().architectures) > 1
