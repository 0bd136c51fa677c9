"""Folders of stems: what lies where, before any sound is read.

A split is a folder (DATA/train, DATA/valid) that holds, side by side if wanted,

  {source}/**/*       solos: recordings of one source, to be mixed at random;
  {track}/{source}.*  tracks: recordings that belong together.
"""

import os
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sep import audio
from sep.errors import UserError

SPLITS = ("train", "valid", "test")


class Index(NamedTuple):
    """What lies in the folder of a split, before any sound is read."""

    folder: Path
    solos: dict[str, list[Path]]
    tracks: dict[Path, dict[str, list[Path]]]  # one file for each source, if all is well
    others: list[Path]  # folders and sound files in it that are neither

    def files(self, source: str) -> list[Path]:
        """All recordings of a source."""
        of_tracks = [path for track in self.tracks.values() for path in track[source]]
        return self.solos[source] + of_tracks


def checked(folder: Path, sources: Sequence[str], *, missing_is_silence: bool) -> Index:
    """The index of a split that can be used, found without reading sound.

    Raises:
      UserError: it is missing or has faults, see `faults`.
    """
    index = index_of(folder, sources)
    if found := faults(index, missing_is_silence):
        more = f" (and {len(found) - 1} more faults)" if len(found) > 1 else ""
        raise UserError(found[0] + more)
    return index


def index_of(folder: Path, sources: Sequence[str]) -> Index:
    """What the folder of a split has of these sources.

    Raises:
      UserError: there is no such folder, or one in it cannot be listed.
    """
    if not os.path.isdir(folder):
        raise UserError(
            f"{folder}: no such folder; --data needs train/ and valid/, each with "
            "{source}/* or {track}/{source}.*"
        )
    index = Index(folder, {source: [] for source in sources}, {}, [])
    wanted = {_plain(source): source for source in sources}
    for place in listed(folder):
        if not os.path.isdir(place):
            if is_sound(place):
                index.others.append(place)
        elif source := wanted.get(_plain(place.name)):
            index.solos[source] += sounds_in(place)
        else:
            track = {source: [] for source in sources}
            for path in filter(is_sound, listed(place)):
                if source := wanted.get(_plain(path.stem)):
                    track[source].append(path)
            if any(track.values()):
                index.tracks[place] = track
            else:
                index.others.append(place)
    return index


def faults(index: Index, missing_is_silence: bool) -> list[str]:
    """Why a split cannot be used, and the cure: a line each."""
    found = []
    for track, files in index.tracks.items():
        for source, paths in files.items():
            if len(paths) > 1:
                names = ", ".join(path.name for path in paths)
                found.append(f"{track}: has more than one {source} ({names}); keep one")
            if not paths and not missing_is_silence:
                found.append(
                    f"{track}: has no {source}.*; add it, or say that what is missing is "
                    "silent with --config.data.missing_is_silence=true"
                )
    for source in index.solos:
        place = index.folder / source
        if index.files(source):
            continue
        if os.path.isdir(place):
            found.append(f"{place}: no sound files in it; put some WAV or FLAC files there")
        else:
            found.append(
                f"{place}: this source is missing; add its folder, or name the sources you "
                f"have with --config.model.sources (found: {_names(index.others)})"
            )
    return found


def ignored(index: Index) -> str:
    """What in a split is not used: a line."""
    return f"{index.folder}: ignored, neither source nor track: {_names(index.others)}"


def is_sound(path: Path) -> bool:
    """Whether its name is that of a sound file; links to nowhere are told of later."""
    return path.suffix.lower() in audio.SUFFIXES


def sounds_in(folder: Path) -> list[Path]:
    """All that is named like a sound file under a folder, sorted; hidden ones left out.

    Links to folders are followed. A folder with such a name counts if it has no sound in
    it: somebody will want to know.
    """
    found, seen = [], set()

    def visit(place: Path) -> None:
        if (real := place.resolve()) in seen:  # links may run in circles
            return
        seen.add(real)
        for path in listed(place):
            before = len(found)
            if os.path.isdir(path):
                visit(path)
            if is_sound(path) and len(found) == before:
                found.append(path)

    visit(folder)
    return found


def listed(folder: Path) -> list[Path]:
    """What lies directly in a folder, sorted; hidden files left out.

    Raises:
      UserError: one may not look.
    """
    try:
        return sorted(path for path in folder.iterdir() if path.name[0] != ".")
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be listed ({error.strerror}); see to its permissions"
        ) from None


def _names(paths: list[Path]) -> str:
    more = f" and {len(paths) - 9} more" if len(paths) > 9 else ""
    return (", ".join(path.name for path in paths[:9]) or "none") + more


def _plain(name: str) -> str:
    """One spelling of accents, which file systems write in two ways."""
    return unicodedata.normalize("NFC", name)


def warn(text: str) -> None:
    """One line on stderr."""
    print(f"warning: {text}", file=sys.stderr)
