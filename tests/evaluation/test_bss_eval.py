"""BSS Eval: known answers, a direct implementation in NumPy, and scores of other tools.

The other tools are museval, mir_eval and fast_bss_eval; their scores are in
bss_eval_vectors.json. Shapes: S source, C channel, T sample, M window, L tap.
"""

import importlib
import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from bss_eval_cases import RATE, cases
from builders import noise

from sep.evaluation.bss_eval import Scores, bss_eval

VECTORS = json.loads((Path(__file__).parent / "bss_eval_vectors.json").read_text())
WELL_POSED = 1e12  # condition number of the normal equations
ENDLESS = 120.0  # dB above which only rounding is measured
# The one that all tools score. The others take a minute.
QUICK = ("mono whole",)
TAPS = 8
LENGTH = 2**16
ROOT_POWER = 2**8  # norm of LENGTH samples of unit power


def case_params(names):
    return [
        pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow)
        for name in names
    ]


@pytest.fixture(scope="module", autouse=True)
def small_groups():
    """Groups of a few windows, so that short signals have several groups."""
    with pytest.MonkeyPatch.context() as patch:
        module = importlib.import_module("sep.evaluation.bss_eval")
        patch.setattr(module, "_GROUP", 2**12)
        yield


# Scores of other tools


@pytest.fixture(scope="module")
def scored(duet):
    """Function from the name of a case to its scores."""
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


def assert_agree(found, expected):
    expected = np.array(expected, np.float64)  # None is NaN
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    found, expected = (np.minimum(x, ENDLESS) for x in (found, expected))
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.01)


@pytest.mark.parametrize("name", case_params(VECTORS))
def test_windows_score_as_with_museval(scored, name):
    assert VECTORS[name]["condition"] < WELL_POSED
    for metric, expected in VECTORS[name]["museval"].items():
        assert_agree(getattr(scored(name), metric), expected)


def test_vectors_cover_mono_silence_and_extreme_scores():
    assert len(VECTORS) >= 20
    assert sum(name.startswith("mono") for name in VECTORS) >= 5
    windows = [np.array(v["museval"]["sdr"], np.float64) for v in VECTORS.values()]
    assert sum(np.isnan(sdr_SM).any() for sdr_SM in windows) >= 2
    assert max(np.nanmax(sdr_SM) for sdr_SM in windows) > 80
    assert min(np.nanmin(sdr_SM) for sdr_SM in windows) < -5


@pytest.mark.parametrize("name", case_params(["whole", "mono whole"]))
@pytest.mark.parametrize("tool", ["mir_eval", "fast_bss_eval"])
def test_whole_signals_score_as_with_other_tools(scored, tool, name):
    if tool == "fast_bss_eval" and name == "whole":
        assert tool not in VECTORS[name]  # it has no channels
        return
    for metric, expected in VECTORS[name][tool].items():
        found = getattr(scored(name), metric)[:, 0]
        np.testing.assert_allclose(found, expected, rtol=0, atol=0.01)


def test_medians_leave_out_silent_windows():
    values_SM = np.array([[1, np.nan, 2, 9], [np.nan] * 4])
    for name, median_S in Scores(*(values_SM + n for n in range(4))).median().items():
        expected = 2.0 + Scores._fields.index(name)
        np.testing.assert_array_equal(median_S, [expected, np.nan])


# Direct implementation: least squares over delayed references, filters by convolution


def directly(references_SCT, estimates_SCT, window, hop, taps):
    sources, channels, length = references_SCT.shape
    waves_IT = references_SCT.reshape(-1, length)
    lags = range(taps)
    delayed_IL = np.stack(
        [np.pad(wave_T, (lag, taps - 1 - lag)) for wave_T in waves_IT for lag in lags]
    )
    estimates_JT = np.pad(
        estimates_SCT.reshape(sources * channels, length), [(0, 0), (0, taps - 1)]
    )

    def fit(rows, wanted_JT):  # filters (J, I, L) from some references
        found, *_ = np.linalg.lstsq(delayed_IL[rows].T, wanted_JT.T)
        return found.T.reshape(len(wanted_JT), -1, taps)

    def apply(filters_JIL, waves_IT):
        return np.stack(
            [sum(map(np.convolve, waves_IT, filters_IL)) for filters_IL in filters_JIL]
        )

    def ratio(one, other):
        return 10 * np.log10((one**2).sum() / (other**2).sum())

    channels_of = [slice(s * channels, (s + 1) * channels) for s in range(sources)]
    all_filters = fit(slice(None), estimates_JT)
    own_filters = [
        fit(slice(own.start * taps, own.stop * taps), estimates_JT[own])
        for own in channels_of
    ]
    starts = range(0, length - window + 1, hop)
    scores_4SM = np.full((4, sources, len(starts)), np.nan)
    for m, start in enumerate(starts):
        cut = slice(start, start + window)
        windows = references_SCT[..., cut], estimates_SCT[..., cut]
        if not all(wave_CT.any() for wave_SCT in windows for wave_CT in wave_SCT):
            continue
        for s, own in enumerate(channels_of):
            true, estimate = (
                np.pad(x_SCT[s], [(0, 0), (0, taps - 1)]) for x_SCT in windows
            )
            from_own = apply(own_filters[s], waves_IT[own, cut])
            from_all = apply(all_filters[own], waves_IT[:, cut])
            scores_4SM[:, s, m] = (
                ratio(true, estimate - true),
                ratio(true, from_own - true),
                ratio(from_own, from_all - from_own),
                ratio(from_all, estimate - from_all),
            )
    return Scores(*scores_4SM)


def filtered(wave_SCT):
    return 0.5 * wave_SCT + 0.3 * np.roll(wave_SCT, 2, -1)


ESTIMATES = {
    "bleed": lambda x: x + 0.1 * x[::-1],
    "bleed between channels": lambda x: x + 0.3 * x[:, ::-1],
    "filtered": lambda x: filtered(x + 0.01 * x[::-1]),
    "late": lambda x: np.roll(x, TAPS - 1, -1),
    "too late": lambda x: np.roll(x, TAPS + 1, -1),
    "loud": lambda x: 1000 * filtered(x) - 990 * np.roll(x, 1, -1),
    "sources swapped": lambda x: x[::-1],
    "estimate rests": lambda x: x * (np.arange(x.shape[-1]) // 1000 != 1),
}


@pytest.mark.parametrize("name", ESTIMATES)
def test_scores_agree_with_a_direct_implementation(name):
    references_SCT = noise(2, 2, 3500, rms=1.0).astype(np.float64)
    estimates_SCT = ESTIMATES[name](references_SCT)
    estimates_SCT = estimates_SCT * (1 + noise(2, 2, 3500, seed=1, rms=1e-3))
    found, expected = (
        score(references_SCT, estimates_SCT, window=1000, hop=500, taps=TAPS)
        for score in (bss_eval, directly)
    )
    assert np.isnan(expected.sdr).any() == (name == "estimate rests")
    for ratio, expected_ratio in zip(found, expected, strict=True):
        np.testing.assert_allclose(ratio, expected_ratio, rtol=0, atol=1e-3)


# Known answers


@pytest.fixture(scope="module")
def parts():
    """Four long white noises of unit power that hardly correlate, (4, T)."""
    return np.linalg.qr(noise(4, LENGTH, rms=1.0).astype(np.float64).T)[0].T * ROOT_POWER


def score(references, estimates):
    """Scores of mono sources over the whole signal, by name."""
    found = bss_eval(
        np.stack(references)[:, None],
        np.stack(estimates)[:, None],
        window=LENGTH,
        taps=TAPS,
    )
    return {name: value[:, 0] for name, value in found._asdict().items()}


@pytest.mark.parametrize("decibels", [-10, 0, 20, 60])
def test_a_single_kind_of_error_has_a_known_ratio(parts, decibels):
    one, other, artefact, _ = parts
    little = 10 ** (-decibels / 20)
    # Noises orthogonal at lag 0 correlate by chance at others, by 1 / 256: 0.01 dB or less.
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


def test_a_silent_source_has_no_score_and_does_not_affect_the_others(parts):
    one, other, *_ = parts
    silence = np.zeros_like(one)
    with_it = score([one, silence, other], [one + 0.1 * other, 0.1 * one, other])
    without = score([one, other], [one + 0.1 * other, other])
    for name, value in with_it.items():
        assert np.isnan(value[1])
        np.testing.assert_allclose(value[[0, 2]], without[name], rtol=1e-9)
    all_silent = score([silence, silence], [one, other])
    assert all(np.isnan(value).all() for value in all_silent.values())


@pytest.mark.parametrize(
    "taps, length, window, hop",
    [
        (TAPS, 3500, 1000, 500),
        pytest.param(512, 2 * RATE, RATE, RATE, marks=pytest.mark.slow),
    ],
)
def test_dual_mono_scores_as_mono_does(duet, taps, length, window, hop):
    cut = slice(6 * RATE, 6 * RATE + length)
    mono = np.stack([duet[name][:1, cut] for name in ("piano", "violin")])
    estimates = mono + 0.1 * mono[::-1] + noise(*mono.shape, rms=0.001)
    expected, doubled = (
        bss_eval(
            *(np.repeat(wave, channels, 1) for wave in (mono, estimates)),
            **{"window": window, "hop": hop, "taps": taps},
        )
        for channels in (1, 2)
    )
    assert np.isfinite(expected.sar).all()
    for one, two in zip(expected, doubled, strict=True):
        np.testing.assert_allclose(two, one, atol=0.01)


def test_the_precision_of_other_computations_does_not_change(parts):
    score(parts[:2], parts[:2])
    assert jnp.ones(1).dtype == np.float32


@pytest.mark.parametrize("changes", [{"window": 0}, {"window": 9, "hop": 0}])
def test_wrong_windows_and_shapes_are_refused(parts, changes):
    waves = parts[:2, None]
    with pytest.raises(ValueError, match="at least 1"):
        bss_eval(waves, waves, **changes)
    with pytest.raises(ValueError, match="one shape"):
        bss_eval(waves, waves[:, :, 1:], window=9)
