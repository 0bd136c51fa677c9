"""Scores of signals whose score is known by construction."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sep.evaluation.metrics import si_sdr, usdr


def orthogonal_pair(length=1000, seed=0):
    """Two random signals of unit energy and no correlation."""
    pair = np.random.default_rng(seed).standard_normal((2, length))
    pair[0] /= np.linalg.norm(pair[0])
    pair[1] -= pair[0] * (pair[0] @ pair[1])
    pair[1] /= np.linalg.norm(pair[1])
    return pair.astype(np.float32)


@pytest.mark.parametrize("decibels", [-20, 0, 3, 10, 40])
def test_scores_are_the_ratio_of_energies(decibels):
    reference_T, error_T = orthogonal_pair()
    estimate_T = reference_T + 10 ** (-decibels / 20) * error_T
    assert si_sdr(reference_T, estimate_T) == pytest.approx(decibels, abs=1e-2)
    assert usdr(reference_T, estimate_T) == pytest.approx(decibels, abs=1e-2)


@pytest.mark.parametrize("scale", [1e-3, -2.0, 100.0])
def test_si_sdr_alone_ignores_scale(scale):
    reference_T, error_T = orthogonal_pair()
    estimate_T = reference_T + 0.1 * error_T
    assert si_sdr(reference_T, scale * estimate_T) == pytest.approx(20, abs=1e-2)
    assert usdr(reference_T, scale * estimate_T) != pytest.approx(20, abs=1)


def test_half_the_source_has_6_db_of_usdr():
    reference_T, _ = orthogonal_pair()
    assert usdr(reference_T, reference_T / 2) == pytest.approx(6.0206, abs=1e-3)


def test_leading_axes_are_scored_one_by_one_under_jit():
    references = np.stack([orthogonal_pair(seed=seed)[0] for seed in range(6)])
    errors = np.stack([orthogonal_pair(seed=seed)[1] for seed in range(6)])
    levels = 10 ** (-np.arange(6, dtype=np.float32) / 20)
    estimates = references + levels[:, None] * errors
    scores = jax.jit(si_sdr)(references.reshape(2, 3, -1), estimates.reshape(2, 3, -1))
    np.testing.assert_allclose(scores, np.arange(6).reshape(2, 3), atol=1e-2)


@pytest.mark.parametrize("score", [si_sdr, usdr])
@pytest.mark.parametrize("arrays", [np.asarray, jnp.asarray])
def test_silence_and_perfection_at_the_ends_of_the_scale(score, arrays):
    silence_T, signal_T = (
        arrays(np.zeros(8, np.float32)),
        arrays(np.arange(8, dtype=np.float32)),
    )
    assert np.isnan(score(silence_T, signal_T))
    assert np.isnan(score(silence_T, silence_T))
    assert score(signal_T, signal_T) == np.inf
    assert score(signal_T, silence_T) == (-np.inf if score is si_sdr else 0)
