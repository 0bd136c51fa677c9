"""From folders of stems to mixtures."""

import itertools

import jax
import numpy as np
import pytest
import soundfile

from sep.config import get_config
from sep.data import mixing, pipeline, stems
from sep.errors import UserError
from sep.separator import REFERENCE_RMS

CONFIG = get_config().data.to_dict() | {"batch_size": 3}
CROP = 400


def noise(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, shape).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    for seed, source in enumerate(("piano", "violin")):
        (tmp_path / "train" / source).mkdir(parents=True)
        soundfile.write(tmp_path / f"train/{source}/a.wav", noise(4000, 2, seed=seed), 8000)
        soundfile.write(tmp_path / f"train/{source}/b.flac", noise(2000), 16000)
    return tmp_path


def loaded(folder, sources=("piano", "violin")):
    return stems.load(folder / "train", sources, 8000, str(folder / "cache"))


def some_batches(folder, first_step=0, count=3, **changes):
    lists = list(loaded(folder).values())
    endless = pipeline.batches(
        lists, CONFIG | changes, crop=CROP, seed=1, first_step=first_step
    )
    return list(itertools.islice(endless, count))


def test_stems_are_decoded_once_to_one_rate(folder, monkeypatch):
    first = loaded(folder)
    assert [stem.wave_CT.shape for stem in first["piano"]] == [(2, 4000), (1, 1000)]
    original, _ = soundfile.read(folder / "train/piano/a.wav")
    np.testing.assert_allclose(first["piano"][0].wave_CT.T, original, atol=1e-3)
    monkeypatch.setattr(stems.audio, "read", None)  # would fail if called
    again = loaded(folder)
    np.testing.assert_array_equal(again["violin"][1].wave_CT, first["violin"][1].wave_CT)


def test_a_changed_file_is_decoded_anew(folder):
    loaded(folder)
    soundfile.write(folder / "train/piano/a.wav", noise(500), 8000)
    assert loaded(folder)["piano"][0].wave_CT.shape == (1, 500)


def test_missing_sources_and_empty_folders_are_named(folder):
    with pytest.raises(UserError, match="train/cello: .* missing.*found: piano, violin"):
        loaded(folder, ("piano", "cello"))
    (folder / "train/cello").mkdir()
    with pytest.raises(UserError, match="train/cello: no sound files"):
        loaded(folder, ("piano", "cello"))
    with pytest.raises(UserError, match="no such folder"):
        stems.load(folder / "nowhere", ("piano",), 8000, str(folder))


def test_a_batch_depends_on_seed_and_step_alone(folder):
    batches = some_batches(folder)
    assert batches[0].shape == (3, 2, CROP)
    assert not np.array_equal(batches[0], batches[1])
    np.testing.assert_array_equal(some_batches(folder, first_step=2)[0], batches[2])
    for got, expected in zip(some_batches(folder, workers=3), batches, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_recordings_shorter_than_a_crop_are_padded(folder):
    for path in (folder / "train").rglob("*.*"):
        soundfile.write(path, noise(100), 8000)
    (batch,) = some_batches(folder, count=1, speed=0.0)
    energy = (batch != 0).sum(-1)
    assert (energy > 90).all()
    assert (energy <= 100).all()


def test_mixtures_are_the_sum_of_their_sources():
    stems_BST = noise(16, 2, CROP)
    mixture_BCT, sources_BSCT = mixing.mix(jax.random.key(0), stems_BST, CONFIG)
    assert mixture_BCT.shape == (16, 1, CROP)
    np.testing.assert_allclose(mixture_BCT, sources_BSCT.sum(1), atol=1e-6)
    again, _ = mixing.mix(jax.random.key(0), stems_BST, CONFIG)
    np.testing.assert_array_equal(mixture_BCT, again)
    other, _ = mixing.mix(jax.random.key(1), stems_BST, CONFIG)
    assert not np.array_equal(mixture_BCT, other)


def test_augmentation_stays_within_its_limits():
    plain = CONFIG | {"equaliser_db": 0.0, "absent": 0.0, "level_db": 0.0, "gain_db": 6.0}
    _, sources_BSCT = mixing.mix(jax.random.key(0), noise(64, 2, CROP), plain)
    rms_BS = np.sqrt((sources_BSCT**2).mean((2, 3)))
    gain_db = 20 * np.log10(rms_BS / (REFERENCE_RMS / np.sqrt(2)))
    assert np.abs(gain_db).max() < 6.01
    assert np.abs(gain_db).max() > 5
    _, sources_BSCT = mixing.mix(
        jax.random.key(0), noise(64, 2, CROP), plain | {"absent": 1.0}
    )
    assert not np.asarray(sources_BSCT).any()


def test_an_equaliser_of_0_db_changes_nothing():
    waves_BST = noise(2, 2, CROP)
    same = mixing.equalise(jax.random.key(0), waves_BST, 0.0)
    np.testing.assert_allclose(same, waves_BST, atol=1e-6)
    assert (
        np.abs(mixing.equalise(jax.random.key(0), waves_BST, 6.0) - waves_BST).max() > 0.1
    )
