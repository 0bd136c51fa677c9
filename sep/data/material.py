"""All that a run is trained on and validated on, read from one folder."""

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
    """Stems to train on and to validate on, and rooms (R, L), maybe none."""

    train: Stems
    valid: Stems
    rooms_RL: np.ndarray


def check_folders(
    folder: Path, sources: Sequence[str], *, missing_is_silence: bool
) -> None:
    """Looks whether all stems are there, before anything is read or written.

    Raises:
      UserError: they are not; the message says what is missing.
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
    """Stems of FOLDER/train and FOLDER/valid, decoded once; FOLDER/rooms.

    Raises:
      UserError: something in there cannot be used.
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
            f"put some there (python -m sep.data rooms --out={place}), or set it to 0"
        )
    alone = ([stem.active_N.any() for stem in train.unbound(name)] for name in train.solos)
    if data.solos and not all(map(any, alone)):
        warn(
            f"{folder / 'train'}: not every source sounds in recordings of no track; "
            "config.data.solos is not heeded"
        )
    return Material(train, valid, rooms_RL)
