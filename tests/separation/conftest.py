"""Fixtures of the separation tests: a small model, and separate.py with it.

Most tests run separate.py in the test's own process and share compiled models: a process
for each run takes seconds.
"""

import contextlib
import functools
import importlib
import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from absl import flags, logging
from small_model import save_small_model

from sep import cli
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


class Result(NamedTuple):
    """Exit status, standard output and standard error of a run."""

    status: int
    output: str
    messages: str


class Place:
    """A folder in which separate.py runs with the small model."""

    def __init__(self, folder: Path, model: Path, main) -> None:
        self.folder, self._model, self._main = folder, model, main

    def start(self, *args: str | Path) -> subprocess.Popen:
        """Starts separate.py as a process."""
        command = [sys.executable, ROOT / "separate.py", f"--model={self._model}", *args]
        env = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONIOENCODING": "utf-8:strict"}
        return subprocess.Popen(
            command, cwd=self.folder, env=env, encoding="utf-8",
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run_process(self, *args: str | Path) -> Result:
        """Runs separate.py as a process."""
        process = self.start(*args)
        output, messages = process.communicate(timeout=300)
        assert "Traceback" not in messages
        return Result(process.returncode, output, messages)

    def main(self, *args: str | Path) -> int:
        """Runs separate.py in this process, with its output; returns the exit status."""
        level, handler = logging.get_verbosity(), signal.getsignal(signal.SIGTERM)
        flags.FLAGS.unparse_flags()
        try:
            command = ["separate.py", f"--model={self._model}", *map(str, args)]
            with contextlib.chdir(self.folder):
                return cli.status_of(self._main, cli.parse_flags(command))
        except SystemExit as error:
            return error.code
        finally:
            logging.set_verbosity(level)
            signal.signal(signal.SIGTERM, handler)

    def run(self, *args: str | Path) -> Result:
        """Runs separate.py in this process."""
        output, messages = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(messages):
            status = self.main(*args)
        return Result(status, output.getvalue(), messages.getvalue())


@pytest.fixture(scope="module")
def place(tmp_path_factory, model, shared_models):
    """A new folder for separate.py.

    Afterwards the flags of separate.py are removed: other commands have flags of the same
    names.
    """
    registered = set(flags.FLAGS)
    module = importlib.import_module("sep.cli.separate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "return_memory", lambda: None)  # it would change this process
        yield Place(tmp_path_factory.mktemp("separate"), model, module.main)
    flags.FLAGS.unparse_flags()
    for name in set(flags.FLAGS) - registered:
        delattr(flags.FLAGS, name)
    del sys.modules["sep.cli.separate"]
