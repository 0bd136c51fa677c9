"""separate.py on long and large recordings: memory, and files above 4 GB."""

import os
import shutil

import numpy as np
import pytest
import soundfile
from sounds import noise

pytestmark = pytest.mark.slow


def save_noise(path, seconds, rate, channels, subtype):
    """Writes a second of noise, repeated."""
    wave_TC = 0.5 * noise(rate, channels)
    kind = "RF64" if seconds * wave_TC.nbytes / 2 > 2**32 else "WAV"
    with soundfile.SoundFile(path, "w", rate, channels, subtype, format=kind) as file:
        for _ in range(seconds):
            file.write(wave_TC)


def peak_memory(place, *args):
    """Peak memory of separate.py in bytes."""
    with place.start("--quiet", *args) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return 1024 * usage.ru_maxrss


def test_memory_does_not_depend_on_length(place):
    peaks = {}
    for minutes in (1, 3, 30):  # the first compiles
        save_noise(place.folder / f"{minutes}.wav", 60 * minutes, 44100, 2, "PCM_16")
        peaks[minutes] = peak_memory(place, f"{minutes}.wav")
        info = soundfile.info(place.folder / f"separated/{minutes}/piano.wav")
        assert info.frames == 60 * minutes * 44100
    assert peaks[30] < 1.05 * peaks[3]


@pytest.mark.skipif(shutil.disk_usage("/tmp").free < 15e9, reason="no room on the disk")
def test_a_recording_of_more_than_4_gb_is_separated(place):
    """Eight channels at 192 kHz exceed 4 GB after less than 12 minutes."""
    recording = place.folder / "large.wav"
    save_noise(recording, 710, 192_000, 8, "FLOAT")
    assert recording.stat().st_size > 2**32
    peak_memory(place, "--gains=piano=0", "large.wav")
    remix = place.folder / "separated/large/remix.wav"
    info = soundfile.info(remix)
    assert (info.format, info.subtype) == ("RF64", "FLOAT")
    assert (info.samplerate, info.channels, info.frames) == (192_000, 8, 710 * 192_000)
    for start in (0, 500 * 192_000, info.frames - 20_000):
        before, after = (
            soundfile.read(path, 20_000, start, dtype="float32")[0]
            for path in (recording, remix)
        )
        np.testing.assert_array_equal(before, after)
    remix.unlink()
    recording.unlink()
