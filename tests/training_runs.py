"""Small training runs: in this process, or in real processes that tests interrupt."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import soundfile
from commands import Done, run_command

ROOT = Path(__file__).parents[1]
STEPS = 60
STARTED: list[subprocess.Popen] = []  # ended by conftest.py if a test fails
# No augmentation except gains, which need random keys: the rest compiles slowly.
FLAGS = [
    "--data=data",
    "--arch=fnn",
    "--representation=waveform",
    "--config.model.sample_rate=8000",
    "--config.model.waveform.frame_length=64",
    "--config.model.waveform.hop_length=32",
    "--config.model.fnn.width=64",
    "--config.model.fnn.depth=1",
    "--config.data.crop_seconds=0.2",
    "--config.data.batch_size=2",
    "--config.data.level_db=0",
    "--config.data.polarity=0",
    "--config.data.absent=0",
    "--config.data.equaliser_db=0",
    "--config.data.band_limit=0",
    "--config.data.noise=0",
    "--config.data.clip=0",
    f"--config.train.steps={STEPS}",
    "--config.train.eval_every=30",
    "--config.train.eval_crops=2",
    "--config.train.eval_seconds=0.2",
    "--config.train.checkpoint_seconds=0.1",
]


def noise_stems(folder: Path) -> None:
    """Writes FOLDER/data, stems to train on."""
    noise = np.random.default_rng(0)
    for split in ("train", "valid"):
        for source in ("piano", "violin"):
            path = folder / "data" / split / source / "a.wav"
            path.parent.mkdir(parents=True)
            soundfile.write(path, 0.1 * noise.standard_normal(16_000), 8000)


def call(folder: Path, workdir: str, *flags: str) -> Done:
    """Runs train.py in this process; the run begins, or resumes from its checkpoint."""
    return run_command("train", *FLAGS, f"--workdir={workdir}", *flags, folder=folder)


def train_here(folder: Path, workdir: str, *flags: str) -> None:
    """Trains to the end in this process."""
    done = call(folder, workdir, *flags)
    assert done.returncode == 0, done.stderr


def start(
    folder: Path, workdir: str, *wrapper: str, flags=(), **variables: str
) -> subprocess.Popen:
    """Starts train.py in a folder.

    Args:
      folder: has the stems, and the cache of decoded stems.
      workdir: of the run, in the folder.
      *wrapper: arguments of Python before train.py.
      flags: more flags; they take precedence over `FLAGS`.
      **variables: more environment variables.
    """
    environment = {"JAX_PLATFORMS": "cpu", "XDG_CACHE_HOME": str(folder / "cache")}
    process = subprocess.Popen(
        [sys.executable, *wrapper, ROOT / "train.py", *FLAGS]
        + [f"--workdir={workdir}", *flags],
        cwd=folder, env=os.environ | environment | variables, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    STARTED.append(process)
    return process


def log_of(workdir: Path) -> list[dict]:
    """Lines of a run's log, without times."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    log = [json.loads(line) for line in lines]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in log]


def wait_for_steps(process: subprocess.Popen, workdir: Path, steps: int) -> None:
    """Waits until a process has logged about so many more steps, or has ended."""
    log = workdir / "metrics.jsonl"
    size = log.stat().st_size if log.exists() else 0
    size += 150 * (steps - 1) + 1  # bytes of a line
    while process.poll() is None and (log.stat().st_size if log.exists() else 0) < size:
        time.sleep(0.002)


def interrupt(
    process: subprocess.Popen,
    workdir: Path,
    how: signal.Signals,
    chance: random.Random,
    steps: int,
) -> bool:
    """Sends a signal at a random moment, at most about `steps` steps from now.

    Returns:
      Whether the process was still running.
    """
    wait_for_steps(process, workdir, chance.randint(1, steps))
    time.sleep(chance.uniform(0, 0.1))
    in_time = process.poll() is None
    process.send_signal(how)
    _, messages = process.communicate(timeout=60)
    assert "Traceback" not in messages
    if in_time and how == signal.SIGTERM:
        assert process.returncode == 0, messages
    return in_time
