"""Which recordings there are to separate, and where the stems of each go."""

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
    """A recording, and the folder for its stems."""

    recording: Path
    folder: Path


def plan_tasks(inputs: list[str], out: Path) -> list[Task]:
    """Each recording with its folder; no two share one.

    A recording is named after its file, in a folder also after its place there. Where
    that is the same for two, the suffix stays, and then a number is added.

    Args:
      inputs: files, folders, or patterns of them where no such file exists.
      out: where all the folders are.

    Raises:
      UserError: a folder holds no sound files, or is `out` itself.
    """
    found = list(dict.fromkeys(each for given in inputs for each in _found(given, out)))
    shared = Counter(_plain(place) for _, place in found)
    taken: set[str] = set()  # in small letters, for some systems tell no others
    tasks = []
    for recording, place in found:
        plain = _plain(place)
        wanted = plain if shared[plain] == 1 else place
        folder, number = wanted, 2
        while str(folder).casefold() in taken:
            folder, number = wanted.with_name(f"{wanted.name} ({number})"), number + 1
        taken.add(str(folder).casefold())
        tasks.append(Task(recording, out / folder))
    return tasks


def _plain(place: Path) -> Path:
    """A place without its suffix, unless nothing but dots is before that."""
    return place.with_suffix("") if place.stem.strip(".") else place


def _found(given: str, out: Path) -> list[tuple[Path, Path]]:
    """Recordings, and their places under the folder, or the plain part of the pattern."""
    path = Path(given)
    if os.path.lexists(path) or not glob.has_magic(given):
        return _inside(path, Path(path.name), out)
    plain = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), path.parts))
    stems, root = out.resolve(), plain.resolve()
    if stems == root and "**" in path.parts:
        raise UserError(f"{given}: stems would mix with recordings; choose another --out")
    inside = stems != root and stems.is_relative_to(root)  # where an earlier run left some
    found = [
        (name, name.relative_to(plain))
        for name in _matches(path, plain)
        if name.suffix.lower() in audio.SUFFIXES and os.path.isfile(name)
        if not (inside and name.resolve().is_relative_to(stems))
    ]
    if not found:
        raise UserError(f"{given}: no sound file matches")
    return found


def _matches(path: Path, plain: Path) -> list[Path]:
    """What a pattern fits, sorted; hidden files only if it names them.

    `**` follows no links to folders, which may lead in circles.
    """
    parts = [
        part if part == "**" else re.sub(r"\*+", "*", part)
        for part in path.parts[len(plain.parts) :]
    ]
    if parts[-1] == "**":
        parts.append("*")
    found = set(plain.glob("/".join(parts)))
    if not any(part.startswith(".") for part in parts):
        found = {
            name
            for name in found
            if not any(part.startswith(".") for part in name.relative_to(plain).parts)
        }
    return sorted(found)


def _inside(path: Path, place: Path, out: Path) -> list[tuple[Path, Path]]:
    if not os.path.isdir(path):  # the method raises where it may not look
        return [(path, place)]
    inside, stems = audio.find(path), out.resolve()
    if stems == path.resolve():
        raise UserError(f"{path}: stems would mix with recordings; choose another --out")
    if stems.is_relative_to(path.resolve()):  # some of an earlier run may be there
        inside = [p for p in inside if not p.resolve().is_relative_to(stems)]
    if not inside:
        raise UserError(f"{path}: no sound files in this folder")
    return [(recording, recording.relative_to(path)) for recording in inside]


def refuse_overwriting(tasks: list[Task], files: list[str]) -> None:
    """No file to be made may be a recording. Raises UserError if one would."""
    recordings = {task.recording.resolve() for task in tasks}
    for task in tasks:
        for name in files:
            if (path := (task.folder / name).resolve()) in recordings:
                raise UserError(f"{path}: would be overwritten; choose another --out")
