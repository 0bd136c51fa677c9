"""The record of a separated recording, `separation.json` beside its stems."""

from pathlib import Path
from typing import Any

from sep.runtime.record import Record, is_unchanged

NAME = "separation.json"
FORMAT = "sep-separation-2"  # changes when separation computes something else


def record(folder: Path, how: dict[str, Any]) -> Record:
    """Returns the record of a folder.

    Args:
      folder: folder of a recording's stems.
      how: all that the contents of the files depend on, besides the recording.
    """
    return Record(folder / NAME, {"format": FORMAT, "how": how})


def finished(folder: Path, recording: Path, how: dict[str, Any]) -> dict[str, Any] | None:
    """Returns the record's contents if the outputs are complete and valid, else None.

    They are valid if they were made with the same settings, and if the recording and all
    outputs are unchanged. A file with the same size and modification time counts as
    unchanged. If only the time differs, the contents are compared.

    Args:
      folder: folder of the outputs.
      recording: the recording.
      how: see `record`.
    """
    facts = record(folder, how).matching()
    try:
        if facts is None:
            return None
        files = {recording: facts["recording"]}
        files |= {folder / name: was for name, was in facts["outputs"].items()}
        unchanged = all(is_unchanged(path, was) for path, was in files.items())
    except (OSError, KeyError, TypeError, AttributeError):
        return None  # a file is missing, or the record is corrupt
    return facts if unchanged else None
