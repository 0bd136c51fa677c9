"""Runs that are killed, stopped or run out of disk are the same runs: real processes."""

import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from training_runs import STEPS, interrupt, log_of, noise_stems, start


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
