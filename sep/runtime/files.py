"""Files and folders that appear complete or not at all, locks, and TOML settings.

A file is written under a hidden name beside its place, then renamed. The hidden name
contains the host and the process id. What a killed process left is therefore recognised
and removed later (`sweep`).
"""

import contextlib
import glob
import os
import re
import shutil
import socket
import tomllib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from sep.errors import UserError

_LITTER = frozenset({".DS_Store", ".directory"})  # files that file managers create
_HOST = re.sub(r"[^\w-]", "_", socket.gethostname())


def part_of(path: Path) -> Path:
    """Returns the hidden path beside a file at which this process writes it."""
    return path.with_name(f".{path.name}.{_HOST}-{os.getpid()}.part")


def sweep(path: Path) -> None:
    """Removes what ended processes of this host left beside a file.

    This includes files with this process's id: an earlier process may have had the same.
    A folder that was moved aside, and has no successor at `path`, is moved back.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.{_HOST}-*"):
        number, _, kind = left.name.rpartition("-")[2].partition(".")
        if left.name != f".{path.name}.{_HOST}-{number}.{kind}":
            continue  # of another host, whose name begins with this one's
        if kind not in ("part", "old") or not number.isdecimal():
            continue
        if int(number) != os.getpid() and _is_alive(int(number)):
            continue
        if kind == "old" and not os.path.lexists(path):
            with contextlib.suppress(OSError):
                os.replace(left, path)
        else:
            _discard(left)


def _discard(part: Path) -> None:
    """Removes a file, a link or a folder if possible."""
    # os.path.isdir: Path.is_dir raises for some unreadable paths.
    if os.path.isdir(part) and not part.is_symlink():
        shutil.rmtree(part, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def remove(folder: Path) -> None:
    """Removes a folder and its contents, if it exists.

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


def _is_alive(process: int) -> bool:
    """Whether a process of this host exists; True where that cannot be found out."""
    if os.name == "nt":  # os.kill would end the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it belongs to another user
        return True
    return True


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a hidden path to write to, and renames it to `path` at the end.

    If the body raises, the hidden file is removed and `path` stays as it was.

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
        raise _cannot_write(path, error) from None
    finally:
        _discard(part)


@contextlib.contextmanager
def replacing_folder(path: Path, parts: Collection[str]) -> Iterator[Path]:
    """Yields a hidden folder to fill, and renames it to `path` at the end.

    If the body raises, the hidden folder is removed and `path` stays as it was.

    Args:
      path: the folder. An existing one is replaced if it contains only `parts` and files
        of file managers.
      parts: names of the files and folders that such a folder consists of.

    Raises:
      UserError: the folder cannot be written, or contains other files.
    """
    path = path.absolute()
    part = part_of(path)
    old = part.with_suffix(".old")
    try:
        names = sorted(p.name for p in path.iterdir()) if os.path.lexists(path) else []
        others = [name for name in names if name not in parts and name not in _LITTER]
        if others:
            raise UserError(
                f"{path}: contains other files ({others[0]}); choose another folder"
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
        raise _cannot_write(path, error) from None
    else:
        _discard(old)
    finally:
        _discard(part)


def _cannot_write(path: Path, error: OSError) -> UserError:
    return UserError(
        f"{path}: cannot be written ({error.strerror or error}); choose another folder, or "
        "check its permissions and free space"
    )


@contextlib.contextmanager
def locked(folder: Path, doing: str) -> Iterator[None]:
    """Locks a folder, made if needed, against other processes.

    The operating system frees the lock when the process ends, even if it is killed.

    Args:
      folder: the folder; the lock is on its file `.lock`.
      doing: what the lock protects ("training"), for the message.

    Raises:
      UserError: another process holds the lock, or the folder cannot be written to.
    """
    import filelock  # 50 ms, and few commands lock anything

    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # A soft lock would outlive a process that was killed.
            lock = filelock.FileLock(folder / ".lock", timeout=0, fallback_to_soft=False)
            stack.enter_context(lock)
        except filelock.Timeout:
            raise UserError(
                f"{folder}: another process is {doing} there; wait for it, or use another"
            ) from None
        except OSError as error:
            reason = error.strerror or error
            raise UserError(
                f"{folder}: cannot be used ({reason}); choose another folder, or check its "
                "permissions"
            ) from None
        yield


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """Returns the contents of a TOML file.

    Args:
      path: the file.
      what: what the file should be, for the message.

    Raises:
      UserError: it cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: no {what} ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a TOML file ({error})") from None
