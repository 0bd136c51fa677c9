"""Impulse responses: reading, simulation, and folders of simulated rooms."""

import hashlib
import json
import re
import subprocess
import sys

import hypothesis.strategies as st
import numpy as np
import pytest
import soundfile
from commands import run_command
from hypothesis import given, settings

from sep.data import rooms
from sep.data.material import read_material
from sep.data.settings import DataSettings
from sep.errors import UserError
from sep.runtime import processes

RATE = 16000


def response(delay, rt60, rate=RATE, seconds=1.0, gain=0.4, seed=0):
    """Direct sound at `delay` seconds, then noise that decays by 60 dB in `rt60`."""
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).standard_normal(len(time)).clip(-2, 2)
    tail = 0.1 * noise * 10 ** (-3 * (time - delay) / rt60) * (time > delay)
    tail[round(delay * rate)] = -1.0
    return gain * tail


def test_files_of_any_rate_channels_and_depth_are_read(tmp_path):
    (tmp_path / "halls").mkdir()
    mono, wide = response(0.05, 0.5), response(0.02, 0.8, rate=48000)
    soundfile.write(tmp_path / "a.wav", mono, RATE, "FLOAT")
    soundfile.write(tmp_path / "halls/b.flac", np.stack([wide, 0 * wide], 1), 48000)
    rooms_RL = rooms.load(tmp_path, RATE, 0.7)
    assert rooms_RL.shape == (2, 11200) and rooms_RL.dtype == np.float32
    assert (rooms_RL[:, 0] == 1).all() and np.isfinite(rooms_RL).all()
    expected = -mono[800 : 800 + 9000] / 0.4
    np.testing.assert_allclose(rooms_RL[0, :9000], expected, atol=1e-6)
    assert np.abs(rooms_RL[:, -8:]).max() < 1e-6  # faded out


def test_without_a_folder_there_are_no_rooms(tmp_path):
    assert rooms.load(tmp_path / "none", RATE, 0.5).shape == (0, 8000)
    assert rooms.load(tmp_path, RATE, 0.5).shape == (0, 8000)


def test_with_0_seconds_there_are_no_rooms(tmp_path):
    soundfile.write(tmp_path / "a.wav", response(0.01, 0.3), RATE)
    assert rooms.load(tmp_path, RATE, 0.0).shape == (0, 0)


def test_short_responses_are_padded():
    prepared = rooms.prepare(response(0.01, 0.2, seconds=0.3), RATE, RATE)
    assert prepared.shape == (RATE,) and not prepared[round(0.29 * RATE) :].any()


def test_the_direct_sound_may_be_softer_than_an_echo():
    wave = np.zeros(1000)
    wave[100], wave[400] = 0.5, -1.0
    prepared = rooms.prepare(wave, RATE, 1000)
    assert prepared[0] == 1 and prepared[300] == -2


@settings(max_examples=50)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 9999))
def test_any_length_starts_with_gain_one(size, length, seed):
    wave = np.random.default_rng(seed).standard_normal(size)
    prepared = rooms.prepare(wave, RATE, length)
    assert prepared.shape == (length,)
    assert prepared[0] == 1 and np.isfinite(prepared).all()


def test_settings_that_the_material_does_not_fit_are_reported(tmp_path, capsys):
    data = DataSettings(cache=str(tmp_path / "cache"), room=0.5, solos=0.3)
    arguments = tmp_path, ("piano", "violin"), RATE, data
    for source in ("piano", "violin"):
        for place in (f"train/{source}/a", f"train/song/{source}", f"valid/song/{source}"):
            path = tmp_path / f"{place}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, response(0.01, 0.3), RATE)
    with pytest.raises(UserError, match="rooms: no impulse responses, but config"):
        read_material(*arguments)
    (tmp_path / "rooms").mkdir()
    soundfile.write(tmp_path / "rooms" / "a.wav", response(0.01, 0.3), RATE)
    assert len(read_material(*arguments).rooms_RL) == 1
    assert capsys.readouterr().err == ""
    (tmp_path / "train/violin/a.wav").unlink()
    read_material(*arguments)
    assert "config.data.solos has no effect" in capsys.readouterr().err


def nothing(path):
    path.write_bytes(b"")


def text(path):
    path.write_text("no sound")


def silence(path):
    soundfile.write(path, np.zeros(100), RATE)


def not_numbers(path):
    soundfile.write(path, np.full(100, np.nan), RATE, "FLOAT")


@pytest.mark.parametrize("make", [nothing, text, silence, not_numbers])
def test_a_corrupt_file_is_named(tmp_path, make):
    soundfile.write(tmp_path / "good.wav", response(0, 0.3), RATE)
    make(tmp_path / "corrupt.wav")
    with pytest.raises(UserError, match=re.escape(str(tmp_path / "corrupt.wav"))) as error:
        rooms.load(tmp_path, RATE, 0.5)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("rt60", [0.3, 0.7, 1.5])
def test_reverberation_times(rt60):
    wave = response(0, rt60, seconds=2 * rt60)[1:]
    assert abs(rooms.reverberation_time(wave, RATE) - rt60) < 0.1 * rt60


@settings(max_examples=100)
@given(st.integers(0, 10**6))
def test_players_and_microphones_stay_inside(seed):
    rng = np.random.default_rng(seed)
    size = rooms.draw_size(rng)
    assert 10 < size.prod() < 13000 and size.min() >= 2.2
    absorption = rooms.draw_absorption(rng, size)
    assert absorption.min() >= 0.02 and absorption.max() <= 0.9
    for place in rooms.draw_places(rng, size):
        assert (place >= 0.3).all() and (place <= size - 0.3).all()


@pytest.mark.slow  # imports and traces for seconds
def test_simulated_rooms_differ_widely_and_are_reproducible():
    pytest.importorskip("pyroomacoustics")
    waves = [rooms.simulate(np.random.default_rng([0, n]), 8000) for n in (2, 3)]
    times = sorted(rooms.reverberation_time(wave, 8000) for wave in waves)
    assert times[0] < 0.4 and 1.2 < times[1] < 3.5
    again = rooms.simulate(np.random.default_rng([0, 2]), 8000)
    np.testing.assert_array_equal(again, waves[0])
    for wave in waves:
        assert wave.dtype == np.float32 and np.abs(wave).max() == 1
        assert rooms.prepare(wave, 8000, 8000)[0] == 1


def arguments(folder, *more):
    return [f"--out={folder}/r", "--sample_rate=8000", "--jobs=1", *more]


@pytest.mark.slow  # two processes
def test_the_command_simulates_and_lists_rooms(tmp_path):
    pytest.importorskip("pyroomacoustics")
    command = [sys.executable, "-m", "sep.data", "rooms", *arguments(tmp_path)]
    done = subprocess.run(
        [*command, "--count=1"], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"1 rooms in {tmp_path}/r, RT60 ")
    made = (tmp_path / "r/000.flac").read_bytes()
    manifest = json.loads((tmp_path / "r/manifest.json").read_text())
    (room,) = manifest.pop("rooms")
    assert manifest == {"seed": 0, "sample_rate": 8000, "count": 1}
    assert room["sha256"] == hashlib.sha256(made).hexdigest()
    wave = rooms.simulate(np.random.default_rng([0, 0]), 8000)
    assert room["rt60"] == pytest.approx(rooms.reverberation_time(wave, 8000), abs=0.02)
    assert rooms.load(tmp_path / "r", 8000, 0.5).shape == (1, 4000)


@pytest.fixture
def simulate(tmp_path, monkeypatch):
    """Runs the command in this process, with noise that decays in place of rooms."""

    def decaying_noise(rng, rate):
        return response(0, 0.2, rate, 0.3, gain=1.0, seed=rng.integers(9999))

    def results(function, calls, jobs, **_):
        return [function(*call) for call in calls]

    monkeypatch.setattr(rooms, "simulate", decaying_noise)
    monkeypatch.setattr(processes, "results", results)
    return lambda *more: run_command(
        "data_rooms", *arguments(tmp_path, *more), folder=tmp_path
    )


def test_a_set_of_rooms_is_continued(tmp_path, simulate):
    assert simulate("--count=1", "--seed=1", f"--out={tmp_path}/other").returncode == 0
    done = simulate("--count=2")
    assert done.returncode == 0, done.stderr
    files = [tmp_path / name for name in ("other/000.flac", "r/000.flac", "r/001.flac")]
    assert len({path.read_bytes() for path in files}) == 3
    made = (tmp_path / "r/000.flac").read_bytes()
    manifest = json.loads((tmp_path / "r/manifest.json").read_text())
    (tmp_path / "r/000.flac").unlink()
    kept = (tmp_path / "r/001.flac").stat().st_mtime_ns
    assert simulate("--count=1").returncode == 0
    assert (tmp_path / "r/000.flac").read_bytes() == made
    assert (tmp_path / "r/001.flac").stat().st_mtime_ns == kept
    assert json.loads((tmp_path / "r/manifest.json").read_text()) == manifest


def test_folders_of_other_rooms_are_refused(tmp_path, simulate):
    assert simulate("--count=2").returncode == 0
    manifest = tmp_path / "r" / "manifest.json"
    text = manifest.read_text()
    for change, message in (
        (text.replace('"seed": 0', '"seed": 1'), "rooms of another seed or sample rate"),
        ("[3]", "is not the manifest of a set of rooms"),
        (None, "contains files that are not of a set of rooms"),
    ):
        manifest.unlink()
        if change:
            manifest.write_text(change)
        done = simulate("--count=2")
        assert done.returncode == 1 and message in done.stderr
        assert len(done.stderr.splitlines()) == 1
