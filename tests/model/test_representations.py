"""Representations against their definitions, and back from them."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from builders import noise, small_model, with_setting

from sep.model.representations import REPRESENTATIONS
from sep.model.representations.masking import Masking
from sep.model.representations.mel import mel_weights
from sep.model.separator import build
from sep.model.transforms import leading_frames

ONE = np.log(np.e - 1)  # softplus of it is a mask of 1
RATE, N_FFT = 44100, 256
LENGTH = 701
ALL_BINS = {"max_frequency": 0.0}


@cache
def made(name, **changes):
    """A small representation with its parameters, its jitted analysis and synthesis."""
    model = small_model(name, **{f"{name}.{k}": v for k, v in changes.items()})
    module = build(model).representation
    init = partial(module.init, jax.random.key(0), method="analyse")
    mixture_BCT = np.zeros((1, 1, LENGTH), np.float32)
    variables = {}
    if jax.eval_shape(init, mixture_BCT):  # most have no parameters
        variables = jax.jit(init)(mixture_BCT)
    bound = module.bind(variables)
    synthesise = jax.jit(partial(bound.synthesise, length=LENGTH))
    return bound, jax.jit(bound.analyse), synthesise


def estimates_of_masks(module, estimates):
    """The estimates of two sources for which masks are 1 and 0, whatever the mask is."""
    for pair in ([ONE, -200.0], [0.5, -0.5]):  # softplus; added to the even share
        estimates = estimates.copy()
        estimates[..., 0] = pair
        if np.allclose(jax.jit(module.mask)(estimates), [1, 0], atol=1e-6):
            return pair
    raise AssertionError(f"{type(module).__name__}: no estimate has a mask of 1")


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_the_whole_mixture_comes_back_as_one_source(name):
    module, _, _ = made(name)
    mixture_BCT = noise(2, 2, LENGTH)
    features_BNFK, _ = jax.eval_shape(module.analyse, mixture_BCT)
    assert features_BNFK.shape[0] == 4 and features_BNFK.dtype == np.float32
    estimates = np.zeros((*features_BNFK.shape[:3], 2, module.outputs), np.float32)
    if isinstance(module, Masking):
        estimates[..., 0] = estimates_of_masks(module, estimates)

    @jax.jit
    def round_trip(mixture_BCT):
        features_BNFK, context = module.analyse(mixture_BCT)
        if isinstance(module, Masking):
            return module.synthesise(estimates, context, LENGTH)
        # Estimates are the features of the sources.
        silent_BNFK = jnp.zeros_like(features_BNFK)
        return module.synthesise(
            jnp.stack([features_BNFK, silent_BNFK], 3), context, LENGTH
        )

    sources_BSCT = np.asarray(round_trip(mixture_BCT))
    assert sources_BSCT.shape == (2, 2, 2, LENGTH)
    np.testing.assert_allclose(sources_BSCT[:, 0], mixture_BCT, atol=1e-6)
    np.testing.assert_allclose(sources_BSCT[:, 1], 0, atol=1e-6)


def test_channel_differences_are_of_powers_and_of_cross_spectra():
    module = build(small_model("magnitude")).representation

    @jax.jit
    def difference(mixture_BCT, beside_BCT):
        _, context = module.analyse(mixture_BCT)
        return module.channel_difference(context, beside_BCT)

    mixture_BCT = noise(1, 1, LENGTH)
    for gain, contrast, common in ((1, 0, 1), (0.5, 0.6, 0.8), (-1, 0, -1), (0, 1, 0)):
        found_BNFK = np.asarray(difference(mixture_BCT, np.float32(gain) * mixture_BCT))
        np.testing.assert_allclose(found_BNFK[..., 0], contrast, atol=1e-3)
        np.testing.assert_allclose(found_BNFK[..., 1], common, atol=1e-3)
    assert not np.any(difference(0 * mixture_BCT, 0 * mixture_BCT))


@pytest.mark.parametrize("name", ["complex", "mdct"])
def test_masks_turn_a_mixture_into_any_other_sound(name):
    _, analyse, synthesise = made(name, **ALL_BINS)
    target_BCT = noise(2, 2, LENGTH, seed=1)
    context, target = (np.asarray(analyse(x)[1]) for x in (noise(2, 2, LENGTH), target_BCT))
    mask_BNF = (target / context).reshape(4, *context.shape[2:])
    parts = [mask_BNF.real, mask_BNF.imag] if np.iscomplexobj(mask_BNF) else [mask_BNF]
    estimates_BNFSK = np.stack(parts, -1)[..., None, :] - np.eye(len(parts))[0]
    sources_BSCT = np.asarray(synthesise(np.float32(estimates_BNFSK), context))
    np.testing.assert_allclose(sources_BSCT[:, 0], target_BCT, atol=1e-4)


def test_levels_are_relative_to_sines_and_have_a_floor():
    _, analyse, _ = made("log_magnitude", floor_db=-60.0, **ALL_BINS)
    time, bins = np.arange(2000) / RATE, (20, 40)
    for amplitude, expected in ((1.0, 0.0), (0.1, -20.0), (1e-3, -57.0)):
        tone = sum(amplitude * np.sin(2 * np.pi * b * RATE / N_FFT * time) for b in bins)
        levels, _ = analyse(tone[None, None].astype(np.float32))
        level_NF = np.asarray(levels)[0, ..., 0]
        np.testing.assert_allclose(level_NF[15, list(bins)], expected, atol=0.05)
        np.testing.assert_allclose(level_NF[15, 90], -60, atol=0.1)
    silence, _ = analyse(np.zeros((1, 1, 2000), np.float32))
    np.testing.assert_allclose(silence, -60, atol=0.01)


@pytest.mark.parametrize("name", with_setting(REPRESENTATIONS, "onset_n_fft"))
def test_short_windows_locate_onsets(name):
    sizes = {"n_fft": N_FFT, "hop_length": 64}
    without, _, _ = made(name, **sizes)
    module, _, _ = made(name, **sizes, onset_n_fft=32)

    @jax.jit
    def both(wave_BCT):
        return without.analyse(wave_BCT), module.analyse(wave_BCT)

    for length, places in ((512, (200, 511)), (65, (0,)), (1, (0,))):
        silence_BCT = np.zeros((1, 1, length), np.float32)
        (_, _), (silent_BNFK, _) = both(silence_BCT)
        for place in places:
            click_BCT = silence_BCT.copy()
            click_BCT[..., place] = 1
            (long_BNFK, context), (all_BNFK, same) = jax.device_get(both(click_BCT))
            kinds = long_BNFK.shape[3]
            assert all_BNFK.shape == (*long_BNFK.shape[:3], 5 * kinds)
            np.testing.assert_array_equal(all_BNFK[..., :kinds], long_BNFK)
            np.testing.assert_array_equal(same, context)
            change_NFK = np.abs(all_BNFK - silent_BNFK)[0, ..., kinds:]
            change_NX = change_NFK.reshape(*change_NFK.shape[:2], 4, kinds).sum((1, 3))
            frame, part = np.unravel_index(change_NX.argmax(), change_NX.shape)
            first = leading_frames(N_FFT, 64)
            assert abs((frame - first) * 64 + part * 16 - place) <= 8


def test_short_windows_give_a_sine_the_same_level():
    sizes = {"n_fft": N_FFT, "hop_length": 64, **ALL_BINS}
    _, analyse, _ = made("log_magnitude", **sizes, onset_n_fft=64)
    wave_T = np.sin(2 * np.pi * 40 / N_FFT * np.arange(2000), dtype=np.float32)
    levels_FK = np.asarray(analyse(wave_T[None, None])[0])[0, 15]
    np.testing.assert_allclose(levels_FK[40], 0, atol=0.05)
    assert levels_FK[43, 0] < -90 and levels_FK[43, 1] > -10  # short windows blur bins


@pytest.mark.parametrize("onset_n_fft", [-2, 31, 48, 512])
def test_short_windows_that_do_not_fit_are_refused(onset_n_fft):
    changes = {"mel.n_fft": N_FFT, "mel.hop_length": 64, "mel.onset_n_fft": onset_n_fft}
    module = build(small_model("mel", **changes)).representation
    with pytest.raises(ValueError, match=f"divide hop_length, not {onset_n_fft}"):
        jax.eval_shape(module.analyse, jax.ShapeDtypeStruct((1, 1, 999), np.float32))


@pytest.mark.parametrize("name", with_setting(REPRESENTATIONS, "compression"))
def test_features_are_compressed(name):
    """Ten times the amplitude is ten to the compression times the feature."""
    _, analyse, _ = made(name)
    mixture_BCT = noise(2, 2, LENGTH)
    soft, loud = (np.asarray(analyse(np.float32(x) * mixture_BCT)[0]) for x in (1, 10))
    audible = np.abs(soft) > 0.3 * np.abs(soft).max()  # well above SILENCE
    np.testing.assert_allclose(loud[audible] / soft[audible], 10**0.3, rtol=1e-3)


def test_mel_bands_are_even_on_the_scale_and_share_each_bin():
    hertz_F = np.arange(1025) * 22050 / 2048
    weights_FM = mel_weights(hertz_F, 40)
    assert weights_FM.shape == (1025, 40)
    np.testing.assert_allclose(weights_FM.sum(1), 1, atol=1e-6)
    assert ((weights_FM > 0).sum(1) <= 2).all()
    mel = 2595 * np.log10(1 + hertz_F[weights_FM.argmax(0)] / 700)
    np.testing.assert_allclose(np.diff(mel)[1:-1], np.diff(mel).mean(), atol=25)
    # 1000 Hz is 1000 mel.
    assert np.interp(1000, hertz_F, 2595 * np.log10(1 + hertz_F / 700)) == pytest.approx(
        1000, abs=1
    )
    with pytest.raises(ValueError, match="some of 400 bands contain no bin"):
        mel_weights(hertz_F, 400)
    with pytest.raises(ValueError, match="only one bin"):
        mel_weights(hertz_F[:1], 1)


def test_a_mel_mask_is_interpolated_between_bands():
    _, analyse, synthesise = made("mel", **ALL_BINS)
    features_BNFK, context = analyse(noise(1, 1, LENGTH))
    bands = features_BNFK.shape[2]
    estimates = np.full((*features_BNFK.shape[:3], 1, 1), -200.0, np.float32)
    estimates[:, :, bands // 2] = ONE  # one band alone
    source_T = np.asarray(synthesise(estimates, context))[0, 0, 0]
    loudest_hz = np.abs(np.fft.rfft(source_T)).argmax() * RATE / LENGTH
    weights_FM = mel_weights(np.arange(129) * RATE / N_FFT, bands)
    audible = weights_FM[:, bands // 2].nonzero()[0][[0, -1]] * RATE / N_FFT
    assert audible[0] - 200 < loudest_hz < audible[1] + 200


def test_filters_start_as_cosines():
    _, analyse, _ = made("learned", filters=128, compression=1.0)
    mixture_BCT = noise(2, 2, LENGTH)
    features_BNFK, _ = analyse(mixture_BCT)
    # An orthogonal matrix, and a window whose squares sum to 1: energy is preserved.
    energy = (np.asarray(features_BNFK, np.float64) ** 2).sum()
    assert energy == pytest.approx((mixture_BCT.astype(np.float64) ** 2).sum(), rel=1e-4)


def test_more_filters_than_samples_are_refused():
    module = build(small_model("learned", **{"learned.filters": 129})).representation
    with pytest.raises(ValueError, match="filters must be 1 to 128"):
        jax.eval_shape(
            lambda x: module.init(jax.random.key(0), x, method="analyse"),
            jnp.zeros((1, 1, 999)),
        )
