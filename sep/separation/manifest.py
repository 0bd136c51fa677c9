"""A note beside finished stems: of what they were made, and how.

It is written last, so where it is, and what it says is still so, there is nothing left to
do. Files are compared by size and time, as make does, and where only the time differs by
their contents. The time is that of the last change, so a copy may take the longer way.
"""

import hashlib
import json
from pathlib import Path

from sep.errors import UserError
from sep.runtime.files import replacing

NAME = "separation.json"
FORMAT = "sep-separation-2"  # another, if what separation computes is no longer the same


def identity(path: Path) -> dict:
    """Size, time of change and contents of a file. Raises OSError if it is not there."""
    found = path.stat()
    return {
        "size": found.st_size,
        "mtime_ns": found.st_mtime_ns,
        "sha256": sha256(path),
    }


def looks_like(path: Path, was: dict) -> bool:
    """Whether a file has the size and time of change that it had."""
    try:
        now = path.stat()
    except OSError:
        return False
    return (now.st_size, now.st_mtime_ns) == (was["size"], was["mtime_ns"])


def sha256(path: Path) -> str:
    """Of a file's contents, in bounded memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(folder: Path, facts: dict) -> None:
    """Says that all in a folder is there. Raises UserError if that cannot be written."""
    with replacing(folder / NAME) as part:
        part.write_text(json.dumps({"format": FORMAT, **facts}, indent=1) + "\n", "utf-8")


def forget(folder: Path) -> None:
    """Removes the note, before what it speaks of is replaced.

    Raises:
      UserError: it cannot be removed.
    """
    try:
        (folder / NAME).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder / NAME}: cannot be removed ({error.strerror}); see to the folder's "
            "permissions"
        ) from None


def finished(folder: Path, recording: Path, how: dict) -> dict | None:
    """The note, if it is there and true: same recording, same `how`, all files as made."""
    try:
        facts = json.loads((folder / NAME).read_text("utf-8"))
        if facts["format"] != FORMAT or facts["how"] != json.loads(json.dumps(how)):
            return None
        files = {recording: facts["recording"]}
        files |= {folder / name: output for name, output in facts["outputs"].items()}
        return facts if all(_is(path, was) for path, was in files.items()) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # none, half of one, or somebody else's


def _is(path: Path, was: dict) -> bool:
    if looks_like(path, was):
        return True
    return path.stat().st_size == was["size"] and sha256(path) == was["sha256"]
