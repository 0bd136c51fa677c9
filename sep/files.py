"""Files that are whole or not there at all, and settings read from them."""

import contextlib
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

from sep.errors import UserError

try:
    import fcntl
except ImportError:  # on Windows nothing is locked
    fcntl = None


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden place to write to, renamed to `path` if all goes well, removed if not.

    Raises:
      UserError: the file cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, path)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}); choose another "
            "folder, or see to its permissions and free space"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


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
