"""Representations against their definitions, and back from them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from builders import noise, small_model

from sep.model.representations import REPRESENTATIONS
from sep.model.representations.masking import Masking
from sep.model.representations.mel import mel_weights
from sep.model.separator import build
from sep.model.transforms import leading_frames

ONE = np.log(np.e - 1)  # what softplus makes a mask of 1 of
RATE, N_FFT = 44100, 256


def made(name, **changes):
    """A representation, small, and its analysis of a mixture."""
    module = build(small_model(name, **{f"{name}.{k}": v for k, v in changes.items()}))
    module = module.representation
    mixture_BCT = noise(2, 2, 3001)
    variables = module.init(jax.random.key(0), mixture_BCT, method="analyse")

    def analyse(mixture_BCT):
        return module.apply(variables, mixture_BCT, method="analyse")

    def synthesise(estimates_BNFSK, context, length=3001):
        return module.apply(
            variables, estimates_BNFSK, context, length, method="synthesise"
        )

    return mixture_BCT, analyse, synthesise


def estimates_of_masks(module, estimates):
    """The estimates of two sources for which masks are 1 and 0, whatever the mask is."""
    for pair in ([ONE, -200.0], [0.5, -0.5]):  # softplus; added to the even share
        estimates = estimates.copy()
        estimates[..., 0] = pair
        if np.allclose(module.mask(estimates), [1, 0], atol=1e-6):
            return pair
    raise AssertionError(f"{type(module).__name__}: no estimate has a mask of 1")


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_the_whole_mixture_comes_back_as_one_source(name):
    mixture_BCT, analyse, synthesise = made(name)
    features_BNFK, context = analyse(mixture_BCT)
    assert features_BNFK.shape[0] == 4 and features_BNFK.dtype == np.float32
    module = build(small_model(name)).representation
    estimates = np.zeros((*features_BNFK.shape[:3], 2, module.outputs), np.float32)
    if isinstance(module, Masking):
        estimates[..., 0] = estimates_of_masks(module, estimates)
    else:  # estimates are the features of the sources
        estimates[..., 0, :] = features_BNFK
    sources_BSCT = synthesise(estimates, context)
    assert sources_BSCT.shape == (2, 2, 2, 3001)
    np.testing.assert_allclose(sources_BSCT[:, 0], mixture_BCT, atol=1e-6)
    np.testing.assert_allclose(sources_BSCT[:, 1], 0, atol=1e-6)


def test_what_lies_between_channels_is_contrast_and_what_they_share():
    mixture_BCT = noise(1, 1, 3001)
    module = build(small_model("magnitude")).representation
    _, context = module.apply({}, mixture_BCT, method="analyse")
    for gain, contrast, same in ((1, 0, 1), (0.5, 0.6, 0.8), (-1, 0, -1), (0, 1, 0)):
        between_BNFK = module.apply({}, context, gain * mixture_BCT, method="between")
        np.testing.assert_allclose(between_BNFK[..., 0], contrast, atol=1e-3)
        np.testing.assert_allclose(between_BNFK[..., 1], same, atol=1e-3)
    _, silence = module.apply({}, 0 * mixture_BCT, method="analyse")
    assert not module.apply({}, silence, 0 * mixture_BCT, method="between").any()


@pytest.mark.parametrize("name", ["complex", "mdct"])
def test_masks_turn_a_mixture_into_any_other_sound(name):
    mixture_BCT, analyse, synthesise = made(name, max_frequency=0.0)
    target_BCT = noise(2, 2, 3001, seed=1)
    (_, context), (_, wanted) = analyse(mixture_BCT), analyse(target_BCT)
    mask_BNF = (wanted / context).reshape(4, *context.shape[2:])
    parts = [mask_BNF.real, mask_BNF.imag] if name == "complex" else [mask_BNF]
    estimates_BNFSK = jnp.stack(parts, -1)[..., None, :] - np.eye(len(parts))[0]
    sources_BSCT = synthesise(estimates_BNFSK, context)
    np.testing.assert_allclose(sources_BSCT[:, 0], target_BCT, atol=1e-4)


def test_levels_are_of_sines_and_have_a_floor():
    _, analyse, _ = made("log_magnitude", floor_db=-60.0, max_frequency=0.0)
    time, bins = np.arange(8000) / RATE, (20, 40)
    for amplitude, expected in ((1.0, 0.0), (0.1, -20.0), (1e-3, -57.0)):
        tone = sum(amplitude * np.sin(2 * np.pi * b * RATE / N_FFT * time) for b in bins)
        level_NF = analyse(tone[None, None].astype(np.float32))[0][0, ..., 0]
        np.testing.assert_allclose(level_NF[60, list(bins)], expected, atol=0.05)
        np.testing.assert_allclose(level_NF[60, 90], -60, atol=0.1)
    silence, _ = analyse(np.zeros((1, 1, 8000), np.float32))
    np.testing.assert_allclose(silence, -60, atol=0.01)


@pytest.mark.parametrize("name", ["magnitude", "log_magnitude", "complex", "mel"])
def test_short_windows_tell_when_a_note_begins(name):
    sizes = {"n_fft": N_FFT, "hop_length": 64}
    _, without, _ = made(name, **sizes)
    _, analyse, _ = made(name, **sizes, onset_n_fft=32)
    for length, place in ((3001, 1234), (3008, 3007), (65, 0), (1, 0)):
        click_BCT = np.zeros((1, 1, length), np.float32)
        click_BCT[..., place] = 1
        (long_BNFK, context), (both_BNFK, same) = without(click_BCT), analyse(click_BCT)
        kinds = long_BNFK.shape[3]
        assert both_BNFK.shape == (*long_BNFK.shape[:3], 5 * kinds)
        np.testing.assert_array_equal(both_BNFK[..., :kinds], long_BNFK)
        np.testing.assert_array_equal(same, context)
        short_BNF = np.abs(both_BNFK[..., 2 * kinds - 1 :: kinds]).sum(2)[0]
        if name == "log_magnitude":  # dB: large where nothing is
            short_BNF = -short_BNF
        frame, part = np.unravel_index(short_BNF.argmax(), short_BNF.shape)
        first = leading_frames(N_FFT, 64)
        assert abs((frame - first) * 64 + part * 16 - place) <= 8


def test_short_windows_hear_a_sine_as_loud():
    sizes = {"n_fft": N_FFT, "hop_length": 64, "max_frequency": 0.0}
    _, analyse, _ = made("log_magnitude", **sizes, onset_n_fft=64)
    wave_T = np.sin(2 * np.pi * 40 / N_FFT * np.arange(8000), dtype=np.float32)
    levels_FK = analyse(wave_T[None, None])[0][0, 60]
    np.testing.assert_allclose(levels_FK[40], 0, atol=0.05)
    assert levels_FK[43, 0] < -90 and levels_FK[43, 1] > -10  # short windows blur bins


@pytest.mark.parametrize("onset_n_fft", [-2, 31, 48, 512])
def test_short_windows_that_do_not_fit_are_refused(onset_n_fft):
    with pytest.raises(ValueError, match=f"part of hop_length: {onset_n_fft}"):
        made("mel", n_fft=N_FFT, hop_length=64, onset_n_fft=onset_n_fft)


@pytest.mark.parametrize("name", ["magnitude", "complex", "mdct", "learned", "mel"])
def test_features_are_compressed(name):
    """Ten times the amplitude is ten to the compression times the feature."""
    mixture_BCT, analyse, _ = made(name)
    soft, loud = (np.asarray(analyse(x * mixture_BCT)[0]) for x in (1, 10))
    heard = np.abs(soft) > 0.3 * np.abs(soft).max()  # well above SILENCE
    np.testing.assert_allclose(loud[heard] / soft[heard], 10**0.3, rtol=1e-3)


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
    with pytest.raises(ValueError, match="some have no bin"):
        mel_weights(hertz_F, 400)


def test_a_mel_mask_is_interpolated_between_bands():
    mixture_BCT, analyse, synthesise = made("mel", max_frequency=0.0)
    features_BNFK, context = analyse(mixture_BCT)
    bands = features_BNFK.shape[2]
    estimates = np.full((*features_BNFK.shape[:3], 1, 1), -200.0, np.float32)
    estimates[:, :, bands // 2] = ONE  # one band alone
    kept_BCT = synthesise(estimates, context)[:, 0]
    spectrum = np.abs(np.fft.rfft(kept_BCT[0, 0]))
    loudest_hz = spectrum.argmax() * RATE / 3001
    weights_FM = mel_weights(np.arange(129) * RATE / N_FFT, bands)
    heard = weights_FM[:, bands // 2].nonzero()[0][[0, -1]] * RATE / N_FFT
    assert heard[0] - 200 < loudest_hz < heard[1] + 200


def test_filters_start_as_cosines_and_learn():
    mixture_BCT, analyse, _ = made("learned", filters=128, compression=1.0)
    features_BNFK, _ = analyse(mixture_BCT)
    # An orthogonal matrix, and a window whose squares sum to 1: energy is kept.
    energy = (np.asarray(features_BNFK, np.float64) ** 2).sum()
    assert energy == pytest.approx((mixture_BCT.astype(np.float64) ** 2).sum(), rel=1e-4)
    with pytest.raises(ValueError, match="filters must be 1 to 128"):
        made("learned", filters=129)
