"""Runs that are killed, stopped or run out of disk are the same runs: real processes."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file

ROOT = Path(__file__).parent.parent
STEPS = 1500
STARTED: list[subprocess.Popen] = []
FLAGS = [
    "--arch=fnn",
    "--representation=waveform",
    "--config.model.sample_rate=8000",
    "--config.model.waveform.frame_length=64",
    "--config.model.waveform.hop_length=32",
    "--config.model.fnn.width=64",
    "--config.data.crop_seconds=0.2",
    "--config.data.batch_size=2",
    "--config.data.equaliser_db=0",
    "--config.data.band_limit=0",
    f"--config.train.steps={STEPS}",
    "--config.train.eval_every=100",
    "--config.train.eval_crops=2",
    "--config.train.eval_seconds=0.2",
    "--config.train.checkpoint_seconds=0.3",
]


def noise_stems(folder: Path) -> None:
    """FOLDER/data, to train on."""
    noise = np.random.default_rng(0)
    for split in ("train", "valid"):
        for source in ("piano", "violin"):
            path = folder / "data" / split / source / "a.wav"
            path.parent.mkdir(parents=True)
            soundfile.write(path, 0.1 * noise.standard_normal(16_000), 8000)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with stems, and the uninterrupted run."""
    folder = tmp_path_factory.mktemp("survival")
    noise_stems(folder)
    process = start(folder, "whole")
    _, messages = process.communicate(timeout=300)
    assert process.returncode == 0, messages
    return folder


# Runs a command whose files may not grow beyond a size.
LITTLE_ROOM = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def start(folder: Path, workdir: str, *wrapper, flags=(), **more) -> subprocess.Popen:
    """The command in a folder, with more flags and more variables."""
    variables = {
        "JAX_COMPILATION_CACHE_DIR": str(folder / "jax"),
        "JAX_PLATFORMS": "cpu",
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    process = subprocess.Popen(
        [sys.executable, *wrapper, ROOT / "train.py", "--data=data", *FLAGS]
        + [f"--workdir={workdir}", *flags],
        cwd=folder, env=os.environ | variables | more, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    STARTED.append(process)
    return process


@pytest.fixture(autouse=True)
def no_process_is_left():
    """What a test that fails leaves running, stopped ones included, would slow others."""
    yield
    while STARTED:
        STARTED.pop().kill()  # no harm to those that have ended


def log_of(workdir: Path) -> list[dict]:
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    log = [json.loads(line) for line in lines]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in log]


def state_of(workdir: Path) -> list[np.ndarray]:
    """The newest training state on disk."""
    import jax
    import orbax.checkpoint as ocp

    with ocp.CheckpointManager((workdir / "checkpoints").resolve()) as manager:
        args = ocp.args.Composite(state=ocp.args.StandardRestore())
        return jax.tree.leaves(manager.restore(manager.latest_step(), args=args).state)


def assert_the_same_run(folder: Path, workdir: str) -> None:
    assert log_of(folder / workdir) == log_of(folder / "whole")
    ours, theirs = (
        load_file(folder / name / "model.safetensors") for name in (workdir, "whole")
    )
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name])
    for ours, theirs in zip(
        state_of(folder / workdir), state_of(folder / "whole"), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def interrupt(process, workdir: Path, how, chance: random.Random, per_run: int) -> bool:
    """Interrupts after some more steps and a moment; says whether it was in time."""
    log = workdir / "metrics.jsonl"
    size = log.stat().st_size if log.exists() else 0
    more = chance.randint(1, 150 * per_run)  # bytes of a line
    while (
        process.poll() is None and (log.stat().st_size if log.exists() else 0) < size + more
    ):
        time.sleep(0.002)
    time.sleep(chance.uniform(0, 0.1))
    in_time = process.poll() is None
    process.send_signal(how)
    _, messages = process.communicate(timeout=60)
    assert "Traceback" not in messages
    if in_time and how == signal.SIGTERM:
        assert process.returncode == 0
    return in_time


@pytest.mark.parametrize(
    ("how", "times"),
    [
        (signal.SIGKILL, 3),
        (signal.SIGTERM, 2),
        pytest.param(signal.SIGKILL, 20, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 20, marks=pytest.mark.slow),
    ],
)
def test_a_run_that_is_interrupted_is_the_same_run(place, how, times):
    workdir, chance, interrupted = f"{how.name}-{times}", random.Random(times), 0
    while interrupted < times:
        process = start(place, workdir)
        if not interrupt(process, place / workdir, how, chance, STEPS // times // 2):
            break
        interrupted += 1
    assert interrupted == times
    process = start(place, workdir)
    _, messages = process.communicate(timeout=300)
    assert process.returncode == 0, messages
    assert_the_same_run(place, workdir)


def test_a_full_disk_ends_a_run_clearly_and_spoils_nothing(place):
    """Files may not grow beyond a size, which fails as a full disk does."""
    process = start(place, "full")
    interrupt(process, place / "full", signal.SIGTERM, random.Random(0), 100)
    process = start(place, "full", "-c", LITTLE_ROOM)
    _, messages = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Traceback" not in messages
    assert messages.splitlines()[-1].startswith("error: ")
    assert messages.count("error: ") == 1
    assert "(File too large)" in messages
    assert len(state_of(place / "full"))  # the newest can be read
    process = start(place, "full")
    _, messages = process.communicate(timeout=300)
    assert process.returncode == 0, messages
    assert_the_same_run(place, "full")


# Runs a command that gets no more address space than this.
LITTLE_MEMORY = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (5_000_000_000, 5_000_000_000))
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def test_too_little_memory_is_told_with_the_settings_to_lower(place):
    large = ["--config.data.batch_size=1024", "--config.data.crop_seconds=8"]
    process = start(place, "large", "-c", LITTLE_MEMORY, flags=large)
    _, messages = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Traceback" not in messages
    assert "error: not enough memory to train; raise" in messages


def test_a_workdir_in_use_is_left_alone(place):
    first = start(place, "shared")
    deadline = time.monotonic() + 60
    while not (place / "shared" / "metrics.jsonl").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    first.send_signal(signal.SIGSTOP)
    second = start(place, "shared")
    _, messages = second.communicate(timeout=60)
    first.send_signal(signal.SIGCONT)
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=60)
    assert second.returncode == 1
    assert messages.splitlines()[-1].endswith(
        "shared: another process is training there; wait for it, or use another"
    )
