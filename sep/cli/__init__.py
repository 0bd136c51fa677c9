"""The commands: flags and wiring only. All work is done in the other packages."""

import contextlib
import ctypes
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from absl import app, flags, logging

from sep.errors import UserError
from sep.runtime.cache import remember_compilations

_M_ARENA_MAX, _M_MMAP_THRESHOLD = -8, -3  # of glibc's malloc.h
_LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def launch(main: Callable[[list[str]], int | None]) -> None:
    """Runs a command as a process: parses flags, calls `main`, and exits with its status.

    The docstring of the command's module is the beginning of its --help.

    Args:
      main: takes the arguments that remain after the flags; returns the exit status.
    """
    ask_for_large_pages()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names may not be UTF-8
    # absl's --help shows the docstring and flags of the script; it gets the command's.
    module = sys.modules[main.__module__]
    sys.modules["__main__"].__doc__ = (module.__doc__ or "").replace("%", "%%")
    for flag in flags.FLAGS.get_key_flags_for_module(module):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    remember_compilations()
    app.run(lambda argv: status_of(main, argv), flags_parser=parse_flags)


def status_of(main: Callable[[list[str]], int | None], argv: list[str]) -> int:
    """Calls `main` and returns the exit status; a UserError is printed as one line."""
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
    try:
        return main(argv) or 0
    except UserError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def leave(*_: object) -> None:
    """Signal handler for SIGTERM: raises SystemExit, and files are tidied up as usual."""
    sys.exit(143)


def one_line(text: str) -> str:
    """Escapes line breaks and other control characters, which file names can contain."""
    return "".join(c if c.isprintable() or c > "\u2029" else ascii(c)[1:-1] for c in text)


def expect_no_arguments(argv: list[str]) -> None:
    """Raises UserError if there are arguments that are not flags."""
    if len(argv) > 1:
        raise UserError(f"{argv[1]}: {Path(argv[0]).name} takes flags only; see --help")


def named(values: list[str], flag: str) -> dict[str, str]:
    """Parses values of the form NAME=PATH, or PATH, whose last part is then the name.

    Args:
      values: the values; empty ones are ignored.
      flag: name of their flag, for messages.

    Returns:
      Name -> path.

    Raises:
      UserError: two have the same name, or a name or path is empty.
    """
    found = {}
    for value in filter(None, values):
        name, equals, path = value.partition("=")
        if not equals:
            name, path = Path(value).name.removesuffix(".safetensors"), value
        if not name or not path or "/" in name:
            raise UserError(f"{flag}: {value!r} is not of the form NAME=PATH")
        if name in found:
            raise UserError(f"{flag}: two are named {name}; put another NAME= before one")
        found[name] = path
    return found


def parse_flags(argv: list[str]) -> list[str]:
    """Parses the flags; returns the command line without them."""
    with plain_flag_errors():
        return flags.FLAGS(argv)


@contextlib.contextmanager
def plain_flag_errors() -> Iterator[None]:
    """Exits with a one-line message on wrong flags or a wrong config file."""
    try:
        yield
    except BrokenPipeError:  # `--help | head`
        sys.exit(1)
    except (flags.Error, AttributeError, OSError) as error:  # the last two: a config's
        reason = " ".join(str(error).replace("\\n", " ").replace("\\'", "'").split())
        if isinstance(error, AttributeError):
            reason = f"the config has no setting {reason}"
        print(f"error: {reason} (see --help)", file=sys.stderr)
        sys.exit(1)


def return_memory() -> None:
    """Makes glibc return large arrays to the system and use one heap for all threads.

    It must be called before threads are started. Otherwise the heaps become fragmented and
    grow for hours. The peak of memory is a sixth lower, and work takes a twentieth longer.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):  # another C library
            libc = ctypes.CDLL(None)
            libc.mallopt(_M_ARENA_MAX, 1)
            libc.mallopt(_M_MMAP_THRESHOLD, 2**21)


def ask_for_large_pages() -> None:
    """Starts this process once more, with a setting that glibc reads at its start only.

    Every run of a program that JAX compiled takes fresh memory. Where Linux gives large
    pages to those who ask, clearing it costs less: a seventh of the time of separate.py.
    Who sets the variable is not overruled.
    """
    if "GLIBC_TUNABLES" in os.environ:
        return
    with contextlib.suppress(OSError):  # not Linux, or one that hides its settings
        if "[madvise]" in _LARGE_PAGES.read_text(encoding="ascii"):
            os.environ["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def commit() -> str:
    """Commit of the running code, or "unknown" outside its git checkout."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return "unknown"
    describe = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        found = subprocess.run(
            ["git", "-C", root, *describe], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()
