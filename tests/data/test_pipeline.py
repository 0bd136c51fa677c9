"""Batches: what is drawn and read, and that it depends only on seed and step."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sep.data import pipeline
from sep.data.settings import DataSettings, TimbreSettings
from sep.data.stems import ACTIVITY_BLOCK, Stem, Stems, activity
from sep.errors import UserError

NAMES = ("piano", "violin")
CROP = 400


def noise(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, shape).astype(np.float32)


def settings_of(semitones=0.0, **changes):
    """Settings with one number of semitones, or one for each source."""
    shifts = semitones if isinstance(semitones, tuple) else (semitones, semitones)
    timbre = {
        name: TimbreSettings(pitch_semitones=shift)
        for name, shift in zip((*NAMES, "other"), (*shifts, 0.0), strict=True)
    }
    # Without threads, nothing is read ahead that no test uses.
    plain = {"batch_size": 4, "aligned": 0.0, "timbre": timbre, "workers": 0}
    return DataSettings(**plain | changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("stems")


_NUMBERS = itertools.count()


def stem(folder, name, wave_CT):
    # Threads that read ahead may still have the file of an earlier test mapped.
    entry = folder / f"{name}-{next(_NUMBERS)}.npy"
    np.save(entry, wave_CT.astype(np.float16))
    return Stem(entry, wave_CT.shape[1], activity(wave_CT))


@pytest.fixture(scope="module")
def stems(folder):
    """Three tracks of different loudness, and one solo of each source."""
    tracks = [
        {
            name: stem(folder, f"{name}{i}", noise(1 + i % 2, 9000 + 9000 * i, seed=i))
            for name in NAMES
        }
        for i in range(3)
    ]
    solos = {name: [track[name] for track in tracks] for name in NAMES}
    for seed, name in enumerate(NAMES):
        solos[name].append(stem(folder, f"{name}-solo", noise(1, 5000, seed=9 + seed)))
    return Stems(solos, tracks)


def some(stems, config, count=3, crop=CROP, first_step=0, **options):
    options = {"seed": 1, **options}
    endless = pipeline.batches(
        stems, NAMES, config, crop=crop, first_step=first_step, **options
    )
    return np.stack(list(itertools.islice(endless, count)))


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_batch_depends_only_on_seed_and_step(stems, workers):
    config = settings_of(2.0, aligned=0.5, workers=workers)
    expected = some(stems, settings_of(2.0, aligned=0.5))
    assert expected.shape == (3, 4, 2, 1, CROP)
    assert expected.dtype == np.float32
    assert len({example.tobytes() for example in expected.reshape(12, -1)}) == 12
    np.testing.assert_array_equal(some(stems, config), expected)
    resumed = some(stems, config, first_step=2, count=1)
    np.testing.assert_array_equal(resumed, expected[2:])
    assert not np.array_equal(some(stems, config, seed=2), expected)


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_share_a_batch(stems, processes):
    config = settings_of(2.0, aligned=0.5)
    parts = [
        some(stems, config, first_step=1, process=p, processes=processes)
        for p in range(processes)
    ]
    whole = some(stems, config, first_step=1)
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
    with pytest.raises(ValueError, match="3 processes cannot share"):
        some(stems, config, processes=3)


@settings(max_examples=25, derandomize=True)
@given(
    crop=st.integers(2, 40000),
    channels=st.sampled_from([1, 2]),
    aligned=st.sampled_from([0.0, 1.0]),
    semitones=st.sampled_from([0.0, 0.01, 12.0]),
)
def test_any_length_is_cropped(stems, crop, channels, aligned, semitones):
    config = settings_of(semitones, channels=channels, aligned=aligned)
    (batch,) = some(stems, config, count=1, crop=crop)
    assert batch.shape == (4, 2, channels, crop)
    assert np.isfinite(batch).all()
    # Sound fills a crop, up to the length of the shortest recording at the highest speed.
    assert ((batch != 0).sum(-1) >= min(crop, 5000 / 2) - 20).all()


def test_recordings_shorter_than_a_crop_are_padded(folder):
    short = stem(folder, "short", np.ones((1, 100)))
    found = Stems({name: [short] for name in NAMES}, [])
    (batch,) = some(found, settings_of(batch_size=20), count=1)
    assert (batch.sum(-1) == 100).all()
    assert len(set(batch[:, 0, 0].argmax(-1))) > 3  # anywhere in the crop


@pytest.mark.parametrize("crop", [0, 1])
def test_crops_of_one_sample_are_refused(stems, crop):
    with pytest.raises(ValueError, match="2 samples"):
        some(stems, settings_of(), crop=crop)
    with pytest.raises(ValueError, match="2 samples"):
        pipeline.fixed_crops(stems, NAMES, settings_of(), count=1, crop=crop, seed=0)


def test_silence_is_not_drawn(folder):
    wave = np.zeros((1, 100 * ACTIVITY_BLOCK), np.float32)
    sounding = slice(40 * ACTIVITY_BLOCK, 50 * ACTIVITY_BLOCK)
    wave[:, sounding] = noise(1, 10 * ACTIVITY_BLOCK)
    mostly_silent = stem(folder, "gaps", wave)
    full = stem(folder, "full", np.ones((1, 30 * ACTIVITY_BLOCK)))
    silent = stem(folder, "silent", np.zeros((1, 10**6)))
    found = Stems({"piano": [silent, mostly_silent], "violin": [mostly_silent, full]}, [])
    (batch,) = some(found, settings_of(batch_size=200), count=1, crop=ACTIVITY_BLOCK)
    share_BS = (batch != 0).mean((2, 3))
    assert (share_BS > 0).all()
    assert share_BS[:, 0].mean() > 0.8
    # In proportion to the time it sounds: three quarters of the violin's 40 blocks.
    from_full = (batch[:, 1, 0] == 1.0).all(-1)
    assert 0.65 < from_full.mean() < 0.85
    # All moments are equally likely, hence the part with sound is covered evenly.
    first = np.argmax(batch[:, 0, 0] != 0, axis=-1)
    assert len(set(first[first > 0])) > 3


def ramps(folder, length=60000):
    """A track in which sample t is t / length, the violin's negative and later active."""
    wave = np.arange(1, length + 1)[None] / length
    piano = np.where(wave < 0.5, wave, 0.0)
    violin = np.where(wave > 0.7, -wave, 0.0)
    return {"piano": stem(folder, "up", piano), "violin": stem(folder, "down", violin)}


def test_aligned_stems_are_cropped_at_one_place(folder):
    length = 60000
    wave = 0.1 + 0.9 * np.arange(length)[None] / length
    track = {
        "piano": stem(folder, "p", wave),
        "violin": stem(folder, "v", -np.concatenate([wave, 0 * wave])[::-1]),
    }
    pairs = Stems({name: [track[name]] for name in NAMES}, [track])
    config = settings_of((5.0, 1.0), batch_size=64, aligned=1.0)
    (batch,) = some(pairs, config, count=1, crop=4000)
    piano, violin = batch[:, 0, 0], batch[:, 1, 0]
    # The violin has two channels, of which one is silent; the piano has one.
    audible = violin.any(-1)
    assert 0.3 < audible.mean() < 0.7
    np.testing.assert_allclose(piano[audible], -violin[audible], atol=2e-3)
    slope = np.diff(piano[:, 500:-500]).mean(-1) * length / 0.9  # the speed
    assert 1.02 < slope.max() < 1.08  # the smaller range, for both
    assert 0.92 < slope.min() < 0.98
    (apart,) = some(pairs, replace(config, aligned=0.0), count=1)
    assert np.abs(apart[:, 0] + apart[:, 1]).max() > 0.1
    (some_of_each,) = some(pairs, replace(config, aligned=0.5, channels=2), count=1)
    matches = np.abs(some_of_each[:, 0, 0] + some_of_each[:, 1, 1]).max(-1) < 5e-3
    assert 0.3 < matches.mean() < 0.7


def test_silence_of_all_stems_of_a_track_is_not_drawn(folder):
    track = ramps(folder)
    pairs = Stems({name: [track[name]] for name in NAMES}, [track])
    config = settings_of(batch_size=100, aligned=1.0)
    (batch,) = some(pairs, config, count=1)
    assert batch.any((1, 2, 3)).mean() > 0.95
    assert (~batch[:, 0].any((1, 2))).mean() > 0.2  # though one source may be silent
    assert (~batch[:, 1].any((1, 2))).mean() > 0.2


def test_a_missing_stem_is_silence(folder):
    track = ramps(folder) | {"violin": None}
    found = Stems({"piano": [track["piano"]], "violin": [track["piano"]]}, [track])
    config = settings_of(aligned=1.0, batch_size=50)
    (batch,) = some(found, config, count=1, crop=ACTIVITY_BLOCK)
    assert batch[:, 0].any((1, 2)).mean() > 0.9
    assert not batch[:, 1].any()


def test_short_solos_get_their_share(folder):
    def of(name, value):
        return stem(folder, f"{name}-{value}", np.full((1, 9000), value / 10))

    track = {name: of(name, 1) for name in NAMES}
    found = Stems({name: [of(name, 2), track[name]] for name in NAMES}, [track])

    def drawn(**shares):
        config = settings_of(batch_size=200, **shares)
        (batch,) = some(found, config, count=1)
        return np.round(10 * batch[:, :, 0, 200])  # 1: of the track, 2: alone

    both = drawn(solos=0.8) == 2
    np.testing.assert_allclose(both.all(1).mean(), 0.8 + 0.2 / 4, atol=0.08)
    kinds = drawn(solos=0.5, aligned=0.5)
    assert (kinds[:, 0] == kinds[:, 1]).all()
    without = Stems({name: [track[name]] for name in NAMES}, [track])
    (batch,) = some(without, settings_of(solos=1.0), count=1)
    assert batch.all()


def test_channels_are_chosen_doubled_or_paired(folder):
    def of(channels):
        wave = np.repeat(np.arange(1, channels + 1)[:, None] / 10, 3000, axis=1)
        only = stem(folder, f"{channels}-channels", wave)
        return Stems({name: [only] for name in NAMES}, [])

    def drawn(stems, channels):
        (batch,) = some(stems, settings_of(batch_size=64, channels=channels), count=1)
        return {tuple(np.round(10 * wave[:, 100])) for wave in batch[:, 0]}

    assert drawn(of(3), 1) == {(1,), (2,), (3,)}
    assert drawn(of(1), 2) == {(1, 1)}
    assert drawn(of(2), 2) == {(1, 2)}
    assert drawn(of(3), 2) == {(1, 2), (2, 3)}


def test_pitch_shifts_within_the_range_of_each_source(folder):
    rate, hz = 8000, 1000
    tone = np.sin(2 * np.pi * hz * np.arange(40000) / rate)[None] / 2
    only = stem(folder, "tone", tone)
    found = Stems({name: [only] for name in NAMES}, [])
    config = settings_of((4.0, 0.0), batch_size=64)
    (batch,) = some(found, config, count=1, crop=8000)
    pitch_BS = np.abs(np.fft.rfft(batch[:, :, 0] * np.hanning(8000))).argmax(-1)
    semitones = 12 * np.log2(pitch_BS / hz)
    np.testing.assert_allclose(semitones[:, 1], 0, atol=0.02)
    assert 3 < semitones[:, 0].max() < 4.05
    assert -4.05 < semitones[:, 0].min() < -3
    np.testing.assert_allclose(np.abs(batch[:, 0, 0, 3000:5000]).max(-1), 0.5, atol=0.02)


def test_fixed_crops_are_as_recorded(stems):
    loud = settings_of(12.0, aligned=1.0)
    crops = pipeline.fixed_crops(stems, NAMES, loud, count=3, crop=CROP, seed=0)
    again = pipeline.fixed_crops(stems, NAMES, settings_of(), count=3, crop=CROP, seed=0)
    np.testing.assert_array_equal(crops, again)
    recorded = np.concatenate([s.wave_CT.ravel() for s in stems.solos["piano"]])
    assert np.isin(crops[:, 0], recorded.astype(np.float32)).all()


def test_silent_sources_are_named(stems, folder):
    silent = stems.solos | {"violin": [stem(folder, "nothing", np.zeros((1, 5000)))]}
    with pytest.raises(UserError, match="all recordings of violin are silent"):
        some(stems._replace(solos=silent), settings_of())
