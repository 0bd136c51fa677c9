"""The Wiener filter against its definition, a known mask, and in separation."""

from functools import partial

import jax
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small_model import small_model

from sep.errors import UserError
from sep.evaluation.metrics import si_sdr
from sep.evaluation.references import oracles
from sep.evaluation.references.spectra import Transform
from sep.model import wiener
from sep.model.settings import SeparationSettings
from sep.model.transforms import hann, istft, stft
from sep.runtime.settings import check
from sep.separation.inference import Separation

refine = jax.jit(wiener.refine, static_argnames=("n_fft", "exponent"))


def noise(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return 0.1 * rng.standard_normal(shape).astype(np.float32)


def bin_by_bin(sources_SCT, n_fft, exponent):
    """The filter from its definition, one bin at a time, in double precision."""
    options = {"window": hann(n_fft), "hop_length": n_fft // 4}
    y_SCNF = np.asarray(jax.jit(partial(stft, **options))(sources_SCT)).astype(complex)
    sources, channels, frames, bins = y_SCNF.shape
    out = np.zeros_like(y_SCNF)
    for f in range(bins):
        spatial = []
        for y_CNF in y_SCNF:
            y_CN = y_CNF[..., f]
            power = np.mean(np.abs(y_CN) ** 2, 0).sum() + 1e-12
            spatial.append(y_CN @ y_CN.conj().T / power + 0.03 * np.eye(channels))
        for n in range(frames):
            v = (np.mean(np.abs(y_SCNF[:, :, n, f]) ** 2, 1) + 1e-12) ** (exponent / 2)
            parts = [v[s] * spatial[s] for s in range(sources)]
            white = np.linalg.inv(sum(parts)) @ y_SCNF[:, :, n, f].sum(0)
            out[:, :, n, f] = [part @ white for part in parts]
    inverse = jax.jit(partial(istft, **options, length=sources_SCT.shape[-1]))
    return np.asarray(inverse(out.astype("c8")))


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_it_equals_its_definition(channels):
    mixing = noise(2, channels, 2, seed=1)  # each source comes from two directions
    sources_SCT = np.einsum("scd,sdt->sct", 10 * mixing, noise(2, 2, 200))
    found = np.asarray(refine(sources_SCT, n_fft=32, exponent=1.25))
    expected = bin_by_bin(sources_SCT, 32, 1.25)
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_on_one_channel_it_is_the_ratio_mask():
    sources_SCT = noise(2, 1, 1500)
    found = refine(sources_SCT, n_fft=256, exponent=2.0)
    ideal = oracles.irm(sources_SCT.sum(0), sources_SCT, Transform(256, 64))
    np.testing.assert_allclose(found, ideal, atol=1e-5)


def test_sources_from_two_directions_leak_less():
    directions_SC1 = np.array([[[1.0], [0.2]], [[0.3], [1.0]]], np.float32)
    true_SCT = directions_SC1 * noise(2, 1, 20000)
    leaky_SCT = 0.75 * true_SCT + 0.25 * true_SCT[::-1]
    found = np.asarray(refine(leaky_SCT, n_fft=1024, exponent=1.25))
    for truth, before, after in zip(true_SCT, leaky_SCT, found, strict=True):
        gain = si_sdr(truth.ravel(), after.ravel()) - si_sdr(truth.ravel(), before.ravel())
        assert gain > 3


@settings(max_examples=2)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 1000))
@example(1, 1, 1)
@example(3, 4, 777)
def test_sources_sum_to_what_they_did(sources, channels, length):
    sources_SCT = noise(sources, channels, length)
    found = np.asarray(refine(sources_SCT, n_fft=64, exponent=1.25))
    assert found.shape == sources_SCT.shape
    assert all((s**2).mean() < 4 * (sources_SCT**2).mean() for s in found)
    np.testing.assert_allclose(found.sum(0), sources_SCT.sum(0), atol=1e-5)


def test_silent_and_equal_channels_are_handled():
    silence = np.asarray(refine(np.zeros((2, 2, 900)), n_fft=128, exponent=1.25))
    assert not silence.any()
    one_S1T = noise(2, 1, 900)
    alone = np.asarray(refine(one_S1T, n_fft=128, exponent=1.25))
    twice = np.asarray(refine(one_S1T.repeat(2, 1), n_fft=128, exponent=1.25))
    np.testing.assert_allclose(twice[:, 0], twice[:, 1], atol=1e-6)
    np.testing.assert_allclose(twice[:, :1], alone, atol=1e-2)
    half = noise(2, 2, 900)
    half[:, 1] = 0  # a silent channel stays silent
    found = np.asarray(refine(half, n_fft=128, exponent=1.25))
    assert np.isfinite(found).all() and np.abs(found[:, 1]).max() < 1e-6


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_equations_are_solved_in_every_bin(channels):
    rng = np.random.default_rng(0)
    half = rng.standard_normal((6, 5, channels, 2 * channels, 2)) @ [1, 1j]
    matrix = half @ half.conj().swapaxes(-1, -2)
    right = rng.standard_normal((6, 5, channels, 2)) @ [1, 1j]
    expected = np.linalg.solve(matrix, right[..., None])[..., 0]
    with jax.enable_x64(True):
        solve = jax.jit(wiener.solve)
        found = np.asarray(solve(matrix.transpose(2, 3, 0, 1), right.transpose(2, 0, 1)))
    np.testing.assert_allclose(found.transpose(1, 2, 0), expected, rtol=1e-9)


def test_frames_are_as_long_at_every_rate():
    separation = SeparationSettings()
    assert wiener.compiled(separation, 44100) is not None
    for rate, samples in ((22050, 4096), (44100, 8192), (96000, 16384)):
        assert wiener.frame_length(separation.wiener_seconds, rate) == samples
    assert wiener.compiled(SeparationSettings(wiener_seconds=0.0), 44100) is None
    for name, value in (
        ("wiener_seconds", -1.0),
        ("wiener_exponent", 0.0),
        ("wiener_exponent", 8.0),
    ):
        with pytest.raises(UserError, match=f"{name} must be"):
            check(SeparationSettings(**{name: value}))


@pytest.fixture(scope="module")
def separations():
    """With the filter, with the filter off, and of a model without one."""
    with_filter, without = (small_model("fnn", wiener_seconds=x) for x in (0.03, 0.0))
    return (
        Separation(with_filter),
        Separation(with_filter, refine=False),
        Separation(without),
    )


@pytest.mark.parametrize("channels", [1, 2])
def test_separation_refines_unless_it_is_turned_off(separations, channels):
    wave = noise(5000, channels)
    refined, plain, without = (separation(wave, 16000) for separation in separations)
    for name, stem in refined.items():
        assert stem.shape == wave.shape
        assert np.abs(stem - plain[name]).max() > 1e-4
        np.testing.assert_array_equal(plain[name], without[name])
    np.testing.assert_allclose(sum(refined.values()), wave, atol=1e-6)
