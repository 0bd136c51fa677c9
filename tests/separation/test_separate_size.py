"""separate.py on long and large recordings: memory, and files above 4 GB."""

import os
import shutil

import numpy as np
import pytest
import soundfile
from sounds import noise

from sep import audio
from sep.separation.outputs import Output
from sep.separation.recordings import Task
from sep.separation.sinks import SoundFiles

pytestmark = pytest.mark.slow


def save_noise(path, seconds, rate, channels, subtype):
    """Writes a second of noise, repeated."""
    wave_TC = 0.5 * noise(rate, channels)
    with soundfile.SoundFile(path, "w", rate, channels, subtype) as file:
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
    for seconds in (1, 100, 600):  # the first compiles
        save_noise(place.folder / f"{seconds}.wav", seconds, 44100, 2, "PCM_16")
        peaks[seconds] = peak_memory(place, f"{seconds}.wav")
        info = soundfile.info(place.folder / f"separated/{seconds}/piano.wav")
        assert info.frames == seconds * 44100
    # A byte per sample of the longer one would be 44 MB more.
    assert peaks[600] < 1.05 * peaks[100]


RATE, CHANNELS = 1_000_000, 8  # 4 GB of 32-bit samples are 134.2 s
needs_disk = pytest.mark.skipif(
    shutil.disk_usage("/tmp").free < 15e9, reason="no room on the disk"
)


@needs_disk
def test_a_part_beyond_4_gb_is_separated(place):
    """The part contains the boundary. All before it is silence."""
    recording = place.folder / "large.wav"
    silence_TC = np.zeros((RATE, CHANNELS), np.float32)
    wave_TC = noise(2 * RATE, CHANNELS).astype(np.float32)
    with soundfile.SoundFile(
        recording, "w", RATE, CHANNELS, "FLOAT", format="RF64"
    ) as file:
        for _ in range(133):
            file.write(silence_TC)
        file.write(wave_TC)
    assert recording.stat().st_size > 2**32
    done = place.run("--start=133.5", "--duration=1", "--gains=piano=0", "large.wav")
    assert done.returncode == 0, done.stderr
    remix_TC, rate = soundfile.read(
        place.folder / "separated/large/remix.wav", dtype="float32"
    )
    assert rate == RATE
    np.testing.assert_array_equal(remix_TC, wave_TC[RATE // 2 : RATE // 2 + RATE])
    recording.unlink()


@needs_disk
def test_outputs_above_4_gb_are_written(tmp_path):
    """Writes every second of the output with other samples, without a network."""
    seconds = 138
    header = audio.Header(audio.Format(RATE, CHANNELS), 0, 0, audio.About())
    sink = SoundFiles([Output("piano", (1.0,))], "wav", "FLOAT")
    writer = sink.prepare(Task(tmp_path / "x.wav", tmp_path), header)
    wave_1CT = noise(RATE, CHANNELS).astype(np.float32).T[None]
    with writer.open(seconds * RATE, header.about):
        for second in range(seconds):
            writer.write(wave_1CT / np.float32(1 + second))
    (path,) = writer.finish()
    assert path.stat().st_size > 2**32
    info = soundfile.info(path)
    assert (info.format, info.subtype) == ("RF64", "FLOAT")
    assert (info.samplerate, info.channels) == (RATE, CHANNELS)
    assert info.frames == seconds * RATE
    for second in (0, 100, seconds - 1):
        found_TC, _ = soundfile.read(path, RATE, second * RATE, dtype="float32")
        np.testing.assert_array_equal(found_TC.T, wave_1CT[0] / np.float32(1 + second))
    path.unlink()
