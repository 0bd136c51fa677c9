"""Recordings to separate, and the folders for their stems."""

import glob
import itertools
import os
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from sep import audio
from sep.errors import UserError


class Task(NamedTuple):
    """A recording and the folder for its stems."""

    recording: Path
    folder: Path


def plan_tasks(inputs: list[str], out: Path) -> list[Task]:
    """Returns each recording with a folder of its own.

    The folder is named after the file without its suffix. Recordings from an input folder
    keep their path below it, recordings from a pattern their path below its part without
    wildcards. Where two recordings would share a folder, its name keeps the suffix; where
    this is not enough, it gets a number.

    Args:
      inputs: files, folders, and patterns. Text with wildcards is a pattern unless a file
        of that name exists.
      out: parent of all folders.

    Raises:
      UserError: there are no sound files in a folder or for a pattern, or `out` is where
        the recordings are.
    """
    found = [pair for given in inputs for pair in _recordings(given, out)]
    found = list(dict.fromkeys(found))
    shared = Counter(_without_suffix(place) for _, place in found)
    taken: set[str] = set()  # casefolded, since some file systems ignore case
    tasks = []
    for recording, place in found:
        short = _without_suffix(place)
        wanted = short if shared[short] == 1 else place
        folder, number = wanted, 2
        while str(folder).casefold() in taken:
            folder, number = wanted.with_name(f"{wanted.name} ({number})"), number + 1
        taken.add(str(folder).casefold())
        tasks.append(Task(recording, out / folder))
    return tasks


def _without_suffix(place: Path) -> Path:
    """Removes a path's suffix, unless only dots would be left of its name."""
    return place.with_suffix("") if place.stem.strip(".") else place


def _recordings(given: str, out: Path) -> list[tuple[Path, Path]]:
    """Returns the recordings of one input, each with the path that names its folder.

    Files in `out` are left out: an earlier run may have written them.

    Raises:
      UserError: see `plan_tasks`.
    """
    path = Path(given)
    if os.path.lexists(path) or not glob.has_magic(given):
        return _recordings_in(path, out)
    root = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), path.parts))
    stems = out.resolve()
    if stems == root.resolve() and "**" in path.parts:
        raise UserError(f"{given}: stems would mix with recordings; choose another --out")
    below = stems != root.resolve() and stems.is_relative_to(root.resolve())
    found = [
        (name, name.relative_to(root))
        for name in _matches(path, root)
        if name.suffix.lower() in audio.SUFFIXES and os.path.isfile(name)
        if not (below and name.resolve().is_relative_to(stems))
    ]
    if not found:
        raise UserError(f"{given}: no sound file matches")
    return found


def _matches(pattern: Path, root: Path) -> list[Path]:
    """Returns the paths that match a pattern, sorted.

    Hidden files match only if the pattern has a part that begins with a dot. `**` follows
    no links to folders, because these may form cycles.

    Args:
      pattern: the pattern.
      root: its leading parts without wildcards.
    """
    parts = [
        part if part == "**" else re.sub(r"\*+", "*", part)
        for part in pattern.parts[len(root.parts) :]
    ]
    if parts[-1] == "**":
        parts.append("*")
    found = set(root.glob("/".join(parts)))
    if not any(part.startswith(".") for part in parts):
        found = {
            name
            for name in found
            if not any(part.startswith(".") for part in name.relative_to(root).parts)
        }
    return sorted(found)


def _recordings_in(path: Path, out: Path) -> list[tuple[Path, Path]]:
    """Returns `_recordings` of a file or a folder."""
    if not os.path.isdir(path):  # Path.is_dir raises for some unreadable paths
        return [(path, Path(path.name))]
    found, stems = audio.find(path), out.resolve()
    if stems == path.resolve():
        raise UserError(f"{path}: stems would mix with recordings; choose another --out")
    if stems.is_relative_to(path.resolve()):
        found = [name for name in found if not name.resolve().is_relative_to(stems)]
    if not found:
        raise UserError(f"{path}: no sound files in this folder")
    return [(recording, recording.relative_to(path)) for recording in found]


def refuse_overwriting(tasks: list[Task], files: list[str]) -> None:
    """Checks that no output would replace a recording.

    Args:
      tasks: all tasks of a run.
      files: names of the files that each recording gets.

    Raises:
      UserError: an output has the path of a recording.
    """
    recordings = {task.recording.resolve() for task in tasks}
    for task in tasks:
        for name in files:
            if (path := (task.folder / name).resolve()) in recordings:
                raise UserError(f"{path}: would be overwritten; choose another --out")
