"""Files that are whole or not there at all, and settings read from them."""

import contextlib
import glob
import os
import re
import shutil
import socket
import tomllib
from collections.abc import Collection, Iterator
from pathlib import Path

from sep.errors import UserError

try:
    import fcntl
except ImportError:  # on Windows nothing is locked
    fcntl = None


_LITTER = frozenset({".DS_Store", ".directory"})  # of file managers
_HOST = re.sub(r"[^\w-]", "_", socket.gethostname())


def part_of(path: Path) -> Path:
    """A hidden place beside a file for what will become it; this process's own."""
    return path.with_name(f".{path.name}.{_HOST}-{os.getpid()}.part")


def sweep(path: Path) -> None:
    """Removes what processes of this machine that are gone have left beside a file.

    Also what bears this process's number, which an earlier one may have had. A folder
    that was being replaced, and is nowhere else, comes back.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.{_HOST}-*"):
        number, _, kind = left.name.rpartition("-")[2].partition(".")
        if left.name != f".{path.name}.{_HOST}-{number}.{kind}":
            continue  # of a machine whose name begins as this one's does
        mine = number.isdecimal() and int(number) == os.getpid()
        if kind not in ("part", "old") or not number.isdecimal():
            continue
        if not mine and _alive(int(number)):
            continue
        if kind == "old" and not os.path.lexists(path):
            with contextlib.suppress(OSError):
                os.replace(left, path)
        else:
            _discard(left)


def _discard(part: Path) -> None:
    """Removes a file, a link or a folder, if it can."""
    if os.path.isdir(part) and not part.is_symlink():  # part.is_dir() raises at times
        shutil.rmtree(part, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def remove(folder: Path) -> None:
    """Removes a folder with all that is in it, if it is there.

    Raises:
      UserError: it cannot be removed.
    """
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be removed ({error.strerror or error})"
        ) from None


def _alive(process: int) -> bool:
    if os.name == "nt":  # there, to ask would be to kill
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is somebody else's
        return True
    return True


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden place to write to, renamed to `path` if all goes well, removed if not.

    Raises:
      UserError: the file cannot be written.
    """
    part = part_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path)
        yield part
        os.replace(part, path)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}); choose another "
            "folder, or see to its permissions and free space"
        ) from None
    finally:
        _discard(part)


@contextlib.contextmanager
def replacing_folder(path: Path, parts: Collection[str]) -> Iterator[Path]:
    """A hidden folder to fill, renamed to `path` if all goes well, removed if not.

    A folder that is there already goes, unless it holds more than `parts`, the names of
    what such a folder is made of, and what file managers leave: then it is somebody's.

    Raises:
      UserError: the folder cannot be written, or is somebody's.
    """
    path = path.absolute()
    part = part_of(path)
    old = part.with_suffix(".old")
    try:
        there = sorted(p.name for p in path.iterdir()) if os.path.lexists(path) else []
        others = [name for name in there if name not in parts and name not in _LITTER]
        if others:
            raise UserError(
                f"{path}: holds other things ({others[0]}); choose another folder"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path)
        part.mkdir()
        yield part
        if path.exists():
            os.replace(path, old)
        try:
            os.replace(part, path)
        except OSError:
            if old.exists():
                os.replace(old, path)
            raise
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}); choose another "
            "folder, or see to its permissions and free space"
        ) from None
    else:
        _discard(old)
    finally:
        _discard(part)


@contextlib.contextmanager
def locked(folder: Path, doing: str) -> Iterator[None]:
    """Keeps a folder to one process; the lock goes with the process, however it ends.

    Raises:
      UserError: another process has it, or it cannot be written to.
    """
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context((folder / ".lock").open("a"))
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{folder}: another process is {doing} there; wait for it, or use another"
            ) from None
        except OSError as error:
            raise UserError(f"{folder}: cannot be used ({error.strerror})") from None
        yield


def read_toml(path: Path, what: str) -> dict:
    """What a TOML file says; `what` it should be is for the message.

    Raises:
      UserError: it cannot be read, or is something else.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: no {what} ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a TOML file ({error})") from None
