"""Runs the commands in this process; a process for each would import JAX again."""

import contextlib
import importlib
import io
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from absl import flags, logging

from sep import cli


class Done(NamedTuple):
    """Result of a command."""

    returncode: int
    stdout: str
    stderr: str


def run_command(name: str, *arguments: object, folder: Path) -> Done:
    """Runs the command of `sep.cli.NAME` in a folder, and returns its result.

    Unlike in a process, help flags are unknown, and glibc's settings stay as they are.
    """
    status: list[object] = []

    def launch(main):
        status.append(cli.status_of(main, cli.parse_flags(sys.argv)))

    output, messages = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(messages),
        warnings.catch_warnings(),
        _restored(f"sep.cli.{name}"),
    ):
        warnings.simplefilter("ignore", DeprecationWarning)  # as in a process
        patch.chdir(folder)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        patch.setattr(cli, "launch", launch)
        patch.setattr(cli, "return_memory", lambda: None)
        try:
            importlib.import_module(f"sep.cli.{name}").run()
        except SystemExit as error:
            status.append(error.code)
    (code,) = status
    return Done(code, output.getvalue(), messages.getvalue())


@contextlib.contextmanager
def _restored(module: str) -> Iterator[None]:
    """Removes a command's flags afterwards: other commands have flags of the same names."""
    handlers = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    before, verbosity = set(flags.FLAGS), logging.get_verbosity()
    sys.modules.pop(module, None)
    try:
        yield
    finally:
        for name, handler in handlers.items():
            signal.signal(name, handler)
        flags.FLAGS.unparse_flags()
        for name in set(flags.FLAGS) - before:
            owner = flags.FLAGS.find_module_defining_flag(name, "")
            if owner == module or name.partition(".")[0] == "config":
                delattr(flags.FLAGS, name)
        sys.modules.pop(module, None)
        logging.set_verbosity(verbosity)
