"""Fixtures of the separation tests: a small model, and separate.py with it.

Most tests run separate.py in the test's own process and share compiled models: a process
for each run takes seconds.
"""

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import Done, run_command
from small_model import save_small_model

from sep.separation import jobs
from sep.separation.inference import Separation, load

ROOT = Path(__file__).parents[2]


@functools.cache
def load_once(model: str, **options) -> Separation:
    """`load` that compiles each model once."""
    return load(model, **options)


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """Release file of the small model."""
    return save_small_model(tmp_path_factory.mktemp("model") / "small.safetensors")


@pytest.fixture(scope="module")
def shared_models():
    """Makes workers share compiled models."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "load", load_once)
        yield


class Place:
    """A folder in which separate.py runs with the small model."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self._model = folder, f"--model={model}"

    def run(self, *args: str) -> Done:
        """Runs separate.py in this process."""
        return run_command("separate", self._model, *args, folder=self.folder)

    def start(self, *args: str) -> subprocess.Popen:
        """Starts separate.py as a process."""
        command = [sys.executable, ROOT / "separate.py", self._model, *args]
        env = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONIOENCODING": "utf-8:strict"}
        return subprocess.Popen(
            command, cwd=self.folder, env=env, encoding="utf-8",
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run_process(self, *args: str) -> Done:
        """Runs separate.py as a process."""
        process = self.start(*args)
        output, messages = process.communicate(timeout=300)
        assert "Traceback" not in messages
        return Done(process.returncode, output, messages)


@pytest.fixture(scope="module")
def place(tmp_path_factory, model, shared_models):
    """A new folder for separate.py."""
    return Place(tmp_path_factory.mktemp("separate"), model)
