"""Several processes and devices do what one does: real processes on this machine."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import one_of_many
import pytest
from training_runs import call, interrupt, log_of, noise_stems, start, train_here

from sep.errors import UserError
from sep.training import devices

TESTS = Path(__file__).parent
SPLIT = "--xla_force_host_platform_device_count=2"
TWO_DEVICES = {"XLA_FLAGS": f"{os.environ['XLA_FLAGS']} {SPLIT}"}
STEPS = 80
FOUR_ROWS = [
    "--config.data.batch_size=4",
    f"--config.train.steps={STEPS}",
    "--config.train.checkpoint_seconds=1",
]


def free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("localhost", 0))
        return tried.getsockname()[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with stems."""
    folder = tmp_path_factory.mktemp("devices")
    noise_stems(folder)
    return folder


def ended_by_the_other(messages: str) -> bool:
    """Either Sep reports a broken connection, or JAX a missing heartbeat."""
    return "another process of this run" in messages or "another task died" in messages


def pair(folder: Path, workdir: str, *flags: str) -> list[subprocess.Popen]:
    """Starts a run of two processes with two devices each."""
    port = free_port()
    shared = [*FOUR_ROWS, *flags, f"--coordinator=localhost:{port}", "--processes=2"]
    return [
        start(folder, workdir, flags=[*shared, f"--process={number}"], **TWO_DEVICES)
        for number in range(2)
    ]


def test_two_processes_find_the_gradient_of_one(folder):
    one_of_many.main(0, 0, 1, folder)
    port, script = free_port(), TESTS / "one_of_many.py"
    running = [
        subprocess.Popen(
            [sys.executable, script, str(port), str(number), "2", str(folder)],
            env=os.environ
            | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(TESTS.parent)}
            | TWO_DEVICES,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for number in range(2)
    ]
    for process in running:
        _, messages = process.communicate(timeout=300)
        assert process.returncode == 0, messages
    alone, *two = (
        dict(np.load(folder / f"{name}.npz")) for name in ("0_of_1", "0_of_2", "1_of_2")
    )
    rows = np.concatenate([each.pop("rows") for each in two])
    np.testing.assert_array_equal(rows, alone.pop("rows"))
    # Devices exchange sums, never examples.
    assert [each.pop("gathers") for each in (alone, *two)] == [0, 0, 0]
    assert len(alone) > 6
    for name, theirs in alone.items():
        assert np.linalg.norm(theirs) > 0
        for each in two:
            error = np.linalg.norm(each[name] - theirs) / np.linalg.norm(theirs)
            assert error < 1e-5, name


def test_an_error_of_one_process_is_one_line_and_ends_it_at_once(monkeypatch, capsys):
    class EndedError(Exception):
        pass

    def end(status):
        raise EndedError(status)

    monkeypatch.setattr(os, "_exit", end)
    with pytest.raises(UserError), devices.connected():  # a single process: no change
        raise UserError("no stems")
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    for error, message in (
        (UserError("no stems"), "error: no stems\n"),
        (TimeoutError("barrier"), f"error: {devices.LOST_MESSAGE}\n"),
        (jax.errors.JaxRuntimeError("reset"), f"error: {devices.LOST_MESSAGE}\n"),
    ):
        with pytest.raises(EndedError, match="1"), devices.connected():
            raise error
        assert capsys.readouterr().err == message


def test_too_little_memory_names_the_settings_to_lower():
    message = r"not enough memory to train; raise .* or lower .*data\.batch_size"
    for error in (MemoryError(), jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 9 GB")):
        with pytest.raises(UserError, match=message), devices.within_memory():
            raise error
    with pytest.raises(jax.errors.JaxRuntimeError), devices.within_memory():
        raise jax.errors.JaxRuntimeError("INTERNAL: a fault")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--process=1"], "--process and --processes need --coordinator"),
        (["--coordinator=localhost:1"], "needs --process and --processes"),
    ],
)
def test_flags_of_several_processes_belong_together(folder, flags, message):
    done = call(folder, "flags", *flags)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and message in line


@pytest.mark.slow
def test_a_coordinator_that_cannot_be_reached_is_named(folder):
    flags = ["--coordinator=x", "--process=0", "--processes=2"]
    process = start(folder, "flags", flags=flags)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 1
    (line,) = messages.splitlines()
    assert line.startswith("error: --coordinator=x: no connection")


@pytest.mark.slow
def test_a_run_resumes_with_another_number_of_processes(folder):
    """SIGTERM to one of two processes stops and saves both; one process finishes."""
    train_here(folder, "whole", *FOUR_ROWS)
    first, second = pair(folder, "moved")
    assert interrupt(second, folder / "moved", signal.SIGTERM, random.Random(0), 30)
    _, messages = first.communicate(timeout=60)
    assert first.returncode == 0, messages
    steps = len(log_of(folder / "moved"))
    assert 0 < steps < STEPS
    assert (folder / "moved" / "checkpoints" / str(steps)).is_dir()
    train_here(folder, "moved", *FOUR_ROWS)
    ours, theirs = log_of(folder / "moved"), log_of(folder / "whole")
    assert [line["step"] for line in ours] == [line["step"] for line in theirs]
    for a, b in zip(ours[:steps], theirs[:steps], strict=True):
        for name in ("loss", "valid_si_sdr"):
            assert a.get(name) == pytest.approx(b.get(name), abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(("victim", "saves_every"), [(0, "0.3"), (1, "0.3"), (1, "0")])
def test_a_killed_process_ends_the_other_and_both_resume(folder, victim, saves_every):
    workdir = f"killed-{victim}-{saves_every}"  # with 0 the other is mostly saving
    saving = f"--config.train.checkpoint_seconds={saves_every}"
    processes = pair(folder, workdir, saving)
    survivor = processes[1 - victim]
    interrupt(processes[victim], folder / workdir, signal.SIGKILL, random.Random(1), 30)
    began = time.monotonic()
    _, messages = survivor.communicate(timeout=60)
    assert time.monotonic() - began < 30, messages
    assert survivor.returncode != 0, messages
    assert ended_by_the_other(messages), messages
    for process in pair(folder, workdir):
        _, messages = process.communicate(timeout=300)
        assert process.returncode == 0, messages
    steps = [line["step"] for line in log_of(folder / workdir)]
    assert steps == list(range(1, STEPS + 1))


@pytest.mark.slow
def test_a_process_with_an_error_does_not_leave_the_other_waiting(folder):
    flags = [*FOUR_ROWS, f"--coordinator=localhost:{free_port()}", "--processes=2"]
    # One of them is given a folder without stems.
    first = start(folder, "uneven", flags=[*flags, "--process=0"])
    second = start(folder, "uneven", flags=[*flags, "--process=1", "--data=nowhere"])
    for process in (second, first):
        _, messages = process.communicate(timeout=60)
        assert process.returncode != 0
        assert "nowhere" in messages if process is second else ended_by_the_other(messages)
        assert "Traceback" not in messages
