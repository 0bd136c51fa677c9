"""Folders for files that can be made again: deleting them costs only time."""

import contextlib
import os
import stat
import tempfile
from pathlib import Path

import platformdirs

from sep.errors import UserError


def cache_folder(name: str) -> Path:
    """Returns the folder for one kind of cached file, which may not exist yet.

    It is $XDG_CACHE_HOME/sep/NAME where that variable is set, and otherwise NAME in the
    platform's cache folder of Sep: ~/.cache/sep on Linux. Without a home directory it is
    in the system's temporary folder.

    Raises:
      UserError: there is no home directory, and no private folder can be made.
    """
    if chosen := os.environ.get("XDG_CACHE_HOME"):
        return Path(chosen) / "sep" / name
    try:
        folder = platformdirs.user_cache_path("sep", appauthor=False)
    except (KeyError, OSError, RuntimeError):  # no $HOME and no entry in /etc/passwd
        return _temporary_folder() / name
    # Older versions of platformdirs return "~" as it is if they cannot expand it.
    return (folder if folder.is_absolute() else _temporary_folder()) / name


def _temporary_folder() -> Path:
    """Returns a folder of this user in the system's temporary folder; makes it if needed.

    JAX runs the programs that it finds in its cache. Therefore no other user may be able
    to write to the folder.

    Raises:
      UserError: the folder cannot be made, belongs to another user, or is open to others.
    """
    cure = "remove it, or set XDG_CACHE_HOME"
    user = os.getuid() if os.name == "posix" else os.environ.get("USERNAME", "")
    folder = Path(tempfile.gettempdir()) / f"sep-cache-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}); {cure}") from None
    if os.name == "posix" and not (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.geteuid()
        and not found.st_mode & 0o077
    ):
        raise UserError(f"{folder}: other users could write to this cache; {cure}")
    return folder


def remember_compilations() -> None:
    """Makes JAX, if it is not imported yet, keep compiled programs for later processes.

    Environment variables that are already set stay as they are. Without a folder for the
    cache, every process compiles for itself.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        with contextlib.suppress(UserError):
            os.environ["JAX_COMPILATION_CACHE_DIR"] = str(cache_folder("jax"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
