"""Runs that are killed, stopped or out of disk resume as the same run: real processes."""

import random
import signal
import time
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from safetensors.numpy import load_file
from training_runs import (
    call,
    interrupt,
    log_of,
    noise_stems,
    start,
    train_here,
    wait_for_steps,
)

from sep.model.release import load_model

# Runs a command whose files may not grow beyond a size, which fails as a full disk does.
LITTLE_ROOM = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
# Runs a command with little address space.
LITTLE_MEMORY = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (5_000_000_000, 5_000_000_000))
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with stems, and the uninterrupted run in "whole"."""
    folder = tmp_path_factory.mktemp("survival")
    noise_stems(folder)
    train_here(folder, "whole")
    return folder


def test_an_interrupted_run_is_the_same_run(folder):
    """Another process is refused; the run is killed, out of disk, stopped and resumed."""
    refuse_another_process_then_kill(folder, "parts")
    run_out_of_disk(folder, "parts")
    assert state_of(folder / "parts")  # the newest checkpoint is intact
    stop(folder, "parts")
    train_here(folder, "parts")
    assert_same_run(folder, "parts", "whole")


def refuse_another_process_then_kill(folder: Path, workdir: str) -> None:
    process = start(folder, workdir)
    while not checkpoints_of(folder / workdir):
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGSTOP)
    refused = call(folder, workdir)
    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert line.startswith(f"error: {workdir}: another process is training there; wait")
    process.send_signal(signal.SIGCONT)
    assert interrupt(process, folder / workdir, signal.SIGKILL, random.Random(0), 5)


def run_out_of_disk(folder: Path, workdir: str) -> None:
    often = "--config.train.checkpoint_seconds=0"
    process = start(folder, workdir, "-c", LITTLE_ROOM, flags=[often])
    _, messages = process.communicate(timeout=120)
    assert process.returncode == 1, messages
    assert "Traceback" not in messages
    assert messages.count("error: ") == 1
    last = messages.splitlines()[-1]
    assert last.startswith("error: ") and last.endswith(
        "checkpoints: cannot be written (File too large); free some space or check its "
        "permissions"
    )


def stop(folder: Path, workdir: str) -> None:
    process = start(folder, workdir)
    wait_for_steps(process, folder / workdir, 5)
    process.send_signal(signal.SIGTERM)
    output, messages = process.communicate(timeout=60)
    assert process.returncode == 0, messages
    assert f"stopped and saved in {workdir}; repeat the command to resume" in output
    steps = len(log_of(folder / workdir))
    assert steps in checkpoints_of(folder / workdir)


def checkpoints_of(workdir: Path) -> set[int]:
    """Returns the steps of the checkpoints that are complete."""
    names = {path.name for path in (workdir / "checkpoints").glob("*")}
    return {int(name) for name in names if name.isdecimal()}


def state_of(workdir: Path) -> list[np.ndarray]:
    """Returns the newest training state on disk."""
    with ocp.CheckpointManager((workdir / "checkpoints").resolve()) as manager:
        args = ocp.args.Composite(state=ocp.args.StandardRestore())
        return jax.tree.leaves(manager.restore(manager.latest_step(), args=args).state)


def assert_same_run(folder: Path, workdir: str, other: str) -> None:
    ours, theirs = folder / workdir, folder / other
    assert log_of(ours) == log_of(theirs)
    ours_facts, their_facts = (load_model(str(each)).metadata for each in (ours, theirs))
    for name in ("step", "si_sdr"):
        assert ours_facts[name] == their_facts[name]
    arrays = [load_file(each / "model.safetensors") for each in (ours, theirs)]
    jax.tree.map(np.testing.assert_array_equal, *arrays)
    jax.tree.map(np.testing.assert_array_equal, state_of(ours), state_of(theirs))


@pytest.fixture(scope="module")
def long_run(folder):
    """Flags of a longer run, which is in "long"."""
    flags = ["--config.train.steps=300", "--config.train.checkpoint_seconds=0.3"]
    train_here(folder, "long", *flags)
    return flags


@pytest.mark.slow
@pytest.mark.parametrize(("how", "times"), [(signal.SIGKILL, 6), (signal.SIGTERM, 4)])
def test_a_run_that_is_interrupted_often_is_the_same_run(folder, long_run, how, times):
    workdir, chance = how.name, random.Random(times)
    for _ in range(times):
        process = start(folder, workdir, flags=long_run)
        assert interrupt(process, folder / workdir, how, chance, 150 // times)
    train_here(folder, workdir, *long_run)
    assert_same_run(folder, workdir, "long")


@pytest.mark.slow
def test_too_little_memory_ends_a_run_with_the_settings_to_lower(folder):
    large = ["--config.model.fnn.width=100000", "--config.model.fnn.depth=2"]
    process = start(folder, "large", "-c", LITTLE_MEMORY, flags=large)
    _, messages = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Traceback" not in messages
    assert "error: not enough memory to train; raise" in messages
