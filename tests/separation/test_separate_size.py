"""Recordings that are long or large: memory stays, and files beyond 4 GB work."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from small_model import save_small_model

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def save_noise(path, seconds, rate, channels, subtype):
    """A minute of noise (or less), again and again."""
    wave_TC = 0.1 * np.random.default_rng(0).standard_normal((rate, channels))
    kind = "RF64" if seconds * wave_TC.nbytes / 2 > 2**32 else "WAV"
    with soundfile.SoundFile(path, "w", rate, channels, subtype, format=kind) as file:
        for _ in range(seconds):
            file.write(wave_TC)


def peak_memory(folder, *args):
    """Of separate.py, in bytes."""
    words = [sys.executable, ROOT / "separate.py", "--model=small.safetensors"]
    variables = {"JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": str(folder / "jax")}
    process = subprocess.Popen([*words, *args], cwd=folder, env=os.environ | variables)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return 1024 * usage.ru_maxrss


def test_memory_does_not_depend_on_length(tmp_path):
    save_small_model(tmp_path / "small.safetensors")
    peaks = {}
    for minutes in (1, 3, 30):  # the first compiles
        save_noise(tmp_path / f"{minutes}.wav", 60 * minutes, 44100, 2, "PCM_16")
        peaks[minutes] = peak_memory(tmp_path, f"{minutes}.wav")
        assert soundfile.info(tmp_path / f"separated/{minutes}/piano.wav").frames == (
            60 * minutes * 44100
        )
    assert peaks[30] < 1.05 * peaks[3]


@pytest.mark.skipif(shutil.disk_usage("/tmp").free < 15e9, reason="no room on the disk")
def test_a_recording_of_more_than_4_gb_is_separated(tmp_path):
    """Eight channels at 192 kHz are this large within minutes."""
    save_small_model(tmp_path / "small.safetensors")
    save_noise(tmp_path / "large.wav", 710, 192_000, 8, "FLOAT")
    assert (tmp_path / "large.wav").stat().st_size > 2**32
    peak_memory(tmp_path, "--gains=piano=0", "large.wav")
    info = soundfile.info(tmp_path / "separated/large/remix.wav")
    assert (info.format, info.subtype) == ("RF64", "FLOAT")
    assert (info.samplerate, info.channels, info.frames) == (192_000, 8, 710 * 192_000)
    for start in (0, 500 * 192_000, info.frames - 20_000):
        before, after = (
            soundfile.read(tmp_path / name, 20_000, start, dtype="float32")[0]
            for name in ("large.wav", "separated/large/remix.wav")
        )
        np.testing.assert_array_equal(before, after)
    shutil.rmtree(tmp_path / "separated")
    (tmp_path / "large.wav").unlink()
