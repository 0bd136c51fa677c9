"""Files that are whole or not there at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from sep.errors import UserError


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
