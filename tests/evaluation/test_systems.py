"""Tracks and systems: stems of other tools are fitted or refused, never misaligned."""

import numpy as np
import pytest
import soundfile
from builders import noise
from hypothesis import given, settings
from hypothesis import strategies as st

from sep.errors import UserError
from sep.evaluation import systems, tracks
from sep.evaluation.systems import of_folder, shift
from sep.model.names import DEFAULT_MODEL

RATE, SOURCES = 8000, ("piano", "violin")


@settings(max_examples=50)
@given(st.integers(-2000, 2000), st.integers(4001, 9000), st.integers(1, 2))
def test_the_shift_of_late_stems_is_found_to_the_sample(late, length, channels):
    references_SCT = noise(2, channels, length)
    moved_SCT = np.zeros_like(references_SCT)
    kept = slice(max(late, 0), length + min(late, 0))
    moved_SCT[..., kept] = references_SCT[..., max(-late, 0) : length - max(late, 0)]
    moved_SCT += 0.3 * noise(*moved_SCT.shape, seed=1)
    assert shift(references_SCT, moved_SCT, RATE) == late


@pytest.mark.parametrize("length", [1, 2, 5000])
def test_silent_poor_and_swapped_stems_have_no_shift(length):
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


def test_tracks_are_read_unchanged(track):
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


def test_a_missing_folder_of_stems_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere: no such folder"):
        of_folder("x", tmp_path / "nowhere", SOURCES)


def test_a_model_without_an_output_for_a_source_is_refused():
    assert systems.outputs_of_model(DEFAULT_MODEL) == SOURCES
    with pytest.raises(UserError, match="piano-violin: has no output for harp"):
        systems.of_model("it", DEFAULT_MODEL, ("piano", "harp"))
