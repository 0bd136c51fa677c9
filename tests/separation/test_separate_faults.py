"""separate.py on corrupt recordings, full disks, signals and kills.

In all cases files with their final names are complete and have the right length, and one
recording does not stop the others.
"""

import contextlib
import os
import random
import resource
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sounds import noise, save

from sep.cli.reporting import TextReporter
from sep.separation.manifest import NAME

RATE = 16000  # the small model's


@pytest.fixture(scope="module")
def whole(place):
    """Separates the recordings of `in` without a fault, into `whole`."""
    for number in range(4):
        wave_TC = noise(60_000 + 5000 * number, 2)
        save(place.folder / "in" / f"{number}.flac", wave_TC, 22050)
    assert place.run("--out=whole", "in").returncode == 0
    return place.folder / "whole"


def paths_in(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def hidden(folder):
    return [path for path in paths_in(folder) if path.name.startswith(".")]


def assert_complete(out, whole):
    """All files that have their final names are as they are without a fault."""
    for path in set(paths_in(out)) - set(hidden(out)):
        if path.name != NAME:
            assert path.read_bytes() == (whole / path.relative_to(out)).read_bytes(), path


def assert_same_files(out, whole):
    found = [path.relative_to(out) for path in paths_in(out)]
    assert found == [path.relative_to(whole) for path in paths_in(whole)]


def halve(path):
    os.truncate(path, path.stat().st_size // 2)


def with_sample(value):
    def make(path):
        wave_TC = noise(9000, 2)
        wave_TC[4321, 1] = value
        save(path, wave_TC, RATE, subtype="FLOAT")

    return make


def truncated(path):
    save(path, noise(60_000), RATE)
    halve(path)


# Name: (function that makes the file, part of the error message).
BAD = {
    "cut.wav": (truncated, "is cut short: it ends at 1.87"),
    "cut.flac": (truncated, "cannot be read as sound beyond "),
    "cut.ogg": (truncated, "is cut short: it ends at "),
    "cut.mp3": (truncated, "is cut short: it ends at "),
    "cut.aiff": (truncated, "is cut short: it ends at 1.87"),
    "nan.wav": (with_sample(np.nan), "not finite numbers, first at 0.270 s (sample 4321)"),
    "infinite.wav": (
        with_sample(-np.inf),
        "not finite numbers, first at 0.270 s (sample 4321)",
    ),
    "none.wav": (lambda path: save(path, noise(0), RATE), "has no samples"),
    "10 Hz.wav": (lambda path: save(path, noise(100), 10), "sample rate of 10 Hz"),
    "32 channels.wav": (lambda path: save(path, noise(100, 32), RATE), "has 32 channels"),
    "empty.wav": (Path.touch, "is empty (0 bytes)"),
    "text.wav": (lambda path: path.write_text("la " * 999), "cannot be read as sound"),
    "new\nline.wav": (Path.touch, "new\\nline.wav: is empty"),
}
# Name: (samples, sample rate).
GOOD = {
    "silence.wav": (np.zeros((20_000, 2)), RATE),
    "one sample.wav": (noise(1), RATE),
    "loud.wav": (1e3 * noise(9000, 2), RATE),
    'it\'s "good" 🎻.wav': (noise(9000), 8000),
    os.fsdecode(b"caf\xe9.wav"): (noise(9000, 8), 192_000),
}


def test_corrupt_recordings_are_named_and_the_others_separated(place):
    folder = place.folder / "mixed"
    for name, (wave_TC, rate) in GOOD.items():
        save(folder / name, wave_TC, rate, subtype="FLOAT")
    for name, (make, _) in BAD.items():
        make(folder / name)
    (folder / "round").symlink_to(folder, target_is_directory=True)
    done = place.run("--out=mixed-out", "mixed")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    errors = [line for line in lines if line.startswith("error: mixed/")]
    assert len(errors) == len(BAD)
    for name, (_, reason) in BAD.items():
        name = name.replace("\n", "\\n")
        (line,) = (line for line in errors if f"mixed/{name}: " in line)
        assert reason in line
    assert f"{len(BAD)} of {len(BAD) + len(GOOD)} recordings could not" in done.stderr
    made = {path.name for path in (place.folder / "mixed-out").iterdir()}
    assert made == {Path(name).stem for name in GOOD}
    assert not hidden(place.folder / "mixed-out")
    for name, (wave_TC, rate) in GOOD.items():
        stems = []
        for stem in ("piano", "violin"):
            path = place.folder / "mixed-out" / Path(name).stem / f"{stem}.wav"
            stem_TC, its_rate = soundfile.read(os.fsencode(path), always_2d=True)
            assert (its_rate, stem_TC.shape) == (rate, wave_TC.shape)
            stems.append(stem_TC)
        limit = 1e-6 * max(1, np.abs(wave_TC).max())
        assert np.abs(sum(stems) - wave_TC).max() <= limit
        assert np.abs(stems).max() > 0 or not wave_TC.any()


def start_until_files_appear(place, *args):
    """Starts separate.py as a process; returns it once it writes to --out."""
    process = place.start("--out=begun", *args)
    while not hidden(place.folder / "begun"):
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    return process


def test_after_kill_9_files_are_complete_and_the_run_can_be_resumed(place, whole):
    process = start_until_files_appear(place, "--jobs=2", "in")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    out = place.folder / "begun"
    assert_complete(out, whole)
    resume = "--out=begun", "--skip_existing", "in"
    assert place.run(*resume).returncode == 0
    assert_complete(out, whole)
    assert_same_files(out, whole)
    assert place.run(*resume).stdout.count("skipped, its outputs in ") == 4


@pytest.mark.slow
def test_kill_9_at_random_moments(place):
    """Kills runs over files of earlier runs, at any moment from start to end."""
    for number in range(6):
        wave_TC = noise(150_000 + 9000 * number, 2)
        save(place.folder / "long" / f"{number}.flac", wave_TC, 22050)
    assert place.run("--out=long-whole", "long").returncode == 0
    whole, out = place.folder / "long-whole", place.folder / "killed"
    flags = ["--out=killed", "--skip_existing", "--jobs=2", "long"]
    begin = time.monotonic()
    assert place.run_process("--out=timed", "--jobs=2", "long").returncode == 0
    took, chance, killed = time.monotonic() - begin, random.Random(10), 0
    for _ in range(10):
        for manifest in out.rglob(NAME):
            manifest.unlink()  # nothing is skipped; the files stay and are replaced
        process = place.start(*flags)
        time.sleep(chance.uniform(0.3 * took, took))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        killed += process.returncode == -signal.SIGKILL
        assert_complete(out, whole)
    assert killed  # not all runs had ended before
    assert place.run(*flags).returncode == 0
    assert_complete(out, whole)
    assert_same_files(out, whole)


STATUS = {signal.SIGTERM: 143, signal.SIGINT: 130}


@pytest.mark.parametrize("number", STATUS)
def test_a_signal_ends_the_work_without_partial_files(place, whole, monkeypatch, number):
    out, due = place.folder / f"signal{number.value}", [number]

    def progress(*_):
        if due and hidden(out):
            os.kill(os.getpid(), due.pop())

    monkeypatch.setattr(TextReporter, "progress", progress)
    assert place.run(f"--out={out.name}", "in").returncode == STATUS[number]
    assert not due and not hidden(out)
    assert_complete(out, whole)


@pytest.mark.slow
@pytest.mark.parametrize("number", STATUS)
def test_a_signal_ends_a_process_without_partial_files(place, whole, number):
    process = start_until_files_appear(place, "in")
    process.send_signal(number)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == STATUS[number]
    assert "Traceback" not in messages
    assert not hidden(place.folder / "begun")
    assert_complete(place.folder / "begun", whole)


@contextlib.contextmanager
def largest_file(size):
    """Limits the size of files that this process writes; beyond it, writing fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("subtype", ["FLOAT", "PCM_16"])
def test_a_full_disk_is_reported_and_no_file_is_left(place, whole, subtype):
    """The limit stands for a full disk; PCM_16 fails in the temporary file already."""
    flags = f"--subtype={subtype}", "--quiet", f"--out=full{subtype}"
    with largest_file(200_000):
        done = place.run(*flags, "in/0.flac")
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert line.startswith(f"error: full{subtype}/0: cannot be written (")
    assert not paths_in(place.folder / f"full{subtype}")


def test_a_folder_without_write_permission_is_reported(place, whole):
    out = Path("/proc/none")
    if os.geteuid():  # root may write to folders of any mode
        out = place.folder / "locked"
        out.mkdir(mode=0o555)
    done = place.run("--quiet", f"--out={out}", "in/0.flac")
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert line.startswith(f"error: {out}/0: cannot be written (")


@pytest.mark.slow
def test_a_recording_that_another_process_truncates_is_refused(place):
    path = save(place.folder / "shrinking.wav", noise(3_000_000, 2), RATE)
    process = start_until_files_appear(place, "--quiet", "shrinking.wav")
    halve(path)
    _, messages = process.communicate(timeout=60)
    (line,) = messages.splitlines()
    assert process.returncode == 1
    assert "error: shrinking.wav: " in line and "Traceback" not in line
    assert not (place.folder / "begun" / "shrinking").exists()


@pytest.mark.slow
def test_one_corrupt_file_of_300_does_not_stop_the_others(place):
    for number in range(300):
        save(place.folder / "300" / f"{number:03}.wav", noise(500 + number), RATE)
    halve(place.folder / "300" / "123.wav")
    done = place.run_process("--out=300-out", "--jobs=2", "300")
    assert done.returncode == 1
    assert "300 recordings: 299 separated, 0 skipped, 1 failed" in done.stdout
    assert "300/123.wav: is cut short" in done.stderr
    for number in set(range(300)) - {123}:
        info = soundfile.info(place.folder / "300-out" / f"{number:03}" / "violin.wav")
        assert info.frames == 500 + number
    assert len(list((place.folder / "300-out").iterdir())) == 299
