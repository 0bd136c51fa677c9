"""Losses against values that follow from their definitions."""

import jax
import numpy as np
import pytest

from sep.evaluation.metrics import usdr
from sep.training.losses import l1, l2, snr, spectral


def test_snr_is_the_error_against_the_mixture():
    random = np.random.default_rng(0)
    sources = random.standard_normal((1, 2, 1, 20000)).astype(np.float32)
    wrong = np.sqrt(0.2) * random.standard_normal(sources.shape).astype(np.float32)
    assert snr(sources, sources + wrong) == pytest.approx(-10, abs=0.2)
    mixture = sources.sum(1)
    expected = -float(usdr(mixture.reshape(-1), (mixture + wrong[:, 0]).reshape(-1)))
    assert snr(sources, sources + wrong[:, :1]) == pytest.approx(expected, abs=0.2)
    assert snr(sources, sources) == pytest.approx(-30, abs=0.01)


def test_other_losses_of_white_noise_are_its_moments():
    noise = np.random.default_rng(0).standard_normal((1, 2, 1, 40000)).astype(np.float32)
    silence, mean = np.zeros_like(noise), np.sqrt(2 / np.pi)
    assert l1(silence, noise) == pytest.approx(mean, rel=0.02)
    assert l2(silence, noise) == pytest.approx(1, rel=0.02)
    # The real part of a bin has the variance of half the window's energy, 3/8 n_fft.
    expected = mean * (1 + 3 * 2 * np.sqrt(3 / 16))
    found = jax.jit(spectral)(silence, noise)
    assert found == pytest.approx(expected, rel=0.08)  # less at the edges
