"""The transforms against known answers, SciPy, and themselves inverted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from sep.errors import UserError
from sep.model.dft import DFTS
from sep.model.transforms import (
    dual_window,
    frame,
    hann,
    imdct,
    istft,
    leading_frames,
    mdct,
    num_frames,
    overlap_add,
    sine,
    stft,
)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def round_trip(wave_T, window, hop_length, dft="fft"):
    return jax.jit(lambda wave_T: _round_trip(wave_T, window, hop_length, dft))(wave_T)


def _round_trip(wave_T, window, hop_length, dft):
    how = {"window": window, "hop_length": hop_length, "dft": dft}
    return istft(stft(wave_T, **how), **how, length=wave_T.shape[-1])


def decibels_over_error(wave, again):
    error = np.asarray(again, np.float64) - wave
    return 10 * np.log10(np.sum(np.float64(wave) ** 2) / np.sum(error**2))


@pytest.mark.parametrize(
    ("n_fft", "hop", "dft"),
    [(4096, 1024, "fft"), (2048, 512, "fft"), (1025, 300, "fft"), (1025, 300, "matrix")],
)
def test_real_recordings_come_back_to_130_db_and_to_the_bit(duet, n_fft, hop, dft):
    for wave_CT in duet.values():
        again_CT = np.asarray(round_trip(wave_CT, hann(n_fft), hop, dft))
        assert decibels_over_error(wave_CT, again_CT) >= 130
        np.testing.assert_array_equal(np.round(again_CT * 2**15), wave_CT * 2**15)


@settings(max_examples=15)
@given(st.integers(1, 200), st.integers(1, 40), st.sampled_from(sorted(DFTS)), st.data())
def test_any_length_window_and_hop_come_back(length, n_fft, dft, data):
    hop = data.draw(st.integers(1, n_fft))
    window = np.random.default_rng(n_fft).uniform(0.5, 1, n_fft).astype(np.float32)
    wave_BT = noise(2, length, seed=length)
    again_BT = round_trip(wave_BT, window, hop, dft)
    np.testing.assert_allclose(again_BT, wave_BT, atol=1e-5)


@settings(max_examples=15)
@given(st.integers(1, 100), st.integers(1, 20), st.integers(1, 25))
def test_overlap_add_is_the_transpose_of_frame(length, frame_length, hop):
    wave_T = noise(length)
    frames_NK = frame(wave_T, frame_length=frame_length, hop_length=hop)
    assert frames_NK.shape == (num_frames(length, frame_length, hop), frame_length)
    other_NK = noise(*frames_NK.shape, seed=1)
    added_T = overlap_add(other_NK, hop_length=hop, length=length)
    np.testing.assert_allclose(
        np.vdot(frames_NK, other_NK), np.vdot(wave_T, added_T), rtol=1e-4, atol=1e-4
    )


def test_frames_are_pieces_of_the_wave():
    frames_NK = frame(jnp.arange(1.0, 6.0), frame_length=4, hop_length=2)
    expected = [[0, 0, 1, 2], [1, 2, 3, 4], [3, 4, 5, 0], [5, 0, 0, 0]]
    np.testing.assert_array_equal(frames_NK, expected)


@pytest.mark.parametrize(("n_fft", "hop"), [(4096, 1024), (1024, 300), (513, 128)])
def test_frames_are_scipys(duet, n_fft, hop):
    wave_CT = duet["mixture"][:, : 5 * 44100]
    ours_NF = stft(wave_CT, window=hann(n_fft), hop_length=hop)
    ours_NF = np.asarray(ours_NF)[:, leading_frames(n_fft, hop) :]
    reference = scipy.signal.ShortTimeFFT(
        hann(n_fft).astype(np.float64), hop, fs=1, phase_shift=None
    )
    frames = 1 + wave_CT.shape[-1] // hop
    theirs = reference.stft(np.float64(wave_CT), p0=0, p1=frames)
    theirs_NF = np.swapaxes(theirs, -1, -2)
    largest = np.abs(theirs_NF).max()
    assert np.abs(ours_NF[:, :frames] - theirs_NF).max() < 1e-5 * largest


def test_a_cosine_falls_into_its_bin():
    wave_T = np.cos(2 * np.pi * 5 * np.arange(640) / 64).astype(np.float32)
    spectrum_NF = stft(wave_T, window=np.ones(64, np.float32), hop_length=64)
    expected_F = np.zeros(33)
    expected_F[5] = 32
    np.testing.assert_allclose(np.abs(spectrum_NF[4]), expected_F, atol=1e-3)


def test_leading_axes_jit_and_vmap_agree():
    wave_BCT = noise(3, 2, 1000)
    whole = round_trip(wave_BCT, hann(64), 16)
    one = jax.jit(lambda wave_T: round_trip(wave_T, hann(64), 16))
    np.testing.assert_allclose(jax.vmap(jax.vmap(one))(wave_BCT), whole, atol=1e-6)


def test_gradients_are_right_and_finite_on_silence():
    def energy(wave_T):
        return (jnp.abs(stft(wave_T, window=hann(16), hop_length=8)) ** 2).sum()

    check_grads(energy, (noise(50),), order=1, modes=["rev"], rtol=1e-2)
    assert np.isfinite(jax.grad(energy)(jnp.zeros(50))).all()


@pytest.mark.parametrize(
    ("window", "hop"), [(hann(64), 64), (np.ones(10), 11), (np.zeros(8), 2), (hann(8), 0)]
)
def test_what_cannot_be_inverted_is_refused(window, hop):
    with pytest.raises(ValueError, match="hop_length"):
        stft(noise(100), window=window, hop_length=hop)
    with pytest.raises(ValueError, match="hop_length"):
        dual_window(window, hop)


def test_wrong_shapes_are_refused():
    spectrum_NF = stft(noise(100), window=hann(16), hop_length=4)
    with pytest.raises(ValueError, match="frames"):
        istft(spectrum_NF, window=hann(16), hop_length=4, length=200)
    with pytest.raises(ValueError, match="bins"):
        istft(spectrum_NF, window=hann(32), hop_length=4, length=100)
    with pytest.raises(ValueError, match="empty"):
        stft(noise(0), window=hann(16), hop_length=4)


def test_unknown_forms_of_the_transform_are_listed():
    with pytest.raises(UserError, match="known: fft, matrix"):
        stft(noise(100), window=hann(16), hop_length=4, dft="dct")


def direct_mdct(wave_T, window):
    """The definition, term by term, in float64."""
    bins = len(window) // 2
    frames_NK = np.asarray(frame(wave_T, frame_length=2 * bins, hop_length=bins), float)
    n, k = np.arange(2 * bins), np.arange(bins)
    phase_KF = np.pi / bins * np.outer(n + 0.5 + bins / 2, k + 0.5)
    return np.sqrt(2 / bins) * (window * frames_NK) @ np.cos(phase_KF)


@settings(max_examples=8)
@given(st.integers(1, 300), st.integers(1, 16), st.booleans())
def test_mdct_is_its_definition_and_comes_back(length, quarter, kaiser):
    window = sine(4 * quarter)
    if kaiser:
        window = scipy.signal.windows.kaiser_bessel_derived(4 * quarter, beta=4.0)
        window = window.astype(np.float32)
    wave_BT = noise(2, length, seed=length)
    found_BNF = jax.jit(lambda wave_T: mdct(wave_T, window=window))(wave_BT)
    np.testing.assert_allclose(found_BNF, direct_mdct(wave_BT, window), atol=1e-5)
    again_BT = jax.jit(lambda x: imdct(x, window=window, length=length))(found_BNF)
    np.testing.assert_allclose(again_BT, wave_BT, atol=1e-5)
    # Orthogonal, hence the energy; and as many numbers as samples, edges aside.
    np.testing.assert_allclose((found_BNF**2).sum(), (wave_BT**2).sum(), rtol=1e-4)
    assert found_BNF.shape[1:] == (-(-length // (2 * quarter)) + 1, 2 * quarter)


def test_recordings_come_back_from_the_mdct_to_130_db_and_to_the_bit(duet):
    window, wave_CT = sine(2048), duet["mixture"]
    again_CT = imdct(mdct(wave_CT, window=window), window=window, length=wave_CT.shape[1])
    again_CT = np.asarray(again_CT)
    assert decibels_over_error(wave_CT, again_CT) >= 130
    np.testing.assert_array_equal(np.round(again_CT * 2**15), wave_CT * 2**15)


@pytest.mark.parametrize(
    "window", [sine(6), np.ones(8, np.float32), sine(16)[:8], np.zeros(0)]
)
def test_windows_that_alias_are_refused(window):
    for transform in (mdct, lambda wave, window: imdct(wave, window=window, length=1)):
        with pytest.raises(ValueError, match="MDCT"):
            transform(noise(2, 100), window=window)
