"""Test sets: folders of tracks, which are recordings with known sources.

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
    """Files of a track.

    Attributes:
      test: name of its test set.
      name: name of its folder.
      mixture: path of the mixture, without suffix.
      references: paths of the true sources by name, without suffix.
    """

    test: str
    name: str
    mixture: Path
    references: dict[str, Path]


class Track(NamedTuple):
    """A recording with known sources, in memory."""

    place: Place
    sample_rate: int
    mixture_CT: np.ndarray
    references_SCT: np.ndarray


def places(test: str, folder: Path, sources: Sequence[str]) -> list[Place]:
    """Lists the tracks of a test set: FOLDER/<track>/{mixture and sources}.*.

    Missing files of a track are reported by `file_of` and `read`, not here.

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
    """Checks that every track has all of its files, without reading them.

    Raises:
      UserError: as `places`, or a file is missing.
    """
    for place in places(test, folder, sources):
        for stem in (place.mixture, *place.references.values()):
            file_of(stem)


def folders(folder: Path) -> list[Path]:
    """Folders of the tracks in a folder, sorted: those with sound files, hidden ones apart.

    Raises:
      UserError: there is no such folder.
    """
    if not os.path.isdir(folder):  # Path.is_dir raises PermissionError
        raise UserError(f"{folder}: no such folder; --data needs TEST/<track>/mixture.*")
    return [
        path
        for path in sorted(folder.iterdir())
        if os.path.isdir(path) and path.name[0] != "." and audio.find(path)
    ]


def sources_of(folder: Path) -> tuple[str, ...]:
    """Sources of a test set's first track, from its file names; empty without a track."""
    for track in folders(folder):
        names = {path.stem for path in audio.find(track) if path.parent == track}
        return tuple(sorted(names - {MIXTURE}))
    return ()


def read(place: Place) -> Track:
    """Reads a track.

    Raises:
      UserError: a file is missing or cannot be read, or the sample rate, channels or
        length of a source differ from those of the mixture.
    """
    mixture_CT, rate = audio.read(file_of(place.mixture))
    references = []
    for stem in place.references.values():
        path = file_of(stem)
        reference_CT, own_rate = audio.read(path)
        if own_rate != rate or reference_CT.shape != mixture_CT.shape:
            raise UserError(
                f"{path}: has {describe(reference_CT, own_rate)}, but its mixture has "
                f"{describe(mixture_CT, rate)}; export both with the same"
            )
        references.append(reference_CT)
    return Track(place, rate, mixture_CT, np.stack(references))


def file_of(stem: Path, cure: str = "") -> Path:
    """Returns the sound file with this path, apart from its suffix.

    Args:
      stem: path without suffix.
      cure: advice for the error message if the file is missing.

    Raises:
      UserError: there is no such file, or more than one.
    """
    found = [
        path
        for path in (audio.find(stem.parent) if os.path.isdir(stem.parent) else [])
        if path.parent == stem.parent and path.stem == stem.name
    ]
    if not found:
        advice = f"; {cure}" if cure else ""
        raise UserError(f"{stem}.*: this file of the track is missing{advice}")
    if len(found) > 1:
        raise UserError(f"{stem}.*: the track has {len(found)} such files; keep one")
    return found[0]


def describe(wave_CT: np.ndarray, rate: int) -> str:
    """Channels, length and sample rate of a wave, as text."""
    return f"{wave_CT.shape[0]} channels of {wave_CT.shape[1]} samples at {rate} Hz"
