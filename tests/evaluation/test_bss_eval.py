"""BSS Eval against what museval, mir_eval and fast_bss_eval say of the same signals."""

import json
from pathlib import Path

import numpy as np
import pytest
from bss_eval_cases import RATE, cases

from sep.evaluation.bss_eval import bss_eval

VECTORS = json.loads((Path(__file__).parent / "bss_eval_vectors.json").read_text())
WELL_POSED = 1e12  # condition number of the normal equations
ENDLESS = 120.0  # dB above which only rounding is measured


@pytest.fixture(scope="module")
def scored(duet):
    """Our scores of a case, by its name."""
    known = cases(duet)
    assert known.keys() == VECTORS.keys(), "run benchmarks/bss_eval_vectors.py"
    found = {}

    def score(name):
        if name not in found:
            case = known[name]
            found[name] = bss_eval(
                case.references_SCT, case.estimates_SCT, window=case.window, hop=case.hop
            )
        return found[name]

    return score


def assert_agree(ours, theirs):
    theirs = np.array(theirs, np.float64)  # None is NaN
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    ours, theirs = (np.minimum(x, ENDLESS) for x in (ours, theirs))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=0.01)


@pytest.mark.parametrize("name", VECTORS)
def test_windows_score_as_with_museval(scored, name):
    assert VECTORS[name]["condition"] < WELL_POSED
    for metric, theirs in VECTORS[name]["museval"].items():
        assert_agree(getattr(scored(name), metric), theirs)


def test_there_are_cases_enough_of_every_kind():
    assert len(VECTORS) >= 20
    assert sum(name.startswith("mono") for name in VECTORS) >= 5
    windows = [np.array(v["museval"]["sdr"], np.float64) for v in VECTORS.values()]
    assert sum(np.isnan(sdr_SM).any() for sdr_SM in windows) >= 2
    assert max(np.nanmax(sdr_SM) for sdr_SM in windows) > 80
    assert min(np.nanmin(sdr_SM) for sdr_SM in windows) < -5


@pytest.mark.parametrize("tool", ["mir_eval", "fast_bss_eval"])
def test_whole_signals_score_as_with_other_tools(scored, tool):
    names = [name for name, vector in VECTORS.items() if tool in vector]
    assert names
    for name in names:
        for metric, theirs in VECTORS[name][tool].items():
            ours = getattr(scored(name), metric)[:, 0]
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=0.01)


@pytest.fixture(scope="module")
def parts():
    """Four long white noises of unit power that hardly correlate, (4, T)."""
    noise = np.random.default_rng(0).standard_normal((4, 2**16))
    return np.linalg.qr(noise.T)[0].T * 2**8


TAPS = 8


def score(references, estimates, **options):
    """Of mono sources, the whole signal."""
    found = bss_eval(
        np.stack(references)[:, None],
        np.stack(estimates)[:, None],
        window=2**16,
        taps=TAPS,
        **options,
    )
    return {name: value[:, 0] for name, value in found._asdict().items()}


@pytest.mark.parametrize("decibels", [-10, 0, 20, 60])
def test_each_ratio_is_known_where_its_error_alone_is_made(parts, decibels):
    one, other, artefact, _ = parts
    little = 10 ** (-decibels / 20)
    # Orthogonal noise at lag 0 correlates by chance at others, by 1 / 256: 0.01 dB or less.
    interference = score([one, other], [one + little * other, other])
    assert interference["sdr"][0] == pytest.approx(decibels, abs=1e-4)
    assert interference["sir"][0] == pytest.approx(decibels, abs=0.01)
    artefacts = score([one, other], [one + little * artefact, other])
    assert artefacts["sdr"][0] == pytest.approx(decibels, abs=1e-4)
    assert artefacts["sar"][0] == pytest.approx(decibels, abs=0.02)
    gain = score([one, other], [(1 + little) * one, other])
    assert gain["isr"][0] == pytest.approx(decibels, abs=1e-4)
    assert gain["sdr"][0] == pytest.approx(decibels, abs=1e-4)


def test_a_late_estimate_is_distortion_within_the_taps_and_artefact_beyond(parts):
    one, other, *_ = parts
    late, later = (score([one, other], [np.roll(one, n), other]) for n in (TAPS - 1, TAPS))
    assert late["sar"][0] > 30 > 3 > later["sar"][0]


def test_perfect_estimates_have_no_finite_score(parts):
    found = score(parts[:2], parts[:2])
    assert (found["sdr"] == np.inf).all()
    assert (found["isr"] > ENDLESS).all()


def test_a_silent_source_has_no_score_and_does_not_count_for_others(parts):
    one, other, *_ = parts
    silence = np.zeros_like(one)
    with_it = score([one, silence, other], [one + 0.1 * other, 0.1 * one, other])
    without = score([one, other], [one + 0.1 * other, other])
    for name, value in with_it.items():
        assert np.isnan(value[1])
        np.testing.assert_allclose(value[[0, 2]], without[name], rtol=1e-9)
    nobody = score([silence, silence], [one, other])
    assert all(np.isnan(value).all() for value in nobody.values())


def test_dual_mono_scores_as_mono_does(duet):
    cut = slice(6 * RATE, 8 * RATE)
    mono = np.stack([duet[name][:1, cut] for name in ("piano", "violin")])
    spoilt = (
        mono
        + 0.1 * mono[::-1]
        + 0.001 * np.random.default_rng(0).standard_normal(mono.shape)
    )
    expected = bss_eval(mono, spoilt, window=RATE)
    doubled = bss_eval(np.repeat(mono, 2, 1), np.repeat(spoilt, 2, 1), window=RATE)
    for one, two in zip(expected, doubled, strict=True):
        np.testing.assert_allclose(two, one, atol=0.01)


def test_the_median_of_windows_leaves_silent_ones_out(scored):
    rests = scored("reference rests")
    assert np.isnan(rests.sdr[:, 1]).all()
    for name, value_S in rests.median().items():
        np.testing.assert_allclose(value_S, np.nanmedian(getattr(rests, name), 1))


def test_the_precision_of_the_rest_of_jax_is_left_alone(parts):
    import jax.numpy as jnp

    score(parts[:2], parts[:2])
    assert jnp.ones(1).dtype == np.float32


@pytest.mark.parametrize("changes", [{"window": 0}, {"window": 9, "hop": 0}])
def test_windows_that_make_no_sense_are_refused(parts, changes):
    waves = parts[:2, None]
    with pytest.raises(ValueError, match="at least one sample"):
        bss_eval(waves, waves, **changes)
    with pytest.raises(ValueError, match="alike"):
        bss_eval(waves, waves[:, :, 1:], window=9)
