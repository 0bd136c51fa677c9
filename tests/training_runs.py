"""Real training processes: started in a folder, interrupted, and their logs."""

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

ROOT = Path(__file__).parents[1]
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


def log_of(workdir: Path) -> list[dict]:
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    log = [json.loads(line) for line in lines]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in log]


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
