"""What is evaluated: stems of other tools are fitted or refused, never misaligned."""

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from sep.errors import UserError
from sep.evaluation import systems, tracks
from sep.evaluation.references import Settings
from sep.evaluation.score import METRICS, scores
from sep.evaluation.systems import of_folder, of_reference, shift
from sep.evaluation.tracks import Place, Track
from sep.model.names import DEFAULT_MODEL

RATE, SOURCES = 8000, ("piano", "violin")


def noise(*shape, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


@settings(max_examples=50)
@given(st.integers(-2000, 2000), st.integers(4001, 9000), st.integers(1, 2))
def test_stems_that_are_late_are_found_out_to_the_sample(late, length, channels):
    references_SCT = noise(2, channels, length)
    moved_SCT = np.zeros_like(references_SCT)
    kept = slice(max(late, 0), length + min(late, 0))
    moved_SCT[..., kept] = references_SCT[..., max(-late, 0) : length - max(late, 0)]
    moved_SCT += 0.3 * noise(*moved_SCT.shape, seed=1)
    assert shift(references_SCT, moved_SCT, RATE) == late


@pytest.mark.parametrize("length", [1, 2, 5000])
def test_silent_poor_and_swapped_stems_are_not_taken_for_late(length):
    references_SCT = noise(2, 1, length)
    assert shift(references_SCT, np.zeros_like(references_SCT), RATE) == 0
    assert shift(references_SCT, references_SCT, RATE) == 0
    if length > 100:
        assert shift(references_SCT, references_SCT[::-1], RATE) == 0
        assert shift(references_SCT, noise(2, 1, length, seed=2), RATE) == 0


@pytest.fixture
def track(tmp_path):
    references_SCT = noise(2, 1, 2 * RATE)
    for source, wave_CT in zip(SOURCES, references_SCT, strict=True):
        (tmp_path / "one").mkdir(exist_ok=True)
        soundfile.write(tmp_path / "one" / f"{source}.wav", wave_CT.T, RATE, "FLOAT")
    mixture_CT = references_SCT.sum(0)
    soundfile.write(tmp_path / "one" / "mixture.wav", mixture_CT.T, RATE, "FLOAT")
    (place,) = tracks.places("set", tmp_path, SOURCES)
    return tracks.read(place)


def test_tracks_are_read_as_they_are(track):
    np.testing.assert_allclose(track.mixture_CT, track.references_SCT.sum(0), atol=1e-6)
    assert track.sample_rate == RATE
    assert tracks.sources_of(track.place.mixture.parent.parent) == SOURCES


def test_stems_of_a_set_may_lie_under_its_name(track, tmp_path):
    for source, wave_CT in zip(SOURCES, track.references_SCT, strict=True):
        path = tmp_path / "tool" / "set" / "one" / f"{source}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, wave_CT.T, RATE)
    system = of_folder("tool", tmp_path / "tool", SOURCES)
    np.testing.assert_allclose(system.estimate(track), track.references_SCT, atol=1e-4)
    assert str(path) in system.identity(track.place)


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere: no such folder"):
        of_folder("x", tmp_path / "nowhere", SOURCES)


def test_a_model_that_lacks_a_source_is_refused():
    assert systems.outputs_of_model(DEFAULT_MODEL) == SOURCES
    with pytest.raises(UserError, match="knows no harp"):
        systems.of_model("it", DEFAULT_MODEL, ("piano", "harp"))


def test_every_metric_is_known_of_perfect_and_useless_estimates(track):
    estimate = of_reference("mixture", SOURCES, Settings()).estimate(track)
    useless, perfect = scores(track, estimate), scores(track, track.references_SCT)
    assert tuple(useless) == tuple(perfect) == METRICS
    np.testing.assert_allclose(useless["si_sdri"], 0, atol=1e-6)
    assert (perfect["si_sdr"] > 100).all()
    assert (perfect["sdr"] > 100).all()
    assert np.isnan(perfect["leakage"]).all()  # nobody rests


def test_leakage_is_of_the_seconds_in_which_a_source_rests():
    place = Place("set", "one", None, dict.fromkeys(SOURCES))
    references_SCT = noise(2, 2, 3 * RATE)
    references_SCT[0, :, RATE : 2 * RATE] = 0
    track = Track(place, RATE, references_SCT.sum(0), references_SCT)
    estimates_SCT = references_SCT + 0.1 * references_SCT[::-1]
    found_S = scores(track, estimates_SCT)["leakage"]
    assert found_S[0] == pytest.approx(-20, abs=1e-4)
    assert np.isnan(found_S[1])
    short = Track(place, RATE, track.mixture_CT[:, :100], references_SCT[..., :100])
    assert np.isnan(scores(short, estimates_SCT[..., :100])["leakage"]).all()
