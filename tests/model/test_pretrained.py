"""The bundled model."""

import dataclasses

import numpy as np
import pytest
import soundfile
import soxr
from chunk_grids import grids_apart

from sep.evaluation.metrics import si_sdr
from sep.model.names import DEFAULT_MODEL
from sep.model.release import PRETRAINED, load_model
from sep.separation.inference import Separation

# Mean SI-SDR over the example's two sources, in dB. It changes only with the model, or
# with what separation computes: then the scores in README.md and docs/model.md change too.
GOLDEN = 12.64
# The same for four seconds, in chunks of two seconds.
GOLDEN_EXCERPT = 14.493
FILTER_HOP = 2048  # samples between frames of its filter
RATE = 44100


@pytest.fixture(scope="module")
def separation():
    """With short chunks, for short recordings."""
    model = load_model(DEFAULT_MODEL)
    short = dataclasses.replace(model.separation, chunk_seconds=2.0, batch_size=2)
    return Separation(model._replace(separation=short))


@pytest.fixture(scope="module")
def stems(duet):
    """Four seconds of the example: name -> (C, T)."""
    return {name: duet[name][:, 5 * RATE : 9 * RATE] for name in ("piano", "violin")}


def scores(separation, stems, rate=RATE, mixture_CT=None):
    """SI-SDR of each source, in dB, separated from their sum or from a similar mixture."""
    mixture_CT = sum(stems.values()) if mixture_CT is None else mixture_CT
    found = separation(np.ascontiguousarray(mixture_CT.T), rate)
    return np.array(
        [si_sdr(stem.ravel(), found[name].T.ravel()) for name, stem in stems.items()]
    )


@pytest.fixture(scope="module")
def usual(separation, stems):
    return scores(separation, stems)


def test_its_file_is_small_and_has_its_facts():
    path = PRETRAINED / f"{DEFAULT_MODEL}.safetensors"
    assert path.stat().st_size <= 1e6
    model = load_model(DEFAULT_MODEL)
    assert model.settings.sources == ("piano", "violin")
    assert len(model.metadata["commit"]) == 40
    assert model.metadata["licence"]
    assert model.settings.architecture == "harmonic"


def test_it_separates_an_excerpt_as_well_as_before(usual):
    assert usual.mean() == pytest.approx(GOLDEN_EXCERPT, abs=0.01)


@pytest.mark.slow
def test_it_separates_the_example_as_well_as_documented(duet, example_folder):
    separation = Separation(load_model(DEFAULT_MODEL))
    stems_SCT = separation.to_array(example_folder / "mixture.flac")
    mixture_CT = duet["mixture"]
    peak = np.abs(mixture_CT).max()
    assert np.abs(stems_SCT.sum(0) - mixture_CT).max() < 1e-5 * peak
    found = [
        float(si_sdr(duet[name].reshape(-1), stem_CT.reshape(-1)))
        for name, stem_CT in zip(separation.names, stems_SCT, strict=True)
    ]
    assert np.mean(found) == pytest.approx(GOLDEN, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("refine", "highest"), [(False, -50), (True, -30)])
def test_borders_of_chunks_are_inaudible(duet, refine, highest):
    """The filter uses a whole chunk; other chunks give slightly different stems.

    docs/separate.md has the figure. With the filter the difference near the borders is as
    large as elsewhere. Without it there is one only near the borders, where the network
    lacks context.
    """
    separation = Separation(load_model(DEFAULT_MODEL), refine=refine)
    mixture_CT = np.concatenate([duet["mixture"], duet["mixture"][:, ::-1]], 1)
    stems_SCT, difference_SCT = grids_apart(separation, mixture_CT, FILTER_HOP)
    level = 10 * np.log10(np.mean(difference_SCT**2) / np.mean(stems_SCT**2))
    assert level < highest
    hop = separation._plan.chunk - separation._plan.overlap
    whole = difference_SCT.shape[-1] // hop * hop
    power_T = (difference_SCT[..., :whole] ** 2).mean((0, 1)).reshape(-1, hop).mean(0)
    places = np.array([part.mean() for part in np.array_split(power_T, 12)])
    loudest = 10 * np.log10(places.max() / np.mean(stems_SCT**2))
    assert loudest < highest + 10
    if refine:  # without it nothing differs elsewhere
        assert places[0] < 4 * np.median(places)  # where chunks fade into each other


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "peak_db", [-60, pytest.param(-30, marks=SLOW), pytest.param(0, marks=SLOW)]
)
def test_any_level_is_separated_alike(separation, stems, usual, peak_db):
    gain = 10 ** (peak_db / 20) / np.abs(sum(stems.values())).max()
    found = scores(separation, {name: gain * stem for name, stem in stems.items()})
    np.testing.assert_allclose(found, usual, atol=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("louder", ["piano", "violin"])
def test_a_soft_source_beside_a_loud_one_is_found(separation, stems, louder):
    gain = 10 ** (10 / 20)
    uneven = {name: stem * (gain if name == louder else 1) for name, stem in stems.items()}
    before = [si_sdr(s.ravel(), sum(uneven.values()).ravel()) for s in uneven.values()]
    gained = scores(separation, uneven) - np.array(before)
    assert gained.max() > 8  # of the soft one
    assert gained.min() > 1.5


def test_mono_is_separated_as_well(separation, stems, usual):
    mono = {name: stem.mean(0, keepdims=True) for name, stem in stems.items()}
    assert (scores(separation, mono) > usual - 0.5).all()


@pytest.mark.slow
@pytest.mark.parametrize("rate", [22050, 96000])
def test_any_sample_rate_is_separated_as_well(separation, stems, usual, rate):
    other = {name: soxr.resample(stem.T, RATE, rate).T for name, stem in stems.items()}
    np.testing.assert_allclose(scores(separation, other, rate), usual, atol=0.5)


@pytest.mark.slow
def test_lossy_mixtures_are_separated_as_well(separation, duet, tmp_path):
    stems = {name: duet[name][:, 4 * RATE : 14 * RATE] for name in ("piano", "violin")}
    mixture_CT = sum(stems.values())
    path = tmp_path / "mixture.mp3"
    options = {"bitrate_mode": "CONSTANT", "compression_level": 0.78}
    soundfile.write(path, mixture_CT.T, RATE, subtype="MPEG_LAYER_III", **options)
    kilobits = path.stat().st_size * 8 / 10 / 1000
    assert kilobits == pytest.approx(96, abs=4)
    lossy_TC, _ = soundfile.read(path, dtype="float32")
    found = scores(separation, stems, RATE, lossy_TC[: mixture_CT.shape[1]].T)
    np.testing.assert_allclose(found, scores(separation, stems), atol=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["piano", "violin"])
def test_an_instrument_alone_leaves_the_other_stem_empty(separation, stems, name):
    found = separation(np.ascontiguousarray(stems[name].T), RATE)
    power = {key: np.mean(wave**2) for key, wave in found.items()}
    (other,) = power.keys() - {name}
    assert 10 * np.log10(power[name] / power[other]) > 25


def test_silence_stays_silence(separation):
    for wave in separation(np.zeros((3 * RATE, 2), np.float32), RATE).values():
        assert not wave.any()
