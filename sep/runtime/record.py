"""Records: JSON files that state how what lies beside them was made.

A record contains what was asked for (settings), from what (files), and with which result.
It is written last, so if there is one, everything that it describes is complete. Before
work begins there is one rule: if the record matches, go on or skip; if it does not, either
make everything again (`Record.matching`) or refuse the folder (`Record.claim`).
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sep.errors import UserError
from sep.runtime.files import replacing

Json = Mapping[str, Any]


def differences(before: Json, asked: Json) -> list[str]:
    """Differences between a record and what is asked for: "NAME was X and is Y".

    Only what is asked for is compared: a record contains results, too.
    """
    return [
        f"{name} was {before.get(name)} and is {value}"
        for name, value in sorted(asked.items())
        if before.get(name) != value
    ]


@dataclasses.dataclass(frozen=True)
class Record:
    """The record of one piece of work.

    Attributes:
      path: the file.
      asked: what the result depends on, by name.
      compare: differences between a record's contents and `asked`, a line each; raises
        UserError, ValueError, KeyError or TypeError if it is no such record.
    """

    path: Path
    asked: Json
    compare: Callable[[Json, Json], list[str]] = differences

    def matching(self) -> dict[str, Any] | None:
        """The contents if they are of the same work; None if it has to be done again.

        A record that is missing, damaged or of another kind does not match.
        """
        try:
            found = _read(self.path)
            return None if self.compare(found, _plain(self.asked)) else found
        except (OSError, UserError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def claim(self, other: str, cure: str, damaged: str) -> dict[str, Any] | None:
        """The contents if they are of the same work; None if there is no record.

        Args:
          other: what the folder contains if the record is of other work.
          cure: what to do then.
          damaged: what the file should be, if it is something else.

        Raises:
          UserError: the record is of other work, or damaged.
        """
        try:
            found = _read(self.path)
            differing = self.compare(found, _plain(self.asked))
        except FileNotFoundError:
            return None
        except (OSError, UserError, ValueError, KeyError, TypeError, AttributeError):
            raise UserError(f"{self.path}: is not {damaged}; {cure}") from None
        if differing:
            reasons = "; ".join(differing)
            raise UserError(f"{self.path.parent}: {other} ({reasons}); {cure}")
        return found

    def write(self, result: Json | None = None, indent: int | None = 1) -> None:
        """Writes what was asked for and the result; the file appears complete.

        Names of `asked` keep the place that they have in `result`, if they are there.

        Raises:
          UserError: the file cannot be written.
        """
        contents = {**(result or {}), **self.asked}
        text = json.dumps(contents, indent=indent)
        with replacing(self.path) as part:
            part.write_text(text + "\n", encoding="utf-8")

    def remove(self) -> None:
        """Removes the record, before what it describes is replaced.

        Raises:
          UserError: it cannot be removed.
        """
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(
                f"{self.path}: cannot be removed ({error.strerror}); check the folder's "
                "permissions"
            ) from None


def _read(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError("not a record")
    return found


def _plain(asked: Json) -> Json:
    """The same as it is after a file: tuples are lists."""
    plain: Json = json.loads(json.dumps(asked))
    return plain


def sha256(path: Path) -> str:
    """Hash of a file's contents, in bounded memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def identity(path: Path) -> dict[str, Any]:
    """Size, time of change and hash of a file. Raises OSError if it is missing."""
    found = path.stat()
    return {
        "size": found.st_size,
        "mtime_ns": found.st_mtime_ns,
        "sha256": sha256(path),
    }


def has_size_and_time(path: Path, was: Json) -> bool:
    """Whether a file has the size and time of change of an `identity`."""
    try:
        now = path.stat()
    except OSError:
        return False
    return (now.st_size, now.st_mtime_ns) == (was["size"], was["mtime_ns"])


def is_unchanged(path: Path, was: Json) -> bool:
    """Whether a file is that of an `identity`: by size and time, else by its hash.

    Raises:
      OSError: the file is missing.
    """
    if has_size_and_time(path, was):
        return True
    return path.stat().st_size == was["size"] and sha256(path) == was["sha256"]
