"""The transforms against known answers, SciPy, and themselves inverted."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
from hypothesis import example, given, settings
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
    options = {"window": window, "hop_length": hop_length, "dft": dft}
    return istft(stft(wave_T, **options), **options, length=wave_T.shape[-1])


def jitted_round_trip(wave_T, *arguments):
    return np.asarray(jax.jit(lambda wave_T: round_trip(wave_T, *arguments))(wave_T))


def decibels_over_error(wave, again):
    error = np.asarray(again, np.float64) - wave
    return 10 * np.log10(np.sum(np.float64(wave) ** 2) / np.sum(error**2))


@pytest.fixture(scope="module")
def recordings_CT(duet):
    """A second of the mixture and of both sources."""
    return np.concatenate([wave_CT[:, 5 * 44100 : 6 * 44100] for wave_CT in duet.values()])


def assert_same_to_130_db_and_to_the_bit(wave_CT, again_CT):
    for wave_T, again_T in zip(wave_CT, again_CT, strict=True):
        assert decibels_over_error(wave_T, again_T) >= 130
    np.testing.assert_array_equal(np.round(again_CT * 2**15), wave_CT * 2**15)


@pytest.mark.parametrize(
    ("n_fft", "hop", "dft"),
    [(4096, 1024, "fft"), (2048, 512, "fft"), (1025, 300, "fft"), (1025, 300, "matrix")],
)
def test_real_recordings_come_back_to_130_db_and_to_the_bit(recordings_CT, n_fft, hop, dft):
    again_CT = jitted_round_trip(recordings_CT, hann(n_fft), hop, dft)
    assert_same_to_130_db_and_to_the_bit(recordings_CT, again_CT)


@settings(max_examples=4)
@given(
    st.integers(1, 200), st.integers(1, 40), st.integers(1, 40), st.sampled_from([*DFTS])
)
@example(1, 1, 1, "fft")
@example(1, 40, 40, "matrix")
@example(200, 39, 1, "fft")
def test_any_length_window_and_hop_come_back(length, n_fft, hop, dft):
    hop = min(hop, n_fft)
    window = np.random.default_rng(n_fft).uniform(0.5, 1, n_fft).astype(np.float32)
    wave_BT = noise(2, length, seed=length)
    again_BT = jitted_round_trip(wave_BT, window, hop, dft)
    np.testing.assert_allclose(again_BT, wave_BT, atol=1e-5)


@settings(max_examples=5)
@given(st.integers(1, 100), st.integers(1, 20), st.integers(1, 25))
@example(1, 1, 25)
@example(100, 20, 1)
def test_overlap_add_is_the_transpose_of_frame(length, frame_length, hop):
    wave_T = noise(length)
    other_NK = noise(num_frames(length, frame_length, hop), frame_length, seed=1)

    @jax.jit
    def both(wave_T, other_NK):
        return (
            frame(wave_T, frame_length=frame_length, hop_length=hop),
            overlap_add(other_NK, hop_length=hop, length=length),
        )

    frames_NK, added_T = both(wave_T, other_NK)
    assert frames_NK.shape == other_NK.shape
    np.testing.assert_allclose(
        np.vdot(frames_NK, other_NK), np.vdot(wave_T, added_T), rtol=1e-4, atol=1e-4
    )


def test_frames_are_pieces_of_the_wave():
    cut = jax.jit(partial(frame, frame_length=4, hop_length=2))
    frames_NK = cut(np.arange(1, 6, dtype=np.float32))
    expected = [[0, 0, 1, 2], [1, 2, 3, 4], [3, 4, 5, 0], [5, 0, 0, 0]]
    np.testing.assert_array_equal(frames_NK, expected)


@pytest.mark.parametrize(("n_fft", "hop"), [(4096, 1024), (1024, 300), (513, 128)])
def test_frames_are_scipys(recordings_CT, n_fft, hop):
    wave_CT = recordings_CT[:2]
    transform = jax.jit(partial(stft, window=hann(n_fft), hop_length=hop))
    ours_NF = np.asarray(transform(wave_CT))[:, leading_frames(n_fft, hop) :]
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
    transform = jax.jit(partial(stft, window=np.ones(64, np.float32), hop_length=64))
    spectrum_NF = np.asarray(transform(wave_T))
    expected_F = np.zeros(33)
    expected_F[5] = 32
    np.testing.assert_allclose(np.abs(spectrum_NF[4]), expected_F, atol=1e-3)


def test_leading_axes_and_vmap_agree():
    def once(wave_T):
        return round_trip(wave_T, hann(64), 16)

    both = jax.jit(lambda wave_BCT: (once(wave_BCT), jax.vmap(jax.vmap(once))(wave_BCT)))
    whole, mapped = both(noise(3, 2, 500))
    np.testing.assert_allclose(mapped, whole, atol=1e-6)


def test_gradients_are_right_and_finite_on_silence():
    @jax.jit
    def energy(wave_T):
        return (jnp.abs(stft(wave_T, window=hann(16), hop_length=8)) ** 2).sum()

    check_grads(energy, (noise(50),), order=1, modes=["rev"], rtol=1e-2)
    silence = np.zeros(50, np.float32)
    assert np.isfinite(np.asarray(jax.jit(jax.grad(energy))(silence))).all()


@pytest.mark.parametrize(
    ("window", "hop"), [(hann(64), 64), (np.ones(10), 11), (np.zeros(8), 2), (hann(8), 0)]
)
def test_what_cannot_be_inverted_is_refused(window, hop):
    with pytest.raises(ValueError, match="hop_length"):
        stft(noise(100), window=window, hop_length=hop)
    with pytest.raises(ValueError, match="hop_length"):
        dual_window(window, hop)


def test_wrong_shapes_are_refused():
    spectrum_NF = np.zeros((num_frames(100, 16, 4), 9), np.complex64)
    with pytest.raises(ValueError, match="frames do not match 200 samples"):
        jax.eval_shape(
            partial(istft, window=hann(16), hop_length=4, length=200), spectrum_NF
        )
    with pytest.raises(ValueError, match="bins do not match a window of 32"):
        istft(spectrum_NF, window=hann(32), hop_length=4, length=100)
    with pytest.raises(ValueError, match="empty"):
        stft(noise(0), window=hann(16), hop_length=4)


def test_unknown_forms_of_the_transform_are_listed():
    with pytest.raises(UserError, match="known: fft, matrix"):
        stft(noise(100), window=hann(16), hop_length=4, dft="dct")


def direct_mdct(wave_T, window):
    """The definition, term by term, in float64."""
    bins = len(window) // 2
    cut = jax.jit(partial(frame, frame_length=2 * bins, hop_length=bins))
    frames_NK = np.asarray(cut(wave_T), np.float64)
    n, k = np.arange(2 * bins), np.arange(bins)
    phase_KF = np.pi / bins * np.outer(n + 0.5 + bins / 2, k + 0.5)
    return np.sqrt(2 / bins) * (window * frames_NK) @ np.cos(phase_KF)


@settings(max_examples=3)
@given(st.integers(1, 300), st.integers(1, 16), st.booleans())
@example(1, 1, False)
@example(300, 16, True)
def test_mdct_equals_its_definition_and_comes_back(length, quarter, kaiser):
    window = sine(4 * quarter)
    if kaiser:
        window = scipy.signal.windows.kaiser_bessel_derived(4 * quarter, beta=4.0)
        window = window.astype(np.float32)
    wave_BT = noise(2, length, seed=length)

    @jax.jit
    def there_and_back(wave_BT):
        found_BNF = mdct(wave_BT, window=window)
        return found_BNF, imdct(found_BNF, window=window, length=length)

    found_BNF, again_BT = map(np.asarray, there_and_back(wave_BT))
    np.testing.assert_allclose(found_BNF, direct_mdct(wave_BT, window), atol=1e-5)
    np.testing.assert_allclose(again_BT, wave_BT, atol=1e-5)
    # Orthogonal, which preserves energy; as many coefficients as samples, except for edges.
    np.testing.assert_allclose((found_BNF**2).sum(), (wave_BT**2).sum(), rtol=1e-4)
    assert found_BNF.shape[1:] == (-(-length // (2 * quarter)) + 1, 2 * quarter)


def test_recordings_come_back_from_the_mdct_to_130_db_and_to_the_bit(recordings_CT):
    window, length = sine(2048), recordings_CT.shape[1]
    again = jax.jit(
        lambda wave_CT: imdct(mdct(wave_CT, window=window), window=window, length=length)
    )
    assert_same_to_130_db_and_to_the_bit(recordings_CT, np.asarray(again(recordings_CT)))


@pytest.mark.parametrize(
    "window", [sine(6), np.ones(8, np.float32), sine(16)[:8], np.zeros(0)]
)
def test_windows_that_alias_are_refused(window):
    for transform in (mdct, lambda wave, window: imdct(wave, window=window, length=1)):
        with pytest.raises(ValueError, match="MDCT"):
            transform(noise(2, 100), window=window)
