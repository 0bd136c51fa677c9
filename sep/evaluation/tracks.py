"""Test sets: folders of tracks, recordings whose sources are known.

Shapes: S source, C channel, T sample.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sep import audio
from sep.errors import UserError
from sep.model.names import MIXTURE


class Place(NamedTuple):
    """Where a track is, before anything is read."""

    test: str  # name of the set of tracks that it belongs to
    name: str
    mixture: Path
    references: dict[str, Path]  # by source


class Track(NamedTuple):
    """A recording whose sources are known."""

    place: Place
    sample_rate: int
    mixture_CT: np.ndarray
    references_SCT: np.ndarray


def places(test: str, folder: Path, sources: Sequence[str]) -> list[Place]:
    """The tracks of a test set: FOLDER/<track>/{mixture and sources}.*.

    Files that are missing are told of when the track's turn comes.

    Raises:
      UserError: there is no such folder, or no track in it.
    """
    found = [
        Place(test, path.name, path / MIXTURE, {s: path / s for s in sources})
        for path in folders(folder)
    ]
    if not found:
        raise UserError(f"{folder}: no tracks; it needs TEST/<track>/mixture.*")
    return found


def check(test: str, folder: Path, sources: Sequence[str]) -> None:
    """Looks whether every track has its files, before any sound is read.

    Raises:
      UserError: as `places`, or a file is missing.
    """
    for place in places(test, folder, sources):
        for stem in (place.mixture, *place.references.values()):
            file_of(stem)


def folders(folder: Path) -> list[Path]:
    """The folders of tracks. Raises UserError if there is no such folder."""
    if not os.path.isdir(folder):  # the method raises where it may not look
        raise UserError(f"{folder}: no such folder; --data needs TEST/<track>/mixture.*")
    return [
        path
        for path in sorted(folder.iterdir())
        if os.path.isdir(path) and path.name[0] != "." and audio.find(path)
    ]


def sources_of(folder: Path) -> tuple[str, ...]:
    """The sources of a test set's first track, by its files; none if it has no track."""
    for track in folders(folder):
        names = {path.stem for path in audio.find(track) if path.parent == track}
        return tuple(sorted(names - {MIXTURE}))
    return ()


def read(place: Place) -> Track:
    """A track in memory.

    Raises:
      UserError: a file is missing or cannot be read, or its stems do not fit.
    """
    mixture_CT, rate = audio.read(file_of(place.mixture))
    references = []
    for source, stem in place.references.items():
        path = file_of(stem)
        reference_CT, its_rate = audio.read(path)
        if its_rate != rate or reference_CT.shape != mixture_CT.shape:
            raise UserError(
                f"{path}: this {source} has {describe(reference_CT, its_rate)}, "
                f"its mixture {describe(mixture_CT, rate)}"
            )
        references.append(reference_CT)
    return Track(place, rate, mixture_CT, np.stack(references))


def file_of(stem: Path, cure: str = "") -> Path:
    """The sound file of this name, whatever its format.

    Raises:
      UserError: there is none, `cure` says what to do then; or more than one.
    """
    found = [
        path
        for path in (audio.find(stem.parent) if os.path.isdir(stem.parent) else [])
        if path.parent == stem.parent and path.stem == stem.name
    ]
    if len(found) != 1:
        what = f"there {len(found)} times" if found else f"missing{cure and '; '}{cure}"
        raise UserError(f"{stem}.*: this file of the track is {what}")
    return found[0]


def describe(wave_CT: np.ndarray, rate: int) -> str:
    """Its shape, in words."""
    return f"{wave_CT.shape[0]} channels of {wave_CT.shape[1]} samples at {rate} Hz"
