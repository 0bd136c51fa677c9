"""The record of a separated recording, `separation.json` beside its stems."""

from pathlib import Path
from typing import Any

from sep.runtime.record import Record, is_unchanged

NAME = "separation.json"
FORMAT = "sep-separation-2"  # changes when separation computes something else


def record(folder: Path, how: dict[str, Any]) -> Record:
    """The record of a folder; `how` is all that the contents of its files depend on."""
    return Record(folder / NAME, {"format": FORMAT, "how": how})


def finished(folder: Path, recording: Path, how: dict[str, Any]) -> dict[str, Any] | None:
    """The record's contents if the recording is separated in the same way, else None.

    The recording and all files must be as they were: by size and time of change, as make
    compares them, and where only the time differs by their contents.
    """
    facts = record(folder, how).matching()
    try:
        if facts is None:
            return None
        files = {recording: facts["recording"]}
        files |= {folder / name: was for name, was in facts["outputs"].items()}
        unchanged = all(is_unchanged(path, was) for path, was in files.items())
    except (OSError, KeyError, TypeError, AttributeError):
        return None  # a file is missing, or the record is damaged
    return facts if unchanged else None
