"""The commands: flags and wiring only. Sound and networks live elsewhere."""

import contextlib
import ctypes
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
    """Runs a command; an error that its user can cure is one line, and status 1.

    The docstring of the command's module opens its --help.
    """

    def guarded(argv: list[str]) -> int:
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

    ask_for_large_pages()
    for stream in (sys.stdout, sys.stderr):  # for file names that are not UTF-8
        stream.reconfigure(errors="backslashreplace")
    # absl's --help shows the docstring and the flags of the script: lend it ours.
    module = sys.modules[main.__module__]
    sys.modules["__main__"].__doc__ = module.__doc__.replace("%", "%%")
    for flag in flags.FLAGS.get_key_flags_for_module(module):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    remember_compilations()
    app.run(guarded, flags_parser=parse_flags)


def leave(*_) -> None:
    """For SIGTERM: ends the command as an error does, so that all is tidied and saved."""
    sys.exit(143)


def one_line(text: str) -> str:
    """Text without the line breaks that names of files may have: they are escaped."""
    return "".join(c if c.isprintable() or c > "\u2029" else ascii(c)[1:-1] for c in text)


def expect_no_arguments(argv: list[str]) -> None:
    """For commands that take flags only."""
    if len(argv) > 1:
        raise UserError(f"{argv[1]}: {Path(argv[0]).name} takes flags only; see --help")


def named(values: list[str], flag: str) -> dict[str, str]:
    """By name: NAME=PATH, or the last part of PATH.

    Raises:
      UserError: two have the same name, or one is empty.
    """
    found = {}
    for value in filter(None, values):
        name, equals, path = value.partition("=")
        if not equals:
            name, path = Path(value).name.removesuffix(".safetensors"), value
        if not name or not path or "/" in name:
            raise UserError(f"{flag}: {value!r} is not NAME=PATH")
        if name in found:
            raise UserError(f"{flag}: two are called {name}; put another NAME= before one")
        found[name] = path
    return found


def parse_flags(argv: list[str]) -> list[str]:
    """What flags leave of the command line."""
    with plain_flag_errors():
        return flags.FLAGS(argv)


@contextlib.contextmanager
def plain_flag_errors() -> Iterator[None]:
    """Wrong flags end the command in one line; the last two are a config's."""
    try:
        yield
    except BrokenPipeError:  # of `--help | head`
        sys.exit(1)
    except (flags.Error, AttributeError, OSError) as error:
        reason = " ".join(str(error).replace("\\n", " ").replace("\\'", "'").split())
        if isinstance(error, AttributeError):
            reason = f"the config has no setting {reason}"
        print(f"error: {reason} (see --help)", file=sys.stderr)
        sys.exit(1)


def return_memory() -> None:
    """Has glibc give large arrays back, and keep one heap, not one a thread.

    Call it before there are threads. Heaps would else grow for hours, with what fits
    nowhere any more; the peak is lower by a sixth, and work takes a twentieth longer.
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
    """The commit of the code that runs, or "unknown" outside its git checkout."""
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
