"""References: known answers, bounds, sums, and a second implementation of the oracles."""

import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import soxr
from builders import NAMES, RATE
from builders import noise as noise_of_level
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal
from threadpoolctl import threadpool_limits

from sep import audio
from sep.data import stems
from sep.errors import UserError
from sep.evaluation.metrics import si_sdr
from sep.evaluation.references import (
    REFERENCES,
    ReferenceOptions,
    build,
    dictionaries,
    hpss,
    nmf,
    oracles,
)
from sep.evaluation.references.dictionaries import Dictionaries
from sep.evaluation.references.spectra import FRAMES, NEIGHBOURS, Transform, change
from sep.model.names import DEFAULT_MODEL
from sep.model.release import locate_model

noise = partial(noise_of_level, rms=1.0)
HALF = 6 * RATE  # samples of the example from which dictionaries are learned
SECONDS = 2 * RATE  # samples of the example that are separated
SMALL = Transform(256, 64)  # short signals have several blocks
MEDIUM = Transform(1024, 256)  # for the example
BLOCK = FRAMES * SMALL.hop_length  # samples
DIVIDING = sorted(set(REFERENCES) - {"mixture", "psm", "cirm"})  # estimates sum to mixture
ORACLES = {
    "ibm": oracles.ibm,
    "irm": oracles.irm,
    "irm of magnitudes": partial(oracles.irm, exponent=1.0),
    "cirm": oracles.cirm,
    "mwf": oracles.mwf,
    "psm": oracles.psm,
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Keeps BLAS from threads, which spend more time waiting than on small products."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def duet_SCT(duet):
    """Piano and violin of the example, 12 s."""
    return np.stack([duet[name] for name in NAMES])[..., : 2 * HALF]


@pytest.fixture(scope="module")
def learned(duet_SCT):
    """Dictionaries of the first half of the example, in mono."""
    atoms = [
        nmf.learn(name, stem_CT[:1, :HALF], Transform(), rank=24, seed=0)
        for name, stem_CT in zip(NAMES, duet_SCT, strict=True)
    ]
    return Dictionaries(NAMES, Transform(), np.stack(atoms))


@pytest.fixture(scope="module")
def options(learned, tmp_path_factory):
    """Options with a file of these dictionaries."""
    path = tmp_path_factory.mktemp("nmf") / "learned.safetensors"
    dictionaries.save(path, learned, {"seed": "0"})
    return ReferenceOptions(MEDIUM, path)


def score(sources_SCT, estimates_SCT):
    """SI-SDR in dB of every source, its channels joined."""
    joined = (len(sources_SCT), -1)
    return si_sdr(
        np.float64(sources_SCT).reshape(joined), np.float64(estimates_SCT).reshape(joined)
    )


def panned(sources_SCT):
    """Mono sources, one more to the left and one more to the right."""
    gains_SC = np.array([[1, 0.4], [0.4, 1]], np.float32)
    return gains_SC[..., None] * sources_SCT.mean(1, keepdims=True)


# Known answers


@pytest.mark.parametrize("name", ORACLES)
def test_sources_without_overlap_are_separated(name):
    time_T = np.arange(RATE) / RATE
    low_T, high_T = (
        np.hanning(RATE) * np.sin(2 * np.pi * hertz * time_T) for hertz in (440, 5000)
    )
    sources_SCT = np.float32([[low_T], [high_T]])
    estimates_SCT = ORACLES[name](sources_SCT.sum(0), sources_SCT, SMALL)
    assert score(sources_SCT, estimates_SCT).min() > 60


def test_a_binary_mask_gives_a_bin_to_the_loudest_source_and_shares_ties():
    loud, soft = noise(1, 3000), 0.5 * noise(1, 3000)  # the same wave
    estimates_SCT = oracles.ibm(loud + soft, np.stack([soft, loud]), SMALL)
    np.testing.assert_allclose(estimates_SCT, [0 * loud, loud + soft], atol=1e-5)
    estimates_SCT = oracles.ibm(2 * loud, np.stack([loud, loud]), SMALL)
    np.testing.assert_allclose(estimates_SCT, [loud, loud], atol=1e-5)


@pytest.mark.parametrize("exponent, share", [(1.0, 3 / 4), (2.0, 9 / 10)])
def test_a_ratio_mask_is_a_ratio_of_powers_or_of_magnitudes(exponent, share):
    wave_CT = noise(1, 3000)
    sources_SCT = np.stack([3 * wave_CT, -wave_CT])  # magnitudes are 3 to 1 in all bins
    estimates_SCT = oracles.irm(sources_SCT.sum(0), sources_SCT, SMALL, exponent)
    np.testing.assert_allclose(estimates_SCT[0], share * 2 * wave_CT, atol=1e-5)


def test_a_complex_mask_returns_the_source_unless_it_would_amplify():
    wave_CT = noise(1, 3000)
    sources_SCT = np.stack([-3 * wave_CT, 0.5 * wave_CT])  # the mixture: -2.5
    mixture_CT = sources_SCT.sum(0)
    np.testing.assert_allclose(
        oracles.cirm(mixture_CT, sources_SCT, SMALL),
        np.stack([-2.5 * wave_CT, 0.5 * wave_CT]),
        atol=1e-5,
    )
    unbounded_SCT = oracles.cirm(mixture_CT, sources_SCT, SMALL, bound=np.inf)
    np.testing.assert_allclose(unbounded_SCT, sources_SCT, atol=1e-5)


def test_a_phase_sensitive_mask_amplifies_but_keeps_the_phase():
    wave_CT = noise(1, 3000)
    sources_SCT = np.stack([-3 * wave_CT, 0.5 * wave_CT])  # the mixture: -2.5
    mixture_CT = sources_SCT.sum(0)
    for bound, first in ((np.inf, -3), (1.0, -2.5), (0.5, -1.25)):
        np.testing.assert_allclose(
            oracles.psm(mixture_CT, sources_SCT, SMALL, bound=bound),
            np.stack([first * wave_CT, 0 * wave_CT]),
            atol=1e-5,
        )


def test_the_wiener_filter_undoes_panning_unlike_masks(duet_SCT):
    sources_SCT = panned(duet_SCT[..., :SECONDS])
    mixture_CT = sources_SCT.sum(0)
    filtered = score(sources_SCT, oracles.mwf(mixture_CT, sources_SCT, MEDIUM))
    masked = score(sources_SCT, oracles.irm(mixture_CT, sources_SCT, MEDIUM))
    assert (filtered > masked + 30).all()


def test_spatial_covariance_of_a_panned_source_is_its_gains():
    gains_C = np.array([1, -0.5, 0.25])
    wave_CT = (gains_C[:, None] * noise(BLOCK + 5000)).astype(np.float32)
    found_SFCC = oracles.spatial_covariance(np.stack([wave_CT, 0 * wave_CT]), SMALL)
    expected_CC = np.outer(gains_C, gains_C) * 3 / (gains_C**2).sum()
    for found_CC in found_SFCC[0]:
        np.testing.assert_allclose(found_CC, expected_CC, atol=1e-5)
    assert not found_SFCC[1].any()


# Second implementation: transforms of SciPy, float64, the whole recording at once


def by_scipy(mixture_CT, sources_SCT, transform, split):
    window = signal.windows.hann(transform.n_fft, sym=False)
    stft = signal.ShortTimeFFT(window, transform.hop_length, fs=1)
    mixture_CFN, sources_SCFN = (
        stft.stft(np.float64(wave)) for wave in (mixture_CT, sources_SCT)
    )
    return stft.istft(split(mixture_CFN, sources_SCFN), k1=mixture_CT.shape[-1])


def binary(mixture_CFN, sources_SCFN):
    winner_CFN = np.abs(sources_SCFN).argmax(0)
    return np.stack([(winner_CFN == s) * mixture_CFN for s in range(len(sources_SCFN))])


def ratio(mixture_CFN, sources_SCFN, exponent):
    size_SCFN = np.abs(sources_SCFN) ** exponent
    return size_SCFN / size_SCFN.sum(0) * mixture_CFN


def complex_(mixture_CFN, sources_SCFN):
    mask_SCFN = sources_SCFN / mixture_CFN
    return mask_SCFN / np.maximum(np.abs(mask_SCFN), 1) * mixture_CFN


def projected(mixture_CFN, sources_SCFN):
    mask_SCFN = (sources_SCFN / mixture_CFN).real
    return np.where(mask_SCFN > 0, mask_SCFN, 0) * mixture_CFN


def wiener(mixture_CFN, sources_SCFN):
    outer_SFNCC = np.einsum("scfn,sdfn->sfncd", sources_SCFN, sources_SCFN.conj())
    power_SFN = (np.abs(sources_SCFN) ** 2).mean(1)
    model_SFCC = outer_SFNCC.sum(2) / power_SFN.sum(2)[..., None, None]
    model_SFNCC = power_SFN[..., None, None] * model_SFCC[:, :, None]
    filter_SFNCC = model_SFNCC @ np.linalg.pinv(model_SFNCC.sum(0), hermitian=True)
    return np.einsum("sfncd,dfn->scfn", filter_SFNCC, mixture_CFN)


@pytest.mark.parametrize(
    "name, split, decibels",
    [
        ("ibm", binary, 60),  # a tie may be decided by rounding
        ("irm", partial(ratio, exponent=2), 90),
        ("irm of magnitudes", partial(ratio, exponent=1), 90),
        ("psm", projected, 80),
        ("cirm", complex_, 80),
        ("mwf", wiener, 80),
    ],
)
def test_oracles_agree_with_an_implementation_in_scipy(duet_SCT, name, split, decibels):
    sources_SCT = duet_SCT[..., RATE : 2 * RATE + 34567]  # two blocks
    mixture_CT = sources_SCT.sum(0)
    expected_SCT = by_scipy(mixture_CT, sources_SCT, MEDIUM, split)
    found_SCT = ORACLES[name](mixture_CT, sources_SCT, MEDIUM)
    error = np.sum((found_SCT - expected_SCT) ** 2) / np.sum(expected_SCT**2)
    assert -10 * np.log10(error) > decibels


def test_the_wiener_filter_of_one_channel_is_the_ratio_mask(duet_SCT):
    sources_SCT = duet_SCT[:, :1, HALF : HALF + 2 * BLOCK]
    mixture_CT = sources_SCT.sum(0)
    np.testing.assert_allclose(
        oracles.mwf(mixture_CT, sources_SCT, SMALL),
        oracles.irm(mixture_CT, sources_SCT, SMALL),
        atol=1e-6,
    )


def test_blocks_equal_one_transform_of_the_whole_recording(duet_SCT):
    """The spectra are smoothed over as many frames as allowed."""
    wave_T = duet_SCT[0, 0, : 3 * BLOCK + 777]
    reach = 2 * NEIGHBOURS + 1

    def smooth(spectrum_NF):
        padded = np.pad(np.asarray(spectrum_NF), [(NEIGHBOURS, NEIGHBOURS), (0, 0)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=0)
        return windows.mean(-1).astype(np.complex64)

    window = signal.windows.hann(SMALL.n_fft, sym=False)
    stft = signal.ShortTimeFFT(window, SMALL.hop_length, fs=1)
    long_T = np.pad(np.float64(wave_T), BLOCK)  # frames around it are silent, not missing
    expected_T = stft.istft(smooth(stft.stft(long_T).T).T, k1=len(long_T))
    np.testing.assert_allclose(
        change(wave_T, SMALL, smooth), expected_T[BLOCK : BLOCK + len(wave_T)], atol=1e-6
    )


# On the example


@pytest.fixture(scope="module")
def example(duet_SCT):
    """Sources of the example that NMF has not learned from."""
    return duet_SCT[..., HALF : HALF + SECONDS]


@pytest.fixture(scope="module")
def estimates(example, options):
    """Estimates of every reference for the example, by name."""
    return {
        name: build(name, NAMES, options)(example.sum(0), example, RATE)
        for name in REFERENCES
    }


def test_scores_of_the_references_have_the_expected_order(example, estimates):
    for name, estimates_SCT in estimates.items():
        assert estimates_SCT.dtype == np.float32
        assert estimates_SCT.shape == example.shape
        if name in DIVIDING:
            np.testing.assert_allclose(estimates_SCT.sum(0), example.sum(0), atol=1e-6)
    scores = {name: score(example, found).mean() for name, found in estimates.items()}
    assert list(scores) == sorted(scores, key=scores.get)
    assert scores["nmf"] > scores["mixture"] + 3
    assert scores["cirm"] > scores["irm"] + 5


def test_no_mask_with_the_phases_of_the_mixture_beats_psm(example, estimates):
    scores = {name: score(example, found) for name, found in estimates.items()}
    of_magnitudes = oracles.irm(example.sum(0), example, MEDIUM, exponent=1.0)
    for others in (scores["ibm"], scores["irm"], score(example, of_magnitudes)):
        assert (scores["psm"] > others + 0.5).all()
    assert (scores["cirm"] > scores["psm"]).all()


def test_oracles_treat_other_sound_as_one_more_source(duet_SCT):
    sources_SCT = duet_SCT[:, :1, HALF : HALF + SECONDS]
    rest_CT = 0.1 * noise(1, SECONDS)
    mixture_CT = sources_SCT.sum(0) + rest_CT
    plain = oracles.irm(mixture_CT, sources_SCT, SMALL)
    reference = build("irm", NAMES, ReferenceOptions(transform=SMALL))
    with_rest = reference(mixture_CT, sources_SCT, RATE)
    np.testing.assert_allclose(plain.sum(0), mixture_CT, atol=1e-5)
    assert (score(sources_SCT, with_rest) > score(sources_SCT, plain) + 3).all()


# Any length, number of channels, level and rate


@given(
    length=st.one_of(st.integers(1, 300), st.integers(1, 3 * BLOCK)),
    level=st.integers(-60, 60),
    seed=st.integers(0, 99),
)
@settings(max_examples=4)
@pytest.mark.parametrize("name", sorted(set(REFERENCES) - {"nmf"}))  # NMF is slow
def test_any_length_and_level_in_three_channels(name, length, level, seed):
    sources_SCT = noise(2, 3, length, seed=seed)
    mixture_CT = sources_SCT.sum(0)
    factor = np.float32(2.0**level)
    reference = build(name, NAMES, ReferenceOptions(transform=SMALL))
    estimates_SCT = reference(mixture_CT, sources_SCT, RATE)
    assert estimates_SCT.shape == sources_SCT.shape
    assert np.isfinite(estimates_SCT).all()
    if name in DIVIDING:
        np.testing.assert_allclose(estimates_SCT.sum(0), mixture_CT, atol=1e-5)
    scaled_SCT = reference(factor * mixture_CT, factor * sources_SCT, RATE)
    np.testing.assert_array_equal(scaled_SCT, factor * estimates_SCT)


@pytest.mark.parametrize("length", [1, 100, 30_000])
def test_nmf_of_short_recordings(options, length):
    mixture_CT = noise(3, length)
    estimates_SCT = build("nmf", NAMES, options)(mixture_CT, mixture_CT[:0], RATE)
    assert estimates_SCT.shape == (2, 3, length)
    np.testing.assert_allclose(estimates_SCT.sum(0), mixture_CT, atol=1e-5)


@pytest.mark.parametrize("rate", [8000, 48000])
def test_dictionaries_serve_other_sample_rates(duet_SCT, learned, rate):
    sources_SCT = duet_SCT[:, :1, HALF : HALF + SECONDS]
    sources_SCT = np.stack([soxr.resample(x_CT.T, RATE, rate).T for x_CT in sources_SCT])
    estimates_SCT = nmf.nmf(sources_SCT.sum(0), learned, rate)
    assert score(sources_SCT, estimates_SCT).min() > 3


def test_transforms_have_the_same_duration_at_every_rate():
    assert Transform(4096, 1024, 44100).at(44100) == (4096, 1024, 44100)
    assert Transform(4096, 1024, 44100).at(88200) == (8192, 2048, 88200)
    assert Transform(4096, 1024, 44100).at(48000) == (4458, 1115, 48000)


@pytest.mark.parametrize("name", ORACLES)
def test_a_silent_source_stays_silent(name):
    sound_CT = noise(3, BLOCK + 1000)
    sources_SCT = np.stack([sound_CT, 0 * sound_CT])
    estimates_SCT = ORACLES[name](sound_CT, sources_SCT, SMALL)
    np.testing.assert_allclose(estimates_SCT[0], sound_CT, atol=1e-5)
    assert not estimates_SCT[1].any()


@pytest.mark.parametrize("name", REFERENCES)
def test_silence_gives_silence(name, options):
    silence_SCT = np.zeros((2, 2, 5000), np.float32)
    estimates_SCT = build(name, NAMES, options)(silence_SCT[0], silence_SCT, RATE)
    assert estimates_SCT.shape == silence_SCT.shape
    assert not estimates_SCT.any()


def test_equal_channels_stay_equal():
    sources_SCT = np.repeat(noise(2, 1, 9000), 3, axis=1)
    estimates_SCT = oracles.mwf(sources_SCT.sum(0), sources_SCT, SMALL)
    expected_SCT = oracles.irm(sources_SCT.sum(0), sources_SCT, SMALL)
    np.testing.assert_allclose(estimates_SCT, expected_SCT, atol=1e-4)


# Baselines


def test_hpss_separates_a_tone_from_clicks():
    tone_T = 0.1 * np.sin(2 * np.pi * 1000 * np.arange(2 * RATE) / RATE)
    clicks_T = np.zeros(2 * RATE)
    clicks_T[RATE // 8 :: RATE // 4] = 1
    sources_SCT = np.float32([[tone_T], [clicks_T]])
    estimates_SCT = hpss.hpss(sources_SCT.sum(0), (False, True), RATE)
    assert score(sources_SCT, estimates_SCT).min() > 10


def test_sources_of_one_kind_share_its_part():
    mixture_CT = noise(1, 20_000)
    names = ("violin", "piano", "flute")
    assert hpss.kinds(names) == (False, True, False)
    violin, piano, flute = hpss.hpss(mixture_CT, hpss.kinds(names), RATE)
    np.testing.assert_array_equal(violin, flute)
    np.testing.assert_allclose(violin + piano + flute, mixture_CT, atol=1e-5)


def test_nmf_explains_sums_of_its_atoms():
    atoms_SRF = np.random.default_rng(0).gamma(0.1, size=(2, 3, 40)).astype(np.float32)
    gains_SNR = np.random.default_rng(1).gamma(0.5, size=(2, 9, 3)).astype(np.float32)
    parts_SNF = gains_SNR @ atoms_SRF
    found_SNF = nmf.explain(parts_SNF.sum(0), atoms_SRF)
    assert np.abs(found_SNF - parts_SNF).sum() < 0.1 * parts_SNF.sum()


def test_learning_is_repeatable_and_atoms_sum_to_one():
    excerpts_ET = noise(3, 4000)
    first_RF, again_RF, other_RF = (
        nmf.learn("piano", excerpts_ET, SMALL, rank=4, seed=seed) for seed in (0, 0, 1)
    )
    np.testing.assert_allclose(first_RF.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(again_RF, first_RF)
    assert not np.array_equal(other_RF, first_RF)


@pytest.mark.parametrize(
    "excerpts_ET", [noise(1, 2000), 0 * noise(3, 4000), noise(0, 4000)]
)
def test_learning_from_too_few_frames_is_refused(excerpts_ET):
    with pytest.raises(UserError, match="cello: .* frames with sound are too few for 64 "):
        nmf.learn("cello", excerpts_ET, SMALL, rank=64, seed=0)


def test_dictionaries_are_read_from_their_file(learned, options):
    found = dictionaries.load(options.nmf)
    assert found[:2] == learned[:2]
    np.testing.assert_array_equal(found.atoms_SRF, learned.atoms_SRF)
    violin = found.of(["violin"])
    np.testing.assert_array_equal(violin.atoms_SRF, learned.atoms_SRF[1:])


@pytest.mark.parametrize(
    "change",
    [
        lambda good: good._replace(names=("piano",)),
        lambda good: good._replace(transform=Transform(4096, -1)),
        lambda good: good._replace(transform=Transform(512, 128)),
        lambda good: good._replace(atoms_SRF=-good.atoms_SRF),
        lambda good: good._replace(atoms_SRF=good.atoms_SRF * np.nan),
        lambda good: good._replace(atoms_SRF=good.atoms_SRF[0]),
    ],
)
def test_unusable_dictionaries_are_refused(learned, tmp_path, change):
    dictionaries.save(tmp_path / "corrupt", change(learned), {})
    with pytest.raises(UserError, match="corrupt: is no file of NMF dictionaries"):
        dictionaries.load(tmp_path / "corrupt")


# What is refused, before any track is read


@pytest.mark.parametrize(
    "name, names, path, message",
    [
        ("mvf", NAMES, None, "unknown reference 'mvf'; known: cirm, hpss, ibm"),
        ("hpss", ("violin", "flute"), None, "cannot separate violin, flute"),
        ("nmf", NAMES, None, "needs a file of dictionaries"),
        ("nmf", NAMES, "nothing", "nothing: no such file"),
        ("nmf", NAMES, locate_model(DEFAULT_MODEL), "another kind of file"),
        ("nmf", NAMES, __file__, "test_references.py: is no file"),
    ],
)
def test_errors_of_building(name, names, path, message, tmp_path):
    with pytest.raises(UserError, match=message):
        build(name, names, ReferenceOptions(nmf=path and tmp_path / path))


def test_nmf_refuses_sources_without_dictionaries(options):
    with pytest.raises(UserError, match="dictionaries of piano, violin, not of cello"):
        build("nmf", ("piano", "cello"), options)


@pytest.mark.parametrize("name, package", [("hpss", "scipy"), ("nmf", "sklearn")])
def test_a_missing_package_is_named_with_its_extra(name, package, options, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"reference {name} needs: .*\[references\]"):
        build(name, NAMES, options)


def test_importing_references_is_light():
    heavy = "print({'scipy', 'sklearn'} & set(sys.modules))"
    code = f"import sys, sep.evaluation.references; {heavy}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done


# Learning from a folder of stems


def test_excerpts_are_drawn_where_there_is_sound(tmp_path):
    wave_CT = np.zeros((2, 10 * stems.ACTIVITY_BLOCK), np.float32)
    wave_CT[:, 4 * stems.ACTIVITY_BLOCK : 6 * stems.ACTIVITY_BLOCK] = [[0.25], [0.5]]
    audio.write(tmp_path / "train" / "piano" / "a.wav", wave_CT, 8000, "FLOAT")
    found = stems.load(
        tmp_path / "train",
        ["piano"],
        8000,
        str(tmp_path / "cache"),
        strict=True,
        missing_is_silence=True,
    )
    active = {  # number of blocks: which of them have sound in the two excerpts
        4: [[1, 1, 0, 0], [1, 0, 0, 0]],
        7: [[0, 1, 1, 0, 0, 0, 0]] * 2,  # the last start in the recording
        12: [[0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0]] * 2,  # longer than the recording
    }
    for blocks, expected in active.items():
        length = blocks * stems.ACTIVITY_BLOCK
        rng = np.random.default_rng(0)
        excerpts_ET = stems.excerpts(found.solos["piano"], 9, length, rng)
        assert set(excerpts_ET.ravel()) <= {0, 0.25, 0.5}
        blocks_ENT = excerpts_ET.reshape(2, blocks, -1)
        np.testing.assert_array_equal(blocks_ENT.all(2), np.array(expected, bool))
        np.testing.assert_array_equal(blocks_ENT.any(2), np.array(expected, bool))


@pytest.mark.slow
def test_the_command_learns_dictionaries_that_separate(duet_SCT, tmp_path):
    for name, stem_CT in zip(NAMES, duet_SCT, strict=True):
        place = tmp_path / "train" / name / "first.flac"
        audio.write(place, stem_CT[:, :HALF], RATE)
    out = tmp_path / "learned.safetensors"
    command = [sys.executable, "-m", "sep.cli.nmf", f"--data={tmp_path}", f"--out={out}"]
    command += [f"--cache={tmp_path / 'cache'}", "--rank=24", "--seconds=30"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{out}: 24 spectra each of piano, violin\n"
    reference = build("nmf", NAMES[::-1], ReferenceOptions(nmf=out))
    sources_SCT = duet_SCT[::-1, :, HALF:]
    assert score(sources_SCT, reference(sources_SCT.sum(0), sources_SCT, RATE)).min() > 3
