"""Many processes and devices do what one does: real processes on this machine."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from training_runs import interrupt, log_of, noise_stems, start

TESTS = Path(__file__).parent
TWO_DEVICES = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
STEPS = 200
OVER = ["--config.data.batch_size=4", f"--config.train.steps={STEPS}"]  # the other FLAGS


def free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("localhost", 0))
        return tried.getsockname()[1]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with stems, and what one process made of them."""
    folder = tmp_path_factory.mktemp("devices")
    noise_stems(folder)
    process = start(folder, "whole", flags=OVER)
    _, messages = process.communicate(timeout=300)
    assert process.returncode == 0, messages
    return folder


def ended_by_the_other(messages: str) -> bool:
    """Who notices first says so: a broken connection, or JAX's heartbeat."""
    return "another process of this run" in messages or "another task died" in messages


def pair(folder: Path, workdir: str, *flags: str) -> list[subprocess.Popen]:
    """A run of two processes with two devices each."""
    port = free_port()
    shared = [*OVER, *flags, f"--coordinator=localhost:{port}", "--processes=2"]
    return [
        start(folder, workdir, flags=[*shared, f"--process={number}"], **TWO_DEVICES)
        for number in range(2)
    ]


def step_of(folder: Path, processes: int, **variables) -> list[dict]:
    """One training step by some processes: what each has seen and learned."""
    port = free_port()
    running = [
        subprocess.Popen(
            [sys.executable, TESTS / "one_of_many.py"]
            + [str(value) for value in (port, number, processes, folder)],
            env=os.environ
            | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(TESTS.parent)}
            | variables,
            text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for number in range(processes)
    ]  # fmt: skip
    for process in running:
        _, messages = process.communicate(timeout=300)
        assert process.returncode == 0, messages
    found = []
    for number in range(processes):
        with np.load(folder / f"{number}_of_{processes}.npz") as saved:
            found.append(dict(saved))
    return found


def test_two_processes_find_the_gradient_of_one(place):
    (alone,) = step_of(place, 1)
    two = step_of(place, 2, **TWO_DEVICES)
    rows = np.concatenate([each.pop("rows") for each in two])
    np.testing.assert_array_equal(rows, alone.pop("rows"))
    # Devices share sums, never examples.
    assert [each.pop("gathers") for each in (alone, *two)] == [0, 0, 0]
    assert len(alone) > 10
    for name, theirs in alone.items():
        assert np.linalg.norm(theirs) > 0
        for each in two:
            error = np.linalg.norm(each[name] - theirs) / np.linalg.norm(theirs)
            assert error < 1e-5, name


def test_a_run_goes_on_with_other_numbers_of_processes(place):
    """SIGTERM to one of two processes stops and saves both; one process finishes."""
    first, second = pair(place, "moved")
    assert interrupt(second, place / "moved", signal.SIGTERM, random.Random(0), 40)
    _, messages = first.communicate(timeout=60)
    assert first.returncode == 0, messages
    steps = len(log_of(place / "moved"))
    assert 0 < steps < STEPS
    assert (place / "moved" / "checkpoints" / str(steps)).is_dir()
    process = start(place, "moved", flags=OVER)
    _, messages = process.communicate(timeout=300)
    assert process.returncode == 0, messages
    ours, theirs = log_of(place / "moved"), log_of(place / "whole")
    assert [line["step"] for line in ours] == [line["step"] for line in theirs]
    for a, b in zip(ours[:steps], theirs[:steps], strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=0.02)


@pytest.mark.parametrize(
    ("victim", "saves_every"),
    [pytest.param(0, "0.3", marks=pytest.mark.slow), (1, "0.3"), (1, "0")],
)
def test_a_killed_process_ends_the_other_and_a_restart_goes_on(place, victim, saves_every):
    workdir = f"killed-{victim}-{saves_every}"  # with 0 the other is mostly saving
    saving = f"--config.train.checkpoint_seconds={saves_every}"
    processes = pair(place, workdir, saving)
    survivor = processes[1 - victim]
    interrupt(processes[victim], place / workdir, signal.SIGKILL, random.Random(1), 40)
    began = time.monotonic()
    _, messages = survivor.communicate(timeout=60)
    assert time.monotonic() - began < 30, messages
    assert survivor.returncode != 0, messages
    assert ended_by_the_other(messages), messages
    processes = pair(place, workdir)
    for process in processes:
        _, messages = process.communicate(timeout=300)
        assert process.returncode == 0, messages
    assert [line["step"] for line in log_of(place / workdir)] == list(range(1, STEPS + 1))


def test_one_process_with_an_error_does_not_leave_the_other_waiting(place):
    port = free_port()
    flags = [*OVER, f"--coordinator=localhost:{port}", "--processes=2"]
    # The two name different stems: one has none.
    missing = ["--process=1", "--data=nowhere"]
    first = start(place, "uneven", flags=[*flags, "--process=0"])
    second = start(place, "uneven", flags=[*flags, *missing])
    for process in (second, first):
        _, messages = process.communicate(timeout=60)
        assert process.returncode != 0
        assert "nowhere" in messages if process is second else ended_by_the_other(messages)
        assert "Traceback" not in messages


def test_flags_of_many_processes_belong_together(place):
    for flags, expected in (
        (["--process=1"], "need --coordinator"),
        (["--coordinator=localhost:1"], "needs --process and --processes"),
        (["--coordinator=x", "--process=0", "--processes=2"], "no connection"),
    ):
        process = start(place, "flags", flags=flags)
        _, messages = process.communicate(timeout=60)
        assert process.returncode == 1
        assert messages.startswith("error: ")
        assert expected in messages
        assert len(messages.splitlines()) == 1
