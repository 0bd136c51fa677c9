"""What must never happen: half a file under its name, a wrong length, a batch that ends.

Real processes, and what really goes wrong.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from small_model import save_small_model

from sep.separation.manifest import NAME

ROOT = Path(__file__).parents[2]
RATE = 16000


def noise(length, channels=1):
    return 0.1 * np.random.default_rng(length).standard_normal((length, channels))


def save(path, wave_TC, rate=RATE, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(os.fsencode(path), wave_TC, rate, **options)
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a model and six recordings, `start`, and the stems they should give."""
    folder = tmp_path_factory.mktemp("faults")
    save_small_model(folder / "small.safetensors")
    for number in range(6):
        save(folder / "in" / f"{number}.flac", noise(150_000 + 9000 * number, 2), 22050)
    variables = {
        "JAX_COMPILATION_CACHE_DIR": str(folder / "jax"),
        "JAX_PLATFORMS": "cpu",
        "PYTHONIOENCODING": "utf-8:strict",
    }

    def start(*args, wrapper=()):
        script = [ROOT / "separate.py", "--model=small.safetensors"]
        return subprocess.Popen(
            [sys.executable, *wrapper, *script, *args], cwd=folder, encoding="utf-8",
            env=os.environ | variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(*args, wrapper=()):
        process = start(*args, wrapper=wrapper)
        output, messages = process.communicate(timeout=300)
        assert "Traceback" not in messages
        return SimpleNamespace(code=process.returncode, out=output, err=messages)

    assert run("--out=whole", "in").code == 0
    return SimpleNamespace(folder=folder, start=start, run=run)


def files_in(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def hidden(folder):
    return [path for path in files_in(folder) if path.name.startswith(".")]


def assert_whole(place, out):
    """Every file that has its name is as it is without a fault."""
    for path in set(files_in(place.folder / out)) - set(hidden(place.folder / out)):
        expected = place.folder / "whole" / path.relative_to(place.folder / out)
        if path.name != NAME:
            assert path.read_bytes() == expected.read_bytes(), path


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


def spoilt(value):
    def make(path):
        wave_TC = noise(9000, 2)
        wave_TC[4321, 1] = value
        save(path, wave_TC, subtype="FLOAT")

    return make


def halved(path):
    save(path, noise(60_000))
    cut(path)


# What is made, and what is said of it.
BAD = {
    "cut.wav": (halved, "is cut short: it ends at 1.87"),
    "cut.flac": (halved, "cannot be read as sound beyond "),
    "cut.ogg": (halved, "is cut short: it ends at "),
    "cut.mp3": (halved, "is cut short: it ends at "),
    "cut.aiff": (halved, "is cut short: it ends at 1.87"),
    "nan.wav": (spoilt(np.nan), "not finite numbers, first at 0.270 s (sample 4321)"),
    "infinite.wav": (spoilt(-np.inf), "not finite numbers, first at 0.270 s (sample 4321)"),
    "none.wav": (lambda path: save(path, noise(0)), "has no samples"),
    "10 Hz.wav": (lambda path: save(path, noise(100), 10), "sample rate of 10 Hz"),
    "32 channels.wav": (lambda path: save(path, noise(100, 32)), "has 32 channels"),
    "empty.wav": (Path.touch, "is empty (0 bytes)"),
    "text.wav": (lambda path: path.write_text("la " * 999), "cannot be read as sound"),
    "new\nline.wav": (Path.touch, "new\\nline.wav: is empty"),
}
GOOD = {
    "silence.wav": (np.zeros((20_000, 2)), RATE),
    "one sample.wav": (noise(1), RATE),
    "loud.wav": (1e4 * noise(9000, 2), RATE),
    'it\'s "good" 🎻.wav': (noise(9000), 8000),
    os.fsdecode(b"caf\xe9.wav"): (noise(9000, 8), 192_000),
}


def test_the_bad_are_named_and_the_good_are_done(place):
    folder = place.folder / "mixed"
    for name, (wave_TC, rate) in GOOD.items():
        save(folder / name, wave_TC, rate, subtype="FLOAT")
    for name, (make, _) in BAD.items():
        make(folder / name)
    (folder / "round").symlink_to(folder, target_is_directory=True)
    done = place.run("--out=mixed-out", "mixed")
    assert done.code == 1
    complaints = [
        line for line in done.err.splitlines() if line.startswith("error: mixed/")
    ]
    assert len(complaints) == len(BAD)
    for name, (_, reason) in BAD.items():
        name = name.replace("\n", "\\n")
        (line,) = (line for line in complaints if f"mixed/{name}: " in line)
        assert reason in line
    assert f"{len(BAD)} of {len(BAD) + len(GOOD)} recordings could not" in done.err
    made = {path.name for path in (place.folder / "mixed-out").iterdir()}
    assert made == {Path(name).stem for name in GOOD}
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
    assert not hidden(place.folder / "mixed-out")


@pytest.mark.parametrize("times", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_kill_9_at_any_moment_leaves_whole_files_and_work_to_go_on_with(place, times):
    chance, out = random.Random(times), f"killed{times}"
    flags = [f"--out={out}", "--skip_existing", "--jobs=2", "in"]
    begin = time.monotonic()
    assert place.run("--out=timed", "--jobs=2", "in").code == 0
    took, within = time.monotonic() - begin, 0
    for _ in range(times):
        for manifest in (place.folder / out).rglob(NAME):
            manifest.unlink()  # all is to do again, over files that are there
        process = place.start(*flags)
        time.sleep(chance.uniform(0.3 * took, took))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        within += process.returncode == -signal.SIGKILL
        assert_whole(place, out)
    assert within  # not all of them too late
    assert place.run(*flags).code == 0
    assert_whole(place, out)
    found = [path.relative_to(place.folder / out) for path in files_in(place.folder / out)]
    whole = place.folder / "whole"
    assert found == [path.relative_to(whole) for path in files_in(whole)]
    assert place.run(*flags).out.count("finished already") == 6


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_who_is_stopped_tidies_up(place, how):
    out = place.folder / f"stopped{how.value}"
    process = place.start(f"--out={out}", "in")
    while not hidden(out):
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(how)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == {signal.SIGTERM: 143, signal.SIGINT: 130}[how]
    assert "Traceback" not in messages
    assert not hidden(out)
    assert_whole(place, out.name)


# Runs a command whose files may not grow beyond a size.
LITTLE_ROOM = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@pytest.mark.parametrize("subtype", ["FLOAT", "PCM_16"])
def test_a_full_disk_is_told_and_leaves_nothing(place, subtype):
    """Files may not grow beyond a size, which fails as a full disk does."""
    flags = (f"--subtype={subtype}", "--quiet", f"--out=full{subtype}", "in/0.flac")
    done = place.run(*flags, wrapper=("-c", LITTLE_ROOM))
    (line,) = done.err.splitlines()
    assert done.code == 1
    assert line.startswith(f"error: full{subtype}/0: cannot be written (")
    assert not files_in(place.folder / f"full{subtype}")


def test_a_folder_that_cannot_be_written_is_told(place):
    out = Path("/proc/none")
    if os.geteuid():  # root may write where nobody may
        out = place.folder / "locked"
        out.mkdir(mode=0o555)
    done = place.run("--quiet", f"--out={out}", "in/0.flac")
    (line,) = done.err.splitlines()
    assert done.code == 1
    assert line.startswith(f"error: {out}/0: cannot be written (")


def test_a_file_that_shrinks_while_it_is_read_is_refused(place):
    path = save(place.folder / "shrinking.wav", noise(3_000_000, 2))
    process = place.start("--quiet", "--out=shrunk", "shrinking.wav")
    while not hidden(place.folder / "shrunk"):
        assert process.poll() is None
        time.sleep(0.002)
    cut(path)
    _, messages = process.communicate(timeout=60)
    (line,) = messages.splitlines()
    assert process.returncode == 1
    assert "error: shrinking.wav: " in line and "Traceback" not in line
    assert not files_in(place.folder / "shrunk")


@pytest.mark.slow
def test_one_bad_file_of_300_stops_nobody(place):
    for number in range(300):
        save(place.folder / "300" / f"{number:03}.wav", noise(500 + number))
    cut(place.folder / "300" / "123.wav")
    done = place.run("--out=300-out", "--jobs=2", "300")
    assert done.code == 1
    assert "300 recordings: 299 separated, 0 skipped, 1 failed" in done.out
    assert "300/123.wav: is cut short" in done.err
    for number in set(range(300)) - {123}:
        info = soundfile.info(place.folder / "300-out" / f"{number:03}" / "violin.wav")
        assert info.frames == 500 + number
    assert len(list((place.folder / "300-out").iterdir())) == 299
