"""Stems and rooms of a training run, read from one folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sep.data import folders, rooms, stems
from sep.data.folders import warn
from sep.data.settings import DataSettings
from sep.data.stems import Stems
from sep.errors import UserError


class Material(NamedTuple):
    """Material of a run.

    Attributes:
      train, valid: stems for training and validation.
      rooms_RL: impulse responses; R may be 0.
    """

    train: Stems
    valid: Stems
    rooms_RL: np.ndarray


def check_folders(
    folder: Path, sources: Sequence[str], *, missing_is_silence: bool
) -> None:
    """Checks that stems of all sources exist, without reading any sound.

    Raises:
      UserError: something is missing.
    """
    for split in ("train", "valid"):
        folders.checked(
            folder / split,
            sources,
            missing_is_silence=missing_is_silence,
        )


def read_material(
    folder: Path, sources: Sequence[str], sample_rate: int, data: DataSettings
) -> Material:
    """Reads the stems of FOLDER/train and FOLDER/valid, and the rooms of FOLDER/rooms.

    Raises:
      UserError: stems or rooms are missing or cannot be used.
    """
    train, valid = (
        stems.load(
            folder / split,
            sources,
            sample_rate,
            data.cache,
            strict=data.strict,
            missing_is_silence=data.missing_is_silence,
        )
        for split in ("train", "valid")
    )
    place = folder / "rooms"
    rooms_RL = rooms.load(place, sample_rate, data.room_seconds)
    if data.room and not len(rooms_RL):
        raise UserError(
            f"{place}: no impulse responses, but config.data.room is {data.room:g}; "
            f"make some (python -m sep.data rooms --out={place}), or set it to 0"
        )
    unbound = (train.unbound(name) for name in train.solos)
    audible = ([stem.active_N.any() for stem in stems_of] for stems_of in unbound)
    if data.solos and not all(map(any, audible)):
        warn(
            f"{folder / 'train'}: not every source has sound in recordings outside tracks; "
            "config.data.solos has no effect"
        )
    return Material(train, valid, rooms_RL)
