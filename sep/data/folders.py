"""Finds the stems in folders without reading any sound.

A split is a folder (DATA/train, DATA/valid) that contains either or both of

  {source}/**/*       solos: recordings of one source, to be mixed at random;
  {track}/{source}.*  tracks: stems of one piece, aligned in time.
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
    """The files of a split.

    Attributes:
      folder: of the split.
      solos: source -> recordings.
      tracks: folder of a track -> source -> files; one each if the track has no fault.
      others: folders and sound files in the split that are neither.
    """

    folder: Path
    solos: dict[str, list[Path]]
    tracks: dict[Path, dict[str, list[Path]]]
    others: list[Path]

    def files(self, source: str) -> list[Path]:
        """All recordings of a source, solos first."""
        of_tracks = [path for track in self.tracks.values() for path in track[source]]
        return self.solos[source] + of_tracks


def checked(folder: Path, sources: Sequence[str], *, missing_is_silence: bool) -> Index:
    """Returns the index of a split that has no faults.

    Raises:
      UserError: the folder is missing or has faults, see `faults`.
    """
    index = index_of(folder, sources)
    if found := faults(index, missing_is_silence):
        more = f" (and {len(found) - 1} more faults)" if len(found) > 1 else ""
        raise UserError(found[0] + more)
    return index


def index_of(folder: Path, sources: Sequence[str]) -> Index:
    """Returns the index of these sources in the folder of a split.

    Raises:
      UserError: there is no such folder, or a folder in it cannot be listed.
    """
    if not os.path.isdir(folder):
        raise UserError(
            f"{folder}: no such folder; --data needs train/ and valid/, each with "
            "{source}/* or {track}/{source}.*"
        )
    index = Index(folder, {source: [] for source in sources}, {}, [])
    by_name = {_plain(source): source for source in sources}
    for place in listed(folder):
        if not os.path.isdir(place):
            if is_sound(place):
                index.others.append(place)
        elif source := by_name.get(_plain(place.name)):
            index.solos[source] += sounds_in(place)
        else:
            track: dict[str, list[Path]] = {source: [] for source in sources}
            for path in filter(is_sound, listed(place)):
                if source := by_name.get(_plain(path.stem)):
                    track[source].append(path)
            if any(track.values()):
                index.tracks[place] = track
            else:
                index.others.append(place)
    return index


def faults(index: Index, missing_is_silence: bool) -> list[str]:
    """Returns why a split cannot be used, one line with a cure for each fault."""
    found = []
    for track, files in index.tracks.items():
        for source, paths in files.items():
            if len(paths) > 1:
                names = ", ".join(path.name for path in paths)
                found.append(f"{track}: has more than one {source} ({names}); keep one")
            if not paths and not missing_is_silence:
                found.append(
                    f"{track}: has no {source}.*; add it, or, if it is silent there, set "
                    "--config.data.missing_is_silence=true"
                )
    for source in index.solos:
        place = index.folder / source
        if index.files(source):
            continue
        if os.path.isdir(place):
            found.append(f"{place}: no sound files in this folder; add WAV or FLAC files")
        else:
            found.append(
                f"{place}: this source is missing; add its folder, or list the sources you "
                f"have in --config.model.sources (found: {_names(index.others)})"
            )
    return found


def ignored(index: Index) -> str:
    """Returns a line that names what is not used in a split."""
    return f"{index.folder}: ignored, neither source nor track: {_names(index.others)}"


def is_sound(path: Path) -> bool:
    """Whether a path has a sound file's suffix; broken links are reported when read."""
    return path.suffix.lower() in audio.SUFFIXES


def sounds_in(folder: Path) -> list[Path]:
    """Returns all paths under a folder with a sound file's suffix, sorted, none hidden.

    Links to folders are followed. A folder with such a suffix is returned, too, if it
    contains no sound; reading it then gives an error, and the mistake is noticed.
    """
    found: list[Path] = []
    seen: set[Path] = set()

    def visit(place: Path) -> None:
        if (real := place.resolve()) in seen:  # links can form a circle
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
    """Returns the paths directly in a folder, sorted, without hidden ones.

    Raises:
      UserError: the folder cannot be listed.
    """
    try:
        return sorted(path for path in folder.iterdir() if path.name[0] != ".")
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be listed ({error.strerror}); check its permissions"
        ) from None


def _names(paths: list[Path]) -> str:
    more = f" and {len(paths) - 9} more" if len(paths) > 9 else ""
    return (", ".join(path.name for path in paths[:9]) or "none") + more


def _plain(name: str) -> str:
    """Normalises accents, which file systems store in two ways."""
    return unicodedata.normalize("NFC", name)


def warn(text: str) -> None:
    """Prints a warning, one line on stderr."""
    print(f"warning: {text}", file=sys.stderr)
